"""From two trained networks to a printed table: one forward pass a network, every row a
post-processing of it.
"""

import csv
import json
import multiprocessing
import os
import shutil
import signal
from dataclasses import replace

import pytest
import torch
from PIL import Image

from data.records import Candidates
from experiments.records import Row, Table
from experiments.scales import TITLES
from models.build import build_detector, parameter_counts
from postprocess.pipeline import PostprocessConfig
from scripts import evaluate as module
from scripts.engine.command import ENVIRONMENT
from scripts.engine.evaluation import cost, inference
from scripts.engine.evaluation.evaluation import evaluate_table
from scripts.engine.evaluation.inference import detections_of, load_candidates, save_candidates
from scripts.engine.evaluation.results import own_splits
from scripts.engine.files import sha256, write_atomically, write_json
from scripts.engine.places import table_place
from scripts.engine.run_folder.checkpoint import load_checkpoint, newest_checkpoint, save_checkpoint
from scripts.engine.trained import trained as trained_module
from scripts.evaluate import main
from scripts.reports import tables
from scripts.reports.files import ReportPlace
from tests.tiny import (
    TINY,
    TINY_KL,
    environment,
    know_tiny,
    tiny_options,
)
from tests.tiny import train_tiny as train

NMS = PostprocessConfig(iou_threshold=0.3)
TABLE = Table(
    title="A tiny table",
    metric="coco",
    columns=("AP", "AP50", "AR100"),
    extra=("AP90", "clean_distance", "nll"),
    rows=(
        Row(label="baseline", run=TINY, postprocess=NMS, printed=(23.6, 44.6, 34.3)),
        Row(label="KL Loss", run=TINY_KL, postprocess=NMS, printed=(26.4, None, None)),
        Row(
            label="KL Loss + var voting",
            run=TINY_KL,
            postprocess=replace(NMS, sigma_t=0.02),
            printed=(27.8, None, None),
        ),
        Row(
            label="theirs",
            run=TINY,
            postprocess=NMS,
            printed=(25.0, None, None),
            cited="[1]",
            missing="is not computed here",
        ),
    ),
    comparisons=(("KL Loss", "baseline"), ("KL Loss + var voting", "KL Loss")),
)


@pytest.fixture(autouse=True)
def tiny(monkeypatch):
    know_tiny(monkeypatch, {"kl_loss/tiny": TINY, "kl_loss/tiny_kl": TINY_KL})
    for part in (module, tables):
        monkeypatch.setattr(part, "find_table", lambda name: TABLE)
    monkeypatch.setitem(TITLES, "tiny", "tiny: for tests")


@pytest.fixture
def trained(data, tmp_path):
    """Two updates of each network: their numbers mean nothing, their files everything."""
    for run in ("kl_loss/tiny", "kl_loss/tiny_kl"):
        train(data, tmp_path / "runs", run=run)
    return tmp_path / "runs"


def report(out):
    """The text of the table's report, written into the folder ``results`` beside ``out``."""
    place = ReportPlace(table="kl_loss/tiny", scale="tiny", out=out, results=out.parent / "results")
    tables.write_table(place)
    return (place.folder / "tiny.md").read_text()


def rows_of(out, seed=0):
    return json.loads((out / "tiny" / "kl_loss" / "tiny" / f"seed{seed}.json").read_text())["rows"]


def evaluate(data, out, table=TABLE, seeds=1, **changed):
    known = environment(data, out, **changed)
    evaluate_table(table, known.table_place("kl_loss/tiny"), known, seeds)


def command(data, out, *more):
    return main(["kl_loss/tiny", *tiny_options(data, out), *more])


