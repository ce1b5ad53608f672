"""From trained networks to recall tables and Figure 3, with a first stage whose proposals are known."""

import argparse
import csv
import json
from dataclasses import asdict, replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from data.build import build_dataset
from data.records import Proposals
from experiments.records import Row
from postprocess.pipeline import PostprocessConfig
from scripts import figure3, recall
from scripts import proposals as module
from scripts.engine import trained
from scripts.engine.checkpoint import plain, save_checkpoint
from scripts.proposals import load_proposals, save_proposals
from tests.tiny import TINY, tiny_dataset

GOOD = replace(TINY, name="tiny_klrpn")
OTHER = replace(TINY, name="other")
SCALES = {"tiny": lambda run: run, "lite": lambda run: replace(run, name=run.name.replace("other", "tiny"))}
COMPARISONS = (("KL-RPN", "RPN"),)


def row(label, run, group=""):
    return Row(label=label, run=run, postprocess=PostprocessConfig(), group=group)


FIGURE = SimpleNamespace(TITLE="A tiny figure", METRIC="figure3", COMPARISONS=COMPARISONS,
                         ROWS=(row("RPN", TINY), row("KL-RPN", GOOD)))
RECALL = SimpleNamespace(TITLE="A tiny recall", METRIC="recall", COMPARISONS=COMPARISONS, COUNTS=(2, 50), IOUS=(0.5, 0.9),
                         ROWS=(row("RPN", TINY, "A"), row("KL-RPN", GOOD, "A"), row("RPN", OTHER, "B")))


class FirstStage:
    """A detector whose proposals are the labeled boxes (the KL-RPN run: best first) moved by what training "learned"."""

    images = 0  # that went through any of them

    def __init__(self, dataset):
        self.targets = dict(zip(dataset.image_ids, map(dataset.target, range(len(dataset))), strict=True))

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
            steps = torch.arange(8.0)[:, None, None] * self.step * torch.tensor([1.0, 0.5, 1.0, 0.5])
            moved = (boxes + steps).flatten(0, 1)
            order = torch.arange(len(moved)) if self.ranked else torch.randperm(
                len(moved), generator=torch.Generator().manual_seed(0))
            found.append(Proposals(boxes=moved[order][:count], objectness=-torch.arange(len(moved)).float()[:count]))
        return found


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return tiny_dataset(tmp_path_factory.mktemp("data"))


@pytest.fixture(autouse=True)
def stub(monkeypatch, data):
    monkeypatch.setattr(module, "SCALES", SCALES)
    monkeypatch.setattr(module, "TITLES", dict.fromkeys(SCALES, "for tests, not comparable"))
    monkeypatch.setattr(figure3, "TITLES", dict.fromkeys(SCALES, "for tests, not comparable"))
    monkeypatch.setattr(module, "find_table", {"kl_rpn/figure3": FIGURE, "kl_rpn/proposals": RECALL}.__getitem__)
    monkeypatch.setattr(trained, "build_detector", lambda config: FirstStage(build_dataset(TINY.data, data, "val")))
    FirstStage.images = 0


def train(out, run, seed=0, scale="tiny", classes=6, finished=True, at=6):
    """What scripts.train leaves behind."""
    folder = out / scale / "kl_rpn" / run.name / f"seed{seed}"
    names = list(build_dataset(TINY.data, out.parent / "data", "val").classes)[:classes]
    state = {"model": {"step": torch.tensor(1.0 + seed), "ranked": torch.tensor(run.name == GOOD.name)}, "step": at,
             "run": plain(asdict(run)), "classes": names}
    path = save_checkpoint(folder, at, state)
    if finished:
        (folder / "finished.json").write_text(json.dumps({"seconds": 60.0, "device": "a CPU"}))
    return path


@pytest.fixture
def out(tmp_path, data):
    (tmp_path / "data").symlink_to(data)
    return tmp_path / "runs"


def arguments(table, out, **changed):
    given = {"table": f"kl_rpn/{table}", "scale": "tiny", "data_root": out.parent / "data", "splits": None,
             "skip_bad_boxes": False, "out": out, "device": "cpu", "workers": 0, "seeds": 1, "unfinished": False,
             "results": out.parent / "results"}
    return argparse.Namespace(**given | changed)


def lines_of(out, name="tiny.csv", **wanted):
    lines = csv.DictReader((out.parent / "results" / name).open())
    return [line for line in lines if all(line[key] == value for key, value in wanted.items())]


