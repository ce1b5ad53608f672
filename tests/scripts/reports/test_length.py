"""Curves over training length: which lengths are found, what a line through differences says."""

import json
from dataclasses import replace

import pytest

from experiments.records import Row, Table
from experiments.scales import TITLES
from postprocess.pipeline import PostprocessConfig
from scripts.reports import files, length
from scripts.reports.files import ReportPlace
from scripts.reports.length import fit_sentence, measured_lengths, write_length
from tests.tiny import TINY, TINY_KLRPN

PLAIN = PostprocessConfig()
TABLE = Table(
    title="Two over length",
    metric="first_stage",
    rows=(Row("RPN", TINY, PLAIN), Row("KL-RPN", TINY_KLRPN, PLAIN)),
    comparisons=(("KL-RPN", "RPN"),),
)
PLACE = {"table": "kl_rpn/two", "scale": "mini"}


def write(out, scale, updates, *values):
    """Results of one seed for each pair of values."""
    rows = [
        [
            {"group": "", "label": row.label, "run": row.run.name, "updates": updates,
             "of_updates": updates, "training": {"seconds": 60.0, "device": "a CPU"},
             "metrics": {"recall50": value, "clean": {"recall70": value}}}
            for row, value in zip(TABLE.rows, pair, strict=True)
        ]
        for pair in values
    ]  # fmt: skip
    seeds = [{"seed": i, "rows": lines} for i, lines in enumerate(rows)]
    path = out / scale / "kl_rpn" / "two" / "report" / f"{scale}.json"
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps(seeds))


@pytest.fixture(autouse=True)
def table(monkeypatch):
    monkeypatch.setattr(length, "find_table", lambda name: TABLE)


def test_every_length_of_the_scale_and_no_other_is_drawn(tmp_path):
    write(tmp_path, "mini-4x", 400, (80.0, 76.0))
    write(tmp_path, "mini", 100, (50.0, 40.0), (60.0, 40.0))
    write(tmp_path, "mini-2x", 200, (70.0, 63.0))
    write(tmp_path, "lite", 999, (1.0, 1.0))
    write(tmp_path, "mini-8x", 800)  # nothing was measured
    place = ReportPlace(**PLACE, out=tmp_path)
    assert list(measured_lengths(place, TABLE)) == [100, 200, 400]
    assert "100, 200, 400 updates" in write_length(place)
    text = (place.folder / "mini_length.md").read_text()
    assert TITLES["mini"] in text
    assert "Seeds by updates: 100: 2, 200: 1, 400: 1" in text
    assert "| KL-RPN - RPN" in text
    assert "-15.0 ± 7.1" in text  # of -10 and -20, differenced within each seed
    csv = (place.folder / "mini_length.csv").read_text()
    assert "100,KL-RPN - RPN,recall50,-15.0,7.0711,2" in csv.splitlines()
    assert (place.folder / "mini_length.png").stat().st_size > 1000


def test_each_number_has_a_panel_and_the_lowest_ones_say_updates(tmp_path, monkeypatch):
    """Also where the last row of panels is not full."""
    drawn = []
    monkeypatch.setattr(length, "save_picture", lambda figure, path: drawn.append(figure))
    write(tmp_path, "mini", 100, (50.0, 40.0))
    lengths = measured_lengths(ReportPlace(**PLACE, out=tmp_path), TABLE)
    names = ("recall50", "recall70", "recall90", "AR", "mean_iou", "auc", "ks", "offset_error")
    for count in (1, 3, 4, 8):
        shown = {name: name.upper() for name in names[:count]}
        monkeypatch.setattr(length, "panels", lambda table, shown=shown: shown)
        length.draw(lengths, TABLE, tmp_path / "a.png", "title")
        axes = [axis for axis in drawn[-1].axes if axis.get_visible()]
        assert [axis.get_title() for axis in axes] == list(shown.values())
        labels = [axis.get_xlabel() for axis in axes]
        lowest = min(count, length.COLUMNS)
        assert labels == [""] * (count - lowest) + ["updates"] * lowest
    assert "AR" in length.FIRST_STAGE


