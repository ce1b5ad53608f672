"""Two region proposal networks taken apart: which part of each makes the proposals good."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from experiments.records import Row, Table
from experiments.scales import TITLES
from models.build import build_detector
from postprocess.pipeline import PostprocessConfig
from scripts.engine.first_stage.swap import UNMOVED, combinations, common_images, swapped
from scripts.engine.trained.trained import TrainedRun
from scripts.reports import files
from scripts.reports.files import ReportPlace
from scripts.reports.swap import write_swap
from scripts.swap import report_swapped
from tests.models.test_detector import BASE, batch_of, scene
from tests.models.test_kl_rpn import KL_RPN
from tests.tiny import (
    TINY,
    TINY_KLRPN,
    environment,
    know_tiny,
    tiny_dataset,
    train_tiny,
)

COUNT = 100
TABLE = Table(
    title="Two networks",
    metric="figure3",
    rows=(
        Row(label="RPN", run=TINY, postprocess=PostprocessConfig()),
        Row(label="KL-RPN", run=TINY_KLRPN, postprocess=PostprocessConfig()),
    ),
)


def test_each_network_with_its_own_boxes_is_itself():
    torch.manual_seed(0)
    detectors = {"RPN": build_detector(BASE).eval(), "KL-RPN": build_detector(KL_RPN).eval()}
    batch = batch_of(scene(0), scene(1), train=False, original=(128, 160))
    found = dict(swapped(detectors, batch, COUNT))
    assert list(found) == combinations(["RPN", "KL-RPN"])
    for label, detector in detectors.items():
        for mine, theirs in zip(found[label, label], detector.proposals(batch, COUNT), strict=True):
            assert torch.equal(mine.boxes, theirs.boxes)
    # original px
    anchors = detectors["RPN"].rpn.anchors([torch.zeros(1, 1, 4, 5)], (64, 80))[0] * 2
    # no offset: clipped anchors, in the order of the objectness
    for image in found["KL-RPN", UNMOVED]:
        clipped = torch.minimum(anchors.clamp(min=0), torch.tensor([160.0, 128, 160, 128]))
        assert ((image.boxes[:, None] - clipped).abs().amax(-1).amin(1) < 1e-4).all()


def test_the_command_writes_all_combinations(tmp_path, monkeypatch):
    data, out = tiny_dataset(tmp_path / "data"), tmp_path / "runs"
    know_tiny(monkeypatch, {"kl_rpn/tiny": TINY, "kl_rpn/tiny_klrpn": TINY_KLRPN})
    monkeypatch.setitem(TITLES, "tiny", "tiny: for tests")
    report = ReportPlace(table="kl_rpn/two", scale="tiny", out=out, results=tmp_path / "results")
    with pytest.raises(ValueError, match=r"no trained network of tiny, seed 0.*train\.sh first"):
        report_swapped(TABLE, report, environment(data, out), 1)
    for run in ("kl_rpn/tiny", "kl_rpn/tiny_klrpn"):
        train_tiny(data, out, run)
    text = report_swapped(TABLE, report, environment(data, out), 1)
    path = tmp_path / "results" / "tiny_swap.md"
    assert text.splitlines()[-1] == f"full report: {path}"
    assert path.read_text().count(" ranks, boxes of ") == 6
    assert text.count(" ranks, boxes of ") == 6
    assert "RPN ranks, boxes of KL-RPN" in text


def test_committed_seeds_that_publishing_leaves_out_are_named(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(files, "EXPERIMENTS", tmp_path)
    place = ReportPlace(table="kl_rpn/two", scale="mini", out=tmp_path, publish=True)
    header = {"commit": "a", "device": "a CPU", "date": "d"}
    seeds = [{**header, "seed": seed, "recall": {"RPN": {"0.5": 1.0}}} for seed in range(3)]
    write_swap(TABLE, seeds, place)
    assert capsys.readouterr().out == ""
    write_swap(TABLE, seeds[:1], place)
    text = capsys.readouterr().out
    assert text.startswith("note: the committed seeds [1, 2] of mini_swap are left out")
    assert "--seeds 3 measures them again" in text


def test_networks_that_see_different_images_have_no_anchors_in_common():
    def network(**data):
        return TrainedRun(
            run=replace(TINY, data=replace(TINY.data, **data)), checkpoint=Path("no.pt"), state={}
        )

    same = {"RPN": network(), "KL-RPN": network(train_short_sides=(48, 64))}
    assert common_images(same) == TINY.data
    for changed in ({"pixels": "tf"}, {"short_side": 48}, {"long_side": None}):
        with pytest.raises(
            ValueError, match=f"RPN and KL-RPN see different images: {next(iter(changed))}"
        ):
            common_images({"RPN": network(), "KL-RPN": network(**changed)})