def test_recall_of_known_proposals(out):
    """The ranked network has the labels themselves in front: all are found at any overlap, if as many are allowed."""
    for seed in (0, 1):
        train(out, TINY, seed)
        train(out, GOOD, seed)
    text = recall.evaluate(arguments("proposals", out, seeds=2))
    assert (out.parent / "results" / "tiny.md").read_text() == text
    for part in ("# A tiny recall", "**for tests, not comparable**", "| best 2 ", "| best 50 ", "A: KL-RPN - RPN", " ± ",
                 "B: RPN", "not run: RPN: no trained network in tiny/kl_rpn/other/seed0", "training: tiny 1.0 min on a CPU",
                 "Against the clean boxes"):
        assert part in text
    ranked = lines_of(out, row="KL-RPN", scored_on="labels", count="50")
    assert [float(line["value"]) for line in ranked if line["column"] in ("IoU 0.5", "IoU 0.9", "AR")] == [100.0] * 3
    assert {line["seeds"] for line in ranked} == {"2"}
    step, = lines_of(out, row="KL-RPN - RPN", scored_on="labels", count="2", column="AR")
    both = [float(lines_of(out, group="A", row=name, scored_on="labels", count="2", column="AR")[0]["value"])
            for name in ("KL-RPN", "RPN")]
    assert float(step["value"]) == pytest.approx(both[0] - both[1], abs=1e-3)
    assert {line["value"] for line in lines_of(out, group="B")} == {"not run"}
    seeds = json.loads((out.parent / "results" / "tiny.json").read_text())
    assert [seed["seed"] for seed in seeds] == [0, 1]
    assert seeds[0]["rows"][0]["metrics"].keys() >= {"recall@2 IoU 0.5", "AR@50", "proposals@50", "clean"}
    assert seeds[0]["rows"][0]["updates"] == 6


def test_networks_that_a_scale_makes_equal_are_measured_once(out):
    for run in (TINY, GOOD):
        train(out, run, scale="lite")
    text = recall.evaluate(arguments("proposals", out, scale="lite"))
    assert FirstStage.images == 2 * 3  # two networks, 3 images
    assert "one network at this scale, measured once (`tiny`): A: RPN, B: RPN" in text
    assert lines_of(out, "lite.csv", group="B", row="RPN") == [
        {**line, "group": "B"} for line in lines_of(out, "lite.csv", group="A", row="RPN")]


def test_the_figure_and_its_numbers(out):
    for seed in (0, 1):
        train(out, TINY, seed)
        train(out, GOOD, seed)
    text = figure3.evaluate(arguments("figure3", out, seeds=2))
    assert (out.parent / "results" / "tiny.png").read_bytes().startswith(b"\x89PNG")
    for part in ("# A tiny figure", "![densities of the four offsets](tiny.png)", "| KL-RPN - RPN ", "Wasserstein", " ± "):
        assert part in text
    # ranked proposals: the high half is less displaced than the low half in each seed; the sizes do not change
    ks, = lines_of(out, row="KL-RPN", offset="x", column="ks")
    assert float(ks["value"]) > 0.5
    assert all(float(line["value"]) < 0.01 for line in lines_of(out, offset="w", column="wasserstein"))
    assert len(lines_of(out)) == 2 * (1 + 4 * 4)
    metrics = json.loads((out.parent / "results" / "tiny.json").read_text())[1]["rows"][1]["metrics"]
    assert metrics["x"].keys() == {"median_high", "median_low", "ks", "wasserstein"}
    assert metrics["n"] > 0


def test_the_figure_without_networks(out):
    text = figure3.evaluate(arguments("figure3", out))
    assert "not run: KL-RPN: no trained network in tiny/kl_rpn/tiny_klrpn/seed0" in text
    assert not (out.parent / "results" / "tiny.png").exists()
    train(out, TINY)
    assert "tiny.png" in figure3.evaluate(arguments("figure3", out))
    assert {line["value"] for line in lines_of(out, row="KL-RPN")} == {"not run"}


def test_only_the_first_images_are_looked_at(out, monkeypatch):
    train(out, TINY)
    monkeypatch.setattr(figure3, "IMAGES", 2)
    figure3.evaluate(arguments("figure3", out))
    kept = torch.load(out / "tiny" / "kl_rpn" / "tiny" / "seed0" / "proposals.pt", weights_only=True)
    assert len(kept["counts"]) == len(kept["key"]["images"]) == 2
    assert max(kept["counts"]) <= TINY.model.post_nms_test  # what the second stage gets
    assert kept["key"]["count"] == TINY.model.post_nms_test


