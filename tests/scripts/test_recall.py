"""From trained networks to recall tables and Figure 3, with a first stage whose proposals are
known.
"""

import csv
import json
from dataclasses import asdict, replace

import pytest
import torch

from data.build import build_dataset
from data.records import Proposals
from experiments import scales
from experiments.records import Row, Table
from postprocess.pipeline import PostprocessConfig
from scripts import figure3, recall
from scripts.engine import places
from scripts.engine.environment import Environment
from scripts.engine.first_stage import recall as recall_module
from scripts.engine.run_folder.checkpoint import plain, save_checkpoint
from scripts.engine.trained import trained
from scripts.reports import recall as recall_report
from scripts.reports.files import ReportPlace
from tests.tiny import TINY

GOOD = replace(TINY, name="tiny_klrpn")
OTHER = replace(TINY, name="other")
SCALES = {
    "tiny": lambda run: run,
    "lite": lambda run: replace(run, name=run.name.replace("other", "tiny")),
}
COMPARISONS = (("KL-RPN", "RPN"),)


def row(label, run, group=""):
    return Row(label=label, run=run, postprocess=PostprocessConfig(), group=group)


FIGURE = Table(
    title="A tiny figure",
    metric="figure3",
    comparisons=COMPARISONS,
    rows=(row("RPN", TINY), row("KL-RPN", GOOD)),
)
COUNTS, IOUS = (2, 50), (0.5, 0.9)
RECALL = Table(
    title="A tiny recall",
    metric="recall",
    comparisons=COMPARISONS,
    rows=(row("RPN", TINY, "A"), row("KL-RPN", GOOD, "A"), row("RPN", OTHER, "B")),
)


TABLES = {"kl_rpn/figure3": FIGURE, "kl_rpn/proposals": RECALL}


class FirstStage:
    """A detector whose proposals are the labeled boxes (the KL-RPN run: best first) moved by what
    training "learned".
    """

    images = 0  # that went through any of them

    def __init__(self, dataset):
        self.targets = dict(
            zip(dataset.image_ids, map(dataset.target, range(len(dataset))), strict=True)
        )

    def load_state_dict(self, state):
        self.step, self.ranked = state["step"].item(), bool(state["ranked"])

    def to(self, device):
        return self

    def eval(self):
        return self

    def proposals(self, batch, count):
        FirstStage.images += len(batch.image_ids)
        found = []
        for image_id in batch.image_ids:
            boxes = self.targets[image_id].boxes
            steps = (
                torch.arange(8.0)[:, None, None] * self.step * torch.tensor([1.0, 0.5, 1.0, 0.5])
            )
            moved = (boxes + steps).flatten(0, 1)
            order = (
                torch.arange(len(moved))
                if self.ranked
                else torch.randperm(len(moved), generator=torch.Generator().manual_seed(0))
            )
            found.append(
                Proposals(
                    boxes=moved[order][:count], objectness=-torch.arange(len(moved)).float()[:count]
                )
            )
        return found


@pytest.fixture(autouse=True)
def stub(monkeypatch, data):
    for name, scale in SCALES.items():
        monkeypatch.setitem(scales.SCALES, name, scale)
        monkeypatch.setitem(scales.TITLES, name, "for tests, not comparable")
    for part in (recall, recall_report):
        monkeypatch.setattr(part, "COUNTS", COUNTS)
        monkeypatch.setattr(part, "IOUS", IOUS)
    monkeypatch.setattr(places, "find_table", TABLES.__getitem__)
    monkeypatch.setattr(
        trained, "build_detector", lambda config: FirstStage(build_dataset(TINY.data, data, "val"))
    )
    FirstStage.images = 0


def train(out, run, seed=0, scale="tiny", classes=6, finished=True, at=6):
    """What scripts.train leaves behind."""
    folder = out / scale / "kl_rpn" / run.name / f"seed{seed}"
    names = list(build_dataset(TINY.data, out.parent / "data", "val").classes)[:classes]
    state = {
        "model": {"step": torch.tensor(1.0 + seed), "ranked": torch.tensor(run.name == GOOD.name)},
        "step": at,
        "run": plain(asdict(run)),
        "classes": names,
    }
    path = save_checkpoint(folder, at, state)
    if finished:
        (folder / "finished.json").write_text(json.dumps({"seconds": 60.0, "device": "a CPU"}))
    return path