def test_train_evaluate_report(data, trained, tmp_path):
    evaluate(data, trained)
    rows = rows_of(trained)
    assert [row["label"] for row in rows] == [
        "baseline",
        "KL Loss",
        "KL Loss + var voting",
        "theirs",
    ]
    for row in rows[:3]:
        assert row["updates"] == row["of_updates"] == 6
        assert 0 <= row["metrics"]["AP"] <= 100
        # the mini data knows the clean boxes
        assert row["metrics"]["clean"].keys() >= {"AP", "AP75"}
        assert len(row["metrics"]["per_class"]) == 6
    assert rows[0]["training_commit"]
    [(name, digest)] = rows[0]["test_data"].items()
    assert (name, len(digest)) == ("coco val", 12)
    assert rows[3]["metrics"] is None
    assert rows[3]["why"] == "is not computed here"

    text = report(trained)
    folder = tmp_path / "results"
    assert text.startswith("# A tiny table\n\n**tiny: for tests**")
    for part in (
        "| baseline ",
        "| paper ",
        "| paper (cited)",
        "| ours ",
        "23.6",
        "KL Loss - baseline",
        "clean boxes",
        "commit",
        "not run: theirs: is not computed here",
    ):
        assert part in text
    lines = list(csv.DictReader((folder / "tiny.csv").open()))
    assert len(lines) == 4 * 2 * 6  # rows, noisy and clean labels, columns
    first = next(line for line in lines if line["row"] == "baseline" and line["column"] == "AP")
    assert float(first["paper"]) == 23.6
    assert float(first["difference"]) == pytest.approx(float(first["ours"]) - 23.6, abs=1e-3)
    assert {line["ours"] for line in lines if line["row"] == "theirs"} == {"not run"}
    assert json.loads((folder / "tiny.json").read_text())[0]["rows"] == rows


def test_costs_are_columns_of_their_own(data, trained, monkeypatch, tmp_path):
    """Parameters as KL-RPN Table 1 cuts them off, and the time of one image through network and
    post-processing.
    """
    with_costs = replace(TABLE, columns=("AP", "params_M", "speed_ms"))
    monkeypatch.setattr(cost, "REPEATS", 1)
    evaluate(data, trained, with_costs)
    rows = rows_of(trained)
    total = parameter_counts(build_detector(TINY.model))[0]
    for row in rows[:3]:
        metrics = row["metrics"]
        assert metrics["speed_ms"] > 0
        assert metrics["clean"]["params_M"] == metrics["params_M"]
    assert rows[0]["metrics"]["params_M"] == int(total / 1e4) / 100
    assert rows[3]["metrics"] is None


@pytest.mark.parametrize(
    ("metric", "script"),
    [
        ("latency", "benchmark"),
        ("recall", "recall"),
        ("figure3", "figure3"),
        ("figure5", "figure5"),
    ],
)
def test_tables_of_another_kind_name_their_script(data, trained, metric, script):
    with pytest.raises(ValueError, match=rf"python -m scripts\.{script} "):
        evaluate(data, trained, replace(TABLE, metric=metric, command=script))


def test_candidates_are_computed_once(data, trained, monkeypatch, capsys):
    evaluate(data, trained)
    before = rows_of(trained)

    def forward_pass(*_):
        raise AssertionError("a second forward pass")

    monkeypatch.setattr(trained_module, "build_detector", forward_pass)
    evaluate(data, trained)
    assert rows_of(trained) == before
    stored = trained / "tiny" / "kl_loss" / "tiny" / "seed0" / "candidates.pt"
    stored.write_bytes(stored.read_bytes()[:100])
    with pytest.raises(AssertionError, match="a second forward pass"):
        evaluate(data, trained)
    assert "candidates.pt is damaged and is computed again" in capsys.readouterr().out


@pytest.mark.fault("R34", "R47")
def test_other_pixels_are_another_forward_pass(data, trained, tmp_path):
    """A copy of the data with the same names and sizes and gray images has other scores."""
    evaluate(data, trained)
    stored = trained / "tiny" / "kl_loss" / "tiny" / "seed0" / "candidates.pt"
    before = sha256(stored)
    other = shutil.copytree(data, tmp_path / "other")
    evaluate(other, trained)
    assert sha256(stored) == before  # a copy is the same data
    for file in (other / "val").iterdir():
        with Image.open(file) as image:
            size = image.size
        Image.new("RGB", size, (128, 128, 128)).save(file)
    evaluate(other, trained)
    assert sha256(stored) != before


