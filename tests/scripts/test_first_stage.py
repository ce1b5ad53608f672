"""The command that measures first stages, on tiny networks; and its numbers, by hand."""

import json
import math
from dataclasses import replace

import pytest
import torch

from data.records import Batch, Target
from experiments.records import Row, Table
from experiments.scales import TITLES
from models.rpn import AnchorPredictions
from models.rpn_head import RPNOutput
from postprocess.pipeline import PostprocessConfig
from scripts.engine.first_stage.anchors import batch_values, summarized
from scripts.first_stage import report_first_stages
from scripts.reports.files import ReportPlace
from tests.models.test_build_rpn import built
from tests.tiny import (
    TINY,
    TINY_KLRPN,
    environment,
    know_tiny,
    tiny_dataset,
    train_tiny,
)

PLAIN = PostprocessConfig()
TABLE = Table(
    title="Two first stages",
    metric="first_stage",
    rows=(Row("RPN", TINY, PLAIN), Row("KL-RPN", TINY_KLRPN, PLAIN)),
    comparisons=(("KL-RPN", "RPN"),),
)


def test_the_command_measures_both_kinds(tmp_path, monkeypatch):
    data, out = tiny_dataset(tmp_path / "data"), tmp_path / "runs"
    know_tiny(monkeypatch, {"kl_rpn/tiny": TINY, "kl_rpn/tiny_klrpn": TINY_KLRPN})
    monkeypatch.setitem(TITLES, "tiny", "tiny: for tests")
    for run in ("tiny", "tiny_klrpn"):
        assert train_tiny(data, out, f"kl_rpn/{run}") == 0
    place = ReportPlace(table="kl_rpn/two", scale="tiny", out=out)
    printed = report_first_stages(TABLE, place, environment(data, out), seeds=2)
    assert "KL-RPN - RPN" in printed
    assert "not run: 2 of 2 rows; RPN: no trained network in tiny/kl_rpn/tiny/seed1" in printed
    first, second = json.loads((place.folder / "tiny.json").read_text())
    rpn, kl_rpn = (line["metrics"] for line in first["rows"])
    assert [line["metrics"] for line in second["rows"]] == [None, None]
    shared = {"recall50", "recall70", "recall90", "AR", "mean_iou", "clean", "auc", "ks"}
    assert rpn.keys() == shared | {"offset_error"}
    assert kl_rpn.keys() - rpn.keys() == {"log_variance_positive", "log_variance_negative"}
    assert all(0 <= numbers["auc"] <= 100 for numbers in (rpn, kl_rpn))
    assert rpn["clean"].keys() == {"recall50", "recall70", "recall90", "AR", "mean_iou"}
    text = (place.folder / "tiny.md").read_text()
    assert "| KL-RPN - RPN |" in text
    assert "recall against the clean boxes" in text


def measured(log_variance=True, target=None, **data):
    """Three anchors of 16 px: one on the object, one away, one that half overlaps it."""
    anchors = torch.tensor([[0.0, 0, 16, 16], [32, 32, 48, 48], [8, 0, 24, 16]])
    output = RPNOutput(
        torch.tensor([[2.0, 1.0, 5.0]]),
        torch.tensor([[[0.1, 0.0, 0.0, -0.3], [9.0] * 4, [9.0] * 4]]),
        torch.tensor([[[-4.0] * 4, [-1.0, -1, -2, -2], [7.0] * 4]]) if log_variance else None,
    )
    batch = Batch(
        images=torch.zeros(1, 3, 64, 64),
        image_sizes=[(64, 64)],
        original_sizes=[(32, 32)],
        image_ids=["a"],
        indices=[0],
    )
    box = torch.tensor([[0.0, 0, 8, 8]])  # of the original image; (0, 0, 16, 16) of the network's
    target = target or Target(boxes=box, labels=torch.tensor([1]))
    rpn = built(kind="kl_rpn", decode_minus_one=False)
    predictions = AnchorPredictions(anchors, (3,), output)
    values = batch_values(rpn, predictions, batch, [target], replace(TINY.data, **data))
    return summarized(list(values))


def test_numbers_of_anchors_by_hand():
    """IoU 1 is positive, 0 negative, 1/3 neither; the target offsets are 0."""
    assert measured() == pytest.approx({
        "auc": 100.0,
        "offset_error": 0.05,  # of 0, 0, 0.1, 0.3
        "log_variance_positive": -4.0,
        "log_variance_negative": -1.5,
    })  # fmt: skip
    assert measured(log_variance=False).keys() == {"auc", "offset_error"}


def test_an_image_without_objects_has_negative_anchors_alone():
    nothing = Target(boxes=torch.zeros(0, 4), labels=torch.zeros(0, dtype=torch.long))
    numbers = measured(target=nothing)
    assert math.isnan(numbers["auc"])
    assert math.isnan(numbers["offset_error"])
    assert numbers["log_variance_negative"] == pytest.approx((-4 - 1.5 + 7) / 3)


def test_difficult_objects_count_where_training_uses_them():
    target = Target(
        boxes=torch.tensor([[0.0, 0, 8, 8]]),
        labels=torch.tensor([1]),
        difficult=torch.tensor([True]),
    )
    assert math.isnan(measured(target=target)["offset_error"])
    assert measured(target=target, train_difficult=True) == measured()
