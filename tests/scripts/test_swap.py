"""Two region proposal networks taken apart: which part of each makes the proposals good."""

import argparse

import pytest
import torch

from experiments.records import Row, Table
from models.build import build_detector
from postprocess.pipeline import PostprocessConfig
from scripts import proposals, swap
from scripts import train as train_module
from scripts.engine import places as lookup
from scripts.reports import swap as swap_report
from scripts.swap import UNMOVED, combinations, swapped
from tests.models.test_detector import BASE, batch_of, scene
from tests.models.test_kl_rpn import KL_RPN
from tests.tiny import SCALES, TINY, TINY_KLRPN, arguments, signal_handlers_kept, tiny_dataset

TABLE = Table(title="Two networks", metric="figure3", rows=(
    Row(label="RPN", run=TINY, postprocess=PostprocessConfig()),
    Row(label="KL-RPN", run=TINY_KLRPN, postprocess=PostprocessConfig())))


def test_each_network_with_its_own_boxes_is_itself():
    torch.manual_seed(0)
    detectors = {"RPN": build_detector(BASE).eval(), "KL-RPN": build_detector(KL_RPN).eval()}
    batch = batch_of(scene(0), scene(1), train=False, original=(128, 160))
    found = dict(swapped(detectors, batch))
    assert list(found) == combinations(["RPN", "KL-RPN"])
    for label, detector in detectors.items():
        for mine, theirs in zip(found[label, label], detector.proposals(batch, swap.COUNT), strict=True):
            assert torch.equal(mine.boxes, theirs.boxes)
    anchors = detectors["RPN"].anchors([torch.zeros(1, 1, 4, 5)], (64, 80))[0] * 2  # original px
    for image in found["KL-RPN", UNMOVED]:  # no offset: clipped anchors, in the order of the objectness
        clipped = torch.minimum(anchors.clamp(min=0), torch.tensor([160.0, 128, 160, 128]))
        assert ((image.boxes[:, None] - clipped).abs().amax(-1).amin(1) < 1e-4).all()


def test_the_command_writes_all_combinations(tmp_path, monkeypatch):
    data = tiny_dataset(tmp_path / "data")
    for part in (proposals, lookup, train_module):
        monkeypatch.setattr(part, "SCALES", SCALES)
    monkeypatch.setattr(train_module, "find_run", {"kl_rpn/tiny": TINY, "kl_rpn/tiny_klrpn": TINY_KLRPN}.__getitem__)
    monkeypatch.setattr(proposals, "find_table", lambda name: TABLE)
    monkeypatch.setattr(swap_report, "TITLES", {"tiny": "tiny: for tests"})
    how = {**vars(arguments(data, tmp_path / "runs")), "table": "kl_rpn/two", "results": tmp_path / "results",
           "publish": False}
    with pytest.raises(ValueError, match=r"no trained network of tiny, seed 0.*train\.sh first"):
        swap.swap(argparse.Namespace(**how))
    with signal_handlers_kept():
        for run in ("kl_rpn/tiny", "kl_rpn/tiny_klrpn"):
            train_module.train(arguments(data, tmp_path / "runs", run=run))
    text = swap.swap(argparse.Namespace(**how))
    path = tmp_path / "results" / "tiny_swap.md"
    assert text.splitlines()[-1] == f"full report: {path}"
    assert path.read_text().count(" ranks, boxes of ") == 6
    assert text.count(" ranks, boxes of ") == 6
    assert "RPN ranks, boxes of KL-RPN" in text