def test_seeds_of_other_test_data_are_not_reported_together(data, trained, tmp_path):
    evaluate(data, trained)
    seed1 = trained / "tiny" / "kl_loss" / "tiny" / "seed1.json"
    first = json.loads(seed1.with_name("seed0.json").read_text())
    other = {**first, "seed": 1, "rows": [{**row, "test_data": {"coco val": "other"}}
                                          for row in first["rows"]]}  # fmt: skip
    seed1.write_text(json.dumps(other))
    with pytest.raises(ValueError, match="seed 1 of tiny was measured on other test data: coco"):
        report(trained)


def test_the_test_split_is_no_setting_of_the_training(data, trained, capsys):
    """A trained network is scored on any split; one trained on other images is refused."""
    evaluate(data, trained, splits="train:train")
    assert rows_of(trained)[0]["metrics"] is not None
    assert train(data, trained, splits="train:train") == 0
    assert "already trained" in capsys.readouterr().out
    assert command(data, trained, "--splits", "val:val") == 2
    assert "(data.train: ['train'] -> ['val'])" in capsys.readouterr().err


def change_checkpoint(out, **changed):
    folder = out / "tiny" / "kl_loss" / "tiny" / "seed0"
    state = load_checkpoint(newest_checkpoint(folder)) | changed
    save_checkpoint(folder, state["step"] + 1, state)


@pytest.mark.fault("R47")
def test_another_checkpoint_is_another_forward_pass(data, trained, monkeypatch):
    evaluate(data, trained)
    change_checkpoint(trained, seed=5)
    asked, real = [], trained_module.build_detector
    monkeypatch.setattr(
        trained_module, "build_detector", lambda config: asked.append(config) or real(config)
    )
    evaluate(data, trained)
    assert asked == [TINY.model]


@pytest.mark.fault("R46")
def test_a_network_for_other_classes_is_a_sentence(data, trained, capsys):
    change_checkpoint(trained, classes=["cat", "dog"])
    assert command(data, trained) == 2
    printed = capsys.readouterr().err
    assert printed.startswith("error: The checkpoint ")
    assert "was trained on 2 classes (cat, dog" in printed
    assert "the data set has 6 (brick, ball" in printed


def test_a_network_of_another_configuration_is_a_sentence(data, trained, capsys):
    folder = trained / "tiny" / "kl_loss" / "tiny" / "seed0"
    run = load_checkpoint(newest_checkpoint(folder))["run"]
    change_checkpoint(trained, run=run | {"data": run["data"] | {"short_side": 99}})
    assert command(data, trained) == 2
    assert "data.short_side: 99 -> 64" in capsys.readouterr().err


def test_what_is_not_trained_stays_as_not_run(data, trained, tmp_path):
    out = shutil.copytree(trained, tmp_path / "copy")
    shutil.rmtree(out / "tiny" / "kl_loss" / "tiny_kl")
    assert command(data, out) == 0
    rows = rows_of(out)
    assert [row["metrics"] is None for row in rows] == [False, True, True, True]
    assert "no trained network in" in rows[1]["why"]
    assert report(out).count("not run") >= 3 * 3


def test_an_evaluation_of_nothing_is_an_error_and_writes_nothing(data, tmp_path, capsys):
    place = table_place("kl_loss/tiny", scale="tiny", out=tmp_path)
    write_atomically(place.seed_file(0), "an earlier evaluation")
    assert command(data, tmp_path) == 2
    assert (
        "kl_loss/tiny, seed 0: none of its 4 rows was evaluated, and nothing was written (no "
        "trained network in tiny/kl_loss/tiny/seed0" in capsys.readouterr().err
    )
    assert place.seed_file(0).read_text() == "an earlier evaluation"


@pytest.mark.parametrize("rows", [[], [{"label": "baseline", "metrics": None}]])
def test_a_report_of_nothing_is_an_error(tmp_path, rows):
    if rows:
        place = table_place("kl_loss/tiny", scale="tiny", out=tmp_path)
        write_json(place.seed_file(0), {"rows": rows})
    with pytest.raises(ValueError, match="Nothing of kl_loss/tiny was evaluated at the scale tiny"):
        report(tmp_path)


def test_own_data_stand_beside_no_papers_numbers(data, trained):
    """They are evaluated, and reported by scripts.score alone."""
    evaluate(data, trained, splits="train:train")
    assert rows_of(trained)[0]["metrics"] is not None
    with pytest.raises(ValueError, match="was evaluated on train:train, which is no split of COCO"):
        report(trained)