def test_published_curves_have_every_committed_seed(tmp_path, monkeypatch):
    """An earlier report below --out does not stand before what was committed since."""
    monkeypatch.setattr(files, "EXPERIMENTS", tmp_path / "experiments")
    write(tmp_path, "mini", 100, (50.0, 40.0))
    place = ReportPlace(**PLACE, out=tmp_path, publish=True)
    place.committed.mkdir(parents=True)
    both = json.loads((tmp_path / "mini/kl_rpn/two/report/mini.json").read_text()) * 2
    (place.committed / "mini.json").write_text(json.dumps(both))
    assert len(measured_lengths(place, TABLE)[100].seeds) == 2
    assert len(measured_lengths(replace(place, publish=False), TABLE)[100].seeds) == 1


def test_reports_in_another_folder_count(tmp_path):
    """They stand before those below --out; those of other tables lie there as well."""
    write(tmp_path, "mini", 100, (50.0, 40.0))
    write(tmp_path, "mini-4x", 400, (80.0, 76.0))
    write(tmp_path / "new", "mini", 100, (60.0, 40.0))
    write(tmp_path / "new", "mini-2x", 200, (70.0, 63.0))
    results = tmp_path / "results"
    results.mkdir()
    for scale in ("mini", "mini-2x"):
        (tmp_path / f"new/{scale}/kl_rpn/two/report/{scale}.json").rename(results / f"{scale}.json")
    other = [{"seed": 0, "table": "kl_loss/table1", "rows": []}]
    (results / "mini-4x.json").write_text(json.dumps(other))
    (results / "mini_swap.json").write_text(json.dumps(other))
    lengths = measured_lengths(ReportPlace(**PLACE, out=tmp_path, results=results), TABLE)
    assert {n: one.values(0, "recall50") for n, one in lengths.items()} == {
        100: [60.0],
        200: [70.0],
        400: [80.0],
    }


def test_networks_that_are_not_finished_are_named(tmp_path):
    """They stand at the length at which they were to end."""
    write(tmp_path, "mini", 100, (50.0, 40.0))
    place = ReportPlace(**PLACE, out=tmp_path)
    assert "UNFINISHED" not in write_length(place)
    path = place.evaluated / "report" / "mini.json"
    seeds = json.loads(path.read_text())
    seeds[0]["rows"][0] |= {"updates": 7, "training": None}
    path.write_text(json.dumps(seeds))
    line = f"UNFINISHED: {TINY.name}: only 7 of 100 updates"
    assert line in write_length(place).splitlines()
    assert line in (place.folder / "mini_length.md").read_text().splitlines()


def test_a_table_that_was_not_measured_says_what_measures_it(tmp_path):
    with pytest.raises(ValueError, match=r"No length of kl_rpn/two at scale mini .*eval.sh"):
        write_length(ReportPlace(**PLACE, out=tmp_path))


def test_a_line_through_differences():
    """-8, -6, -4 at 2, 4, 8: it gains 2 with each doubling and is 0 at 2^5."""
    assert fit_sentence("AP", {2: -8.0, 4: -6.0, 8: -4.0}) == [
        "AP: +2 with each doubling (R² 1.00 over 3 lengths); extrapolated, the line reaches 0 at "
        "32 updates."
    ]
    assert fit_sentence("AP", {2: -8.0, 4: -8.5, 8: -9.0}) == [
        "AP: -0.5 with each doubling (R² 1.00 over 3 lengths)."
    ]
    assert fit_sentence("AP", {2: -8.0, 4: -6.0}) == []


def test_a_line_that_does_not_fit_is_not_extrapolated():
    """-8, -2, -4 at 2, 4, 8: the line through them gains 2 with each doubling, with R² 0.43."""
    assert fit_sentence("AP", {2: -8.0, 4: -2.0, 8: -4.0}) == [
        "AP: +2 with each doubling (R² 0.43 over 3 lengths)."
    ]