def test_a_forward_pass_is_made_once_for_both_scripts(out, capsys):
    train(out, TINY)
    recall.evaluate(arguments("proposals", out))
    figure3.evaluate(arguments("figure3", out))  # fewer proposals
    recall.evaluate(arguments("proposals", out))
    assert FirstStage.images == 3
    train(out, TINY, at=7)  # another checkpoint
    recall.evaluate(arguments("proposals", out))
    assert FirstStage.images == 6
    stored = out / "tiny" / "kl_rpn" / "tiny" / "seed0" / "proposals.pt"
    stored.write_bytes(stored.read_bytes()[:100])
    recall.evaluate(arguments("proposals", out))
    assert FirstStage.images == 9
    assert "proposals.pt is damaged and is computed again" in capsys.readouterr().out


def test_proposals_come_back_from_disk(tmp_path):
    saved = [Proposals(boxes=torch.rand(count, 4), objectness=torch.arange(count, 0, -1).float()) for count in (5, 0, 2)]
    key = {"checkpoint": "abc", "count": 5, "images": ["1", "2", "3"], "sizes": [[1, 2], [3, 4], [5, 6]]}
    save_proposals(tmp_path / "p.pt", saved, key)
    for count, images in ((5, 3), (5, 1), (3, 3), (1, 2)):
        wanted = {**key, "count": count, "images": key["images"][:images], "sizes": key["sizes"][:images]}
        loaded = load_proposals(tmp_path / "p.pt", wanted)
        assert [len(image.boxes) for image in loaded] == [min(count, known) for known in (5, 0, 2)][:images]
        for before, after in zip(saved, loaded, strict=False):
            torch.testing.assert_close(after.boxes, before.boxes[:count])
            torch.testing.assert_close(after.objectness, before.objectness[:count])
    for other in ({"checkpoint": "abd"}, {"count": 6}, {"images": ["1", "2", "4"]}, {"images": ["1", "2", "3", "4"]},
                  {"sizes": [[1, 2], [3, 4], [5, 7]]}):
        assert load_proposals(tmp_path / "p.pt", key | other) is None
    assert load_proposals(tmp_path / "none.pt", key) is None


def command(monkeypatch, script, out, *more):
    monkeypatch.setattr("sys.argv", ["script", *more, "--scale", "tiny", "--data-root", str(out.parent / "data"), "--out",
                                     str(out), "--device", "cpu", "--results", str(out.parent / "results")])
    return script.main()


def test_what_is_wrong_is_a_sentence(out, monkeypatch, capsys):
    monkeypatch.setattr("scripts.engine.places.SCALES", SCALES)
    assert command(monkeypatch, recall, out, "kl_rpn/figure3") == 2
    assert "kl_rpn/figure3 is a table of 'figure3', not of 'recall'" in capsys.readouterr().err
    train(out, TINY, classes=2)
    assert command(monkeypatch, recall, out, "kl_rpn/proposals") == 2
    assert "was trained on 2 classes" in capsys.readouterr().err
    train(out, replace(TINY, data=replace(TINY.data, short_side=63)), at=7)
    assert command(monkeypatch, figure3, out, "kl_rpn/figure3") == 2
    assert "data.short_side: 63 -> 64" in capsys.readouterr().err


def test_an_unfinished_network_is_measured_when_asked(out):
    train(out, TINY, finished=False, at=2)
    assert "no trained network in tiny/kl_rpn/tiny/seed0" in recall.evaluate(arguments("proposals", out))
    assert "UNFINISHED: tiny: only 2 of 6 updates" in recall.evaluate(arguments("proposals", out, unfinished=True))


def test_data_without_objects_have_no_recall(out, monkeypatch):
    train(out, TINY)
    monkeypatch.setattr(recall, "measure", lambda *_: {f"AR@{count}": float("nan") for count in RECALL.COUNTS})
    assert "not run: RPN: the test data of tiny have no objects to find" in recall.evaluate(arguments("proposals", out))


def test_a_density_has_the_area_of_what_lies_inside():
    values = np.concatenate([np.linspace(0, 1, 90), np.full(10, 5.0)])
    edges = np.linspace(0, 1, 21)
    assert (figure3.density(values, edges) * np.diff(edges)).sum() == pytest.approx(0.9)
    assert figure3.outside(values, edges) == pytest.approx(10.0)
    assert figure3.outside(values[:0], edges) == 0.0
    offsets = [(np.full((50, 4), 1.0), np.full((49, 4), 2.0)), (np.full((1, 4), 1000.0), np.zeros((0, 4)))]
    edges = figure3.shared_bins(offsets, 0)
    assert edges[0] == 0
    assert 2 <= edges[-1] < 1000  # the outlier does not stretch the axis
    assert figure3.shared_bins([], 0)[-1] == 1.0