@pytest.fixture
def out(tmp_path, data):
    (tmp_path / "data").symlink_to(data)
    return tmp_path / "runs"


def run_recall(out, seeds=1, **changed):
    return recall.report_recall(
        RECALL, report_place("proposals", out, **changed), environment(out, **changed), seeds
    )


def run_figure3(out, seeds=1, **changed):
    return figure3.report_offsets(
        FIGURE, report_place("figure3", out, **changed), environment(out, **changed), seeds
    )


def environment(out, **changed):
    return Environment(
        **{"scale": "tiny", "data_root": out.parent / "data", "out": out, "device": "cpu"} | changed
    )


def report_place(table, out, scale="tiny", **_):
    return ReportPlace(
        table=f"kl_rpn/{table}", scale=scale, out=out, results=out.parent / "results"
    )


def page(run, out, scale="tiny", **changed):
    """The full report that a script writes; what it prints ends with its place."""
    path = out.parent / "results" / f"{scale}.md"
    assert run(out, scale=scale, **changed).splitlines()[-1] == f"full report: {path}"
    return path.read_text()


def lines_of(out, name="tiny.csv", **wanted):
    lines = csv.DictReader((out.parent / "results" / name).open())
    return [line for line in lines if all(line[key] == value for key, value in wanted.items())]


def test_recall_of_known_proposals(out):
    """The ranked network has the labels themselves in front: all are found at any overlap, if as
    many are allowed.
    """
    for seed in (0, 1):
        train(out, TINY, seed)
        train(out, GOOD, seed)
    text = page(run_recall, out, seeds=2)
    for part in (
        "# A tiny recall",
        "**for tests, not comparable**",
        "| best 2 ",
        "| best 50 ",
        "A: KL-RPN - RPN",
        " ± ",
        "B: RPN",
        "not run: RPN: no trained network in tiny/kl_rpn/other/seed0",
        "training: tiny 1.0 min on a CPU",
        "Against the clean boxes",
    ):
        assert part in text
    ranked = lines_of(out, row="KL-RPN", scored_on="labels", count="50")
    assert [
        float(line["value"]) for line in ranked if line["column"] in ("IoU 0.5", "IoU 0.9", "AR")
    ] == [100.0] * 3
    assert {line["seeds"] for line in ranked} == {"2"}
    (step,) = lines_of(out, row="KL-RPN - RPN", scored_on="labels", count="2", column="AR")
    both = [
        float(
            lines_of(out, group="A", row=name, scored_on="labels", count="2", column="AR")[0][
                "value"
            ]
        )
        for name in ("KL-RPN", "RPN")
    ]
    assert float(step["value"]) == pytest.approx(both[0] - both[1], abs=1e-3)
    assert {line["value"] for line in lines_of(out, group="B")} == {"not run"}
    seeds = json.loads((out.parent / "results" / "tiny.json").read_text())
    assert [seed["seed"] for seed in seeds] == [0, 1]
    assert seeds[0]["rows"][0]["metrics"].keys() >= {
        "recall@2 IoU 0.5",
        "AR@50",
        "proposals@50",
        "clean",
    }
    assert seeds[0]["rows"][0]["updates"] == 6


def test_networks_that_a_scale_makes_equal_are_measured_once(out):
    for run in (TINY, GOOD):
        train(out, run, scale="lite")
    text = page(run_recall, out, scale="lite")
    assert FirstStage.images == 2 * 3  # two networks, 3 images
    assert "one network at this scale, measured once (`tiny`): A: RPN, B: RPN" in text
    assert lines_of(out, "lite.csv", group="B", row="RPN") == [
        {**line, "group": "B"} for line in lines_of(out, "lite.csv", group="A", row="RPN")
    ]


