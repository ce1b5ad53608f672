"""Figure 6 from stored results: what the sentences say, gaps, seeds, panels."""

import json

import pytest

from experiments.kl_loss.figure6.rows import TABLE
from scripts import figure6 as command
from scripts.reports import figure6
from scripts.reports.files import ReportPlace
from scripts.reports.results import Results, cell, stored_seeds

TICKS = ["0", "0.005", "0.01", "0.02", "0.025", "0.05", "0.1"]
RISE = [0.0, 0.2, 0.6, 1.3, 1.0, 0.4, -0.8]  # a curve like the paper's


def write(out, seed, changes, *, base=30.0, clean=None):
    """What scripts.evaluate writes: AP90 changes, the other APs stay; None is a row that was not
    run.
    """
    rows = []
    for row, change in zip(TABLE.rows, changes, strict=True):
        metrics = (
            None if change is None else dict.fromkeys(TABLE.columns, base) | {"AP90": base + change}
        )
        if metrics is not None and clean is not None:
            metrics["clean"] = dict.fromkeys(TABLE.columns, 50.0) | {"AP90": 50.0 + clean * change}
        rows.append({"group": "", "label": row.label, "run": "r50_fpn_kl", "metrics": metrics})
    path = out / "mini" / "kl_loss" / "figure6" / f"seed{seed}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"seed": seed, "device": "a CPU", "rows": rows}))


def place(tmp_path):
    return ReportPlace(
        table="kl_loss/figure6", scale="mini", out=tmp_path / "runs", results=tmp_path / "results"
    )


def drawn(tmp_path):
    text = figure6.write_figure6(place(tmp_path))
    path = tmp_path / "results" / "mini.png"
    assert path.read_bytes().startswith(b"\x89PNG")
    assert text.splitlines()[-1] == f"picture: {path}"
    return text


def test_the_maximum_of_each_curve(tmp_path):
    write(tmp_path / "runs", 0, RISE)
    text = drawn(tmp_path)
    assert "  AP90: largest at sigma_t = 0.02, +1.30 over no voting.\n" in text
    assert "  AP50: largest without voting; the best vote, sigma_t = 0.005, is +0.00.\n" in text
    assert "clean" not in text
    assert "not run" not in text


def test_seeds_are_differenced_before_the_mean(tmp_path):
    """Bases 30 and 40 differ by 10, the changes 1.3 and 1.5 by 0.2: mean 1.4, sample deviation
    0.14.
    """
    write(tmp_path / "runs", 0, RISE)
    write(tmp_path / "runs", 1, [0.0, 0.2, 0.6, 1.5, 1.0, 0.4, -0.8], base=40.0)
    assert "AP90: largest at sigma_t = 0.02, +1.40 ± 0.14 over no voting." in drawn(tmp_path)


def test_clean_boxes_are_a_panel_of_their_own(tmp_path):
    write(tmp_path / "runs", 0, RISE, clean=2)
    results = Results(TABLE, stored_seeds(place(tmp_path).evaluated))
    assert [step.mean for step in figure6.curves(results, "clean")["AP90"]] == pytest.approx(
        [2 * rise for rise in RISE]
    )
    lines = drawn(tmp_path).splitlines()
    assert [line for line in lines if line.startswith("against")] == [
        "against the clean boxes:",
        "against the labels, as in COCO:",
    ]
    assert lines[5].strip() == "AP90: largest at sigma_t = 0.02, +2.60 over no voting."


def test_a_row_that_was_not_run_leaves_a_gap(tmp_path):
    write(tmp_path / "runs", 0, [0.0, 0.2, 0.6, None, 1.0, 0.4, -0.8])
    text = drawn(tmp_path)
    assert "AP90: largest at sigma_t = 0.025, +1.00 over no voting." in text
    assert "not run: sigma_t = 0.02\n" in text


def test_nothing_was_run(tmp_path, capsys):
    for changes in (None, [None] * 7):
        if changes is not None:
            write(tmp_path / "runs", 0, changes)
        options = ["--out", str(tmp_path / "runs"), "--results", str(tmp_path / "results")]
        assert command.main(["kl_loss/figure6", *options]) == 2
        assert (
            "Nothing of kl_loss/figure6 was evaluated at the scale mini" in capsys.readouterr().err
        )
        assert not tmp_path.joinpath("results").exists()


def test_without_a_base_there_is_no_change():
    curve = [cell([None]), *[cell([value]) for value in (1.0, 2.0)]]
    assert figure6.highest("AP", [curve[0]] * 3, TICKS) == "AP: not run."
    rising = [cell([value]) for value in (0.0, 0.25, 0.5)]
    assert (
        figure6.highest("AP", rising, TICKS)
        == "AP: largest at sigma_t = 0.01 (the end of the sweep), +0.50 over no voting."
    )
    falling = [cell([0.0]), cell([-0.5]), cell([-0.25])]
    assert (
        figure6.highest("AP", falling, TICKS)
        == "AP: largest without voting; the best vote, sigma_t = 0.01, is -0.25."
    )


@pytest.mark.parametrize("table", ["kl_loss/table1", "kl_loss/figure5", "kl_loss/table2"])
def test_another_table_is_a_sentence(table, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["figure6", table, "--out", str(tmp_path)])
    assert command.main() == 2
    assert f"{table} is no sweep of sigma_t" in capsys.readouterr().err


def test_the_ticks_are_the_papers_and_ours():
    assert [f"{row.postprocess.sigma_t:g}" for row in TABLE.rows] == TICKS
    assert [row.added for row in TABLE.rows] == [tick == "0.02" for tick in TICKS]


def test_the_title_counts_the_seeds_of_every_row(tmp_path):
    out = tmp_path / "mini/kl_loss/figure6"
    write(tmp_path, 0, RISE)
    assert figure6.seeds_text(Results(TABLE, stored_seeds(out))) == "1 seed"
    write(tmp_path, 1, RISE)
    both = "mean of 2 seeds, bars: standard deviation"
    assert figure6.seeds_text(Results(TABLE, stored_seeds(out))) == both
    write(tmp_path, 1, [*RISE[:-1], None])
    some = "mean of 1 to 2 seeds, bars: standard deviation"
    assert figure6.seeds_text(Results(TABLE, stored_seeds(out))) == some