@pytest.mark.parametrize("splits", ["a:2007_test", "a:val2017", "a:minival", "a:test-dev", None])
def test_splits_of_papers_are_reported(splits):
    assert own_splits(splits) == {}
    assert own_splits("2007_trainval:photos") == {"own_splits": "2007_trainval:photos"}


def test_an_unfinished_network_is_evaluated_when_asked(data, tmp_path, capsys):
    out = tmp_path / "runs"
    train(data, out, stop_after=2)
    assert command(data, out) == 2
    assert "is not finished; train on, or add --unfinished" in capsys.readouterr().err
    evaluate(data, out, unfinished=True)
    assert (rows_of(out)[0]["updates"], rows_of(out)[0]["of_updates"]) == (2, 6)
    assert "UNFINISHED: tiny: only 2 of 6 updates" in report(out)


def test_a_missing_data_folder_is_a_sentence(tmp_path, capsys):
    """Where there is a network to evaluate; rows without one are not run, and need no data."""
    save_checkpoint(tmp_path / "tiny" / "kl_loss" / "tiny" / "seed0", 1, {})
    assert command(tmp_path / "nowhere", tmp_path) == 2
    assert "nowhere does not exist" in capsys.readouterr().err


def test_several_seeds_have_a_mean_and_a_spread(data, tmp_path):
    out = tmp_path / "runs"
    for seed, value in enumerate((20.0, 24.0)):
        rows = [
            {
                "group": "",
                "label": row.label,
                "run": row.run.name,
                "metrics": {"AP": value + i},
                "updates": 6,
                "of_updates": 6,
                "training": None,
            }
            for i, row in enumerate(TABLE.rows)
        ]
        path = out / "tiny" / "kl_loss" / "tiny" / f"seed{seed}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps({"seed": seed, "device": "a CPU", "rows": rows}))
    text = report(out)
    # the baseline: mean of 20 and 24, sample standard deviation sqrt(8)
    assert "22.0 ± 2.8" in text
    assert "+2.8 / +1.00 ± 0.00" in text  # KL Loss - baseline: 26.4 - 23.6, and 1 in each seed
    assert "seeds: [0, 1]; ± is the sample standard deviation over seeds" in text


def candidates(count, variances=True):
    values = torch.rand(count, 4, generator=torch.Generator().manual_seed(count))
    boxes = torch.cat([values[:, :2] * 50, values[:, 2:] * 50 + 60], dim=1)
    return Candidates(
        boxes=boxes,
        scores=values[:, 0],
        labels=torch.ones(count, dtype=torch.long),
        variances=values if variances else None,
        pixel_variances=values * 9 if variances else None,
    )


@pytest.mark.parametrize("variances", [True, False])
def test_candidates_come_back_from_disk(tmp_path, variances):
    saved = [candidates(count, variances) for count in (3, 0, 5)]
    save_candidates(tmp_path / "c.pt", saved, {"images": ["a", "b", "c"]})
    assert load_candidates(tmp_path / "c.pt", {"images": ["a", "b"]}) is None
    assert load_candidates(tmp_path / "none.pt", {}) is None
    loaded = load_candidates(tmp_path / "c.pt", {"images": ["a", "b", "c"]})
    assert [len(image.scores) for image in loaded] == [3, 0, 5]
    for before, after in zip(saved, loaded, strict=True):
        for name in ("boxes", "scores", "labels", "variances", "pixel_variances"):
            torch.testing.assert_close(getattr(before, name), getattr(after, name))


def test_post_processing_in_parts_is_post_processing_at_once(monkeypatch):
    found = [candidates(count) for count in (5, 9, 0, 7)]
    row = TABLE.rows[2]
    whole = detections_of(found, row)
    monkeypatch.setattr(inference, "IMAGES_AT_ONCE", 3)
    for one, other in zip(detections_of(found, row), whole, strict=True):
        torch.testing.assert_close(
            (one.boxes, one.scores, one.labels), (other.boxes, other.scores, other.labels)
        )