def test_the_figure_and_its_numbers(out):
    for seed in (0, 1):
        train(out, TINY, seed)
        train(out, GOOD, seed)
    text = page(run_figure3, out, seeds=2)
    assert (out.parent / "results" / "tiny.png").read_bytes().startswith(b"\x89PNG")
    for part in (
        "# A tiny figure",
        "![densities of the four offsets](tiny.png)",
        "| KL-RPN - RPN ",
        "Wasserstein",
        " ± ",
    ):
        assert part in text
    # ranked proposals: the high half is less displaced than the low half in each seed; the sizes do
    # not change
    (ks,) = lines_of(out, row="KL-RPN", offset="x", column="ks")
    assert float(ks["value"]) > 0.5
    assert all(
        float(line["value"]) < 0.01 for line in lines_of(out, offset="w", column="wasserstein")
    )
    assert len(lines_of(out)) == 2 * (1 + 4 * 4)
    metrics = json.loads((out.parent / "results" / "tiny.json").read_text())[1]["rows"][1][
        "metrics"
    ]
    assert metrics["x"].keys() == {"median_high", "median_low", "ks", "wasserstein"}
    assert metrics["n"] > 0


def test_the_figure_without_networks(out):
    text = page(run_figure3, out)
    assert "not run: KL-RPN: no trained network in tiny/kl_rpn/tiny_klrpn/seed0" in text
    assert not (out.parent / "results" / "tiny.png").exists()
    train(out, TINY)
    assert "tiny.png" in page(run_figure3, out)
    assert {line["value"] for line in lines_of(out, row="KL-RPN")} == {"not run"}


def test_only_the_first_images_are_looked_at(out, monkeypatch):
    train(out, TINY)
    monkeypatch.setattr(figure3, "IMAGES", 2)
    run_figure3(out)
    kept = torch.load(
        out / "tiny" / "kl_rpn" / "tiny" / "seed0" / "proposals.pt", weights_only=True
    )
    assert len(kept["counts"]) == len(kept["key"]["images"]) == 2
    assert max(kept["counts"]) <= TINY.model.rpn.post_nms_test  # what the second stage gets
    assert kept["key"]["count"] == TINY.model.rpn.post_nms_test


def test_a_forward_pass_is_made_once_for_both_scripts(out, capsys):
    train(out, TINY)
    run_recall(out)
    run_figure3(out)  # fewer proposals
    run_recall(out)
    assert FirstStage.images == 3
    train(out, TINY, at=7)  # another checkpoint
    run_recall(out)
    assert FirstStage.images == 6
    stored = out / "tiny" / "kl_rpn" / "tiny" / "seed0" / "proposals.pt"
    stored.write_bytes(stored.read_bytes()[:100])
    run_recall(out)
    assert FirstStage.images == 9
    assert "proposals.pt is damaged and is computed again" in capsys.readouterr().out


def command(script, out, *more):
    return script.main(
        [
            *more,
            "--scale",
            "tiny",
            "--data-root",
            str(out.parent / "data"),
            "--out",
            str(out),
            "--device",
            "cpu",
            "--results",
            str(out.parent / "results"),
        ]
    )


def test_what_is_wrong_is_a_sentence(out, capsys):
    assert command(recall, out, "kl_rpn/figure3") == 2
    assert "kl_rpn/figure3 is a table of 'figure3', not of 'recall'" in capsys.readouterr().err
    train(out, TINY, classes=2)
    assert command(recall, out, "kl_rpn/proposals") == 2
    assert "was trained on 2 classes" in capsys.readouterr().err
    train(out, replace(TINY, data=replace(TINY.data, short_side=63)), at=7)
    assert command(figure3, out, "kl_rpn/figure3") == 2
    assert "data.short_side: 63 -> 64" in capsys.readouterr().err


def test_an_unfinished_network_is_measured_when_asked(out):
    train(out, TINY, finished=False, at=2)
    assert (
        "the network in tiny/kl_rpn/tiny/seed0 is not finished; train on, or add --unfinished"
        in page(run_recall, out)
    )
    assert "UNFINISHED: tiny: only 2 of 6 updates" in page(run_recall, out, unfinished=True)


def test_data_without_objects_have_no_recall(out, monkeypatch):
    train(out, TINY)
    monkeypatch.setattr(
        recall_module, "recall_scores", lambda *_: {f"AR@{count}": float("nan") for count in COUNTS}
    )
    assert "not run: RPN: the test data of tiny have no objects to find" in page(run_recall, out)