def test_what_an_earlier_version_trained_is_a_sentence(data, trained, capsys):
    folder = trained / "tiny" / "kl_loss" / "tiny" / "seed0"
    path = newest_checkpoint(folder)
    state = load_checkpoint(path)
    del state["format"]
    torch.save(state, path)
    path.with_suffix(".json").write_text(
        json.dumps({"step": state["step"], "sha256": sha256(path)})
    )
    assert command(data, trained) == 2
    printed = capsys.readouterr().err
    assert printed.startswith("error: The checkpoint ")
    assert "written by an earlier version of this code, whose network had other parts" in printed


def flip_a_byte(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def test_a_network_whose_last_checkpoint_is_damaged_is_named(data, tmp_path, capsys):
    out = tmp_path / "runs"
    for stop in (2, None):
        train(data, out, stop_after=stop)
    flip_a_byte(newest_checkpoint(out / "tiny" / "kl_loss" / "tiny" / "seed0"))
    assert command(data, out) == 2
    printed = capsys.readouterr().err
    assert "its last checkpoint step-00000006.pt is damaged; scripts.train, run again" in printed
    assert "goes on from step-00000002.pt (update 2)" in printed
    assert "--unfinished takes the newest whole checkpoint" in printed
    evaluate(data, out, unfinished=True)
    assert rows_of(out)[0]["updates"] == 2


def test_a_damaged_candidate_is_computed_again(data, trained, capsys):
    evaluate(data, trained)
    before = rows_of(trained)[0]["metrics"]
    path = trained / "tiny" / "kl_loss" / "tiny" / "seed0" / "candidates.pt"
    flip_a_byte(path)
    evaluate(data, trained)
    assert f"warning: {path} is damaged and is computed again" in capsys.readouterr().out
    assert rows_of(trained)[0]["metrics"] == before


def test_a_full_disk_leaves_the_scores_on_the_screen(data, trained, capsys, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    capsys.readouterr()
    assert command(data, trained) == ENVIRONMENT
    printed = capsys.readouterr()
    assert "KL Loss: AP " in printed.out
    assert "candidates.pt is not kept and is computed again the next time" in printed.out
    assert printed.err.startswith("error: The scores are printed above and not kept: ")
    assert "seed0.json could not be written (No space left on device; " in printed.err
    assert len(printed.err.splitlines()) == 1
    assert not (trained / "tiny" / "kl_loss" / "tiny" / "seed0.json").exists()


@pytest.mark.parametrize("content", ["", '{"rows": [', "[]", "{}"])
def test_a_damaged_seed_is_named_by_the_report(data, trained, content):
    evaluate(data, trained)
    path = trained / "tiny" / "kl_loss" / "tiny" / "seed0.json"
    path.write_text(content)
    with pytest.raises(ValueError, match=r"seed0\.json .*; delete it, or evaluate that seed again"):
        report(trained)


def evaluate_and_end(data, out):
    """Gets SIGTERM in the forward pass of the second network."""
    torch.set_num_threads(1)
    real, passes = inference.forward_pass, []

    def interrupted(*args):
        passes.append(args)
        if len(passes) == 2:
            os.kill(os.getpid(), signal.SIGTERM)
        return real(*args)

    inference.forward_pass = interrupted
    command(data, out)


@pytest.mark.fault("R23")
@pytest.mark.slow_fault
def test_an_evaluation_that_was_ended_is_made_by_the_next_call(data, trained):
    """The candidates of the networks before are kept, and nothing is there by halves."""
    process = multiprocessing.get_context("fork").Process(
        target=evaluate_and_end, args=(data, trained)
    )
    process.start()
    process.join(120)
    assert process.exitcode not in (0, None)
    assert not (trained / "tiny" / "kl_loss" / "tiny" / "seed0.json").exists()
    kept = {path.parents[1].name for path in trained.rglob("candidates.pt")}
    assert kept == {"tiny"}
    assert command(data, trained) == 0
    ended = [row["metrics"] for row in rows_of(trained)]
    for path in trained.rglob("candidates.pt"):
        path.unlink()
    assert command(data, trained) == 0
    assert [row["metrics"] for row in rows_of(trained)] == ended
