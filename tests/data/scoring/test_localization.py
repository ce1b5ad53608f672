"""Expected against measured IoU, on boxes that a person can check."""

import math

import pytest
import torch

from data.records import Detections, Target
from data.scoring.localization import binned_error, localization

OBJECTS = torch.tensor([[0.0, 0.0, 10.0, 10.0], [50.0, 0.0, 60.0, 10.0], [0.0, 50.0, 10.0, 60.0]])


def image(widths, scores):
    """A box on each object that is as wide as said: its IoU is width / 10."""
    boxes = OBJECTS.clone()
    boxes[:, 2] = boxes[:, 0] + torch.tensor(widths)
    order = torch.tensor(scores).argsort(descending=True)
    found = Detections(
        boxes=boxes[order],
        scores=torch.tensor(scores)[order],
        labels=torch.ones(3, dtype=torch.int64),
    )
    target = Target(boxes=OBJECTS, labels=torch.ones(3, dtype=torch.int64))
    return found, target, torch.tensor(widths)[order] / 10


def test_an_expectation_that_is_right_ranks_and_fits():
    """IoU 0.9, 0.6 and 0.3 with the worst score first: the score ranks the wrong way round."""
    found, target, expected = image([9.0, 6.0, 3.0], [0.5, 0.6, 0.7])
    fit = localization([found], [target], [expected], 1)
    assert fit["matched"] == 3
    assert fit["mean_iou"] == pytest.approx(0.6)
    assert fit["mean_expected"] == pytest.approx(0.6)
    assert fit["spearman_expected"] == pytest.approx(1.0)
    assert fit["spearman_score"] == pytest.approx(-1.0)
    assert fit["error"] == pytest.approx(0.0, abs=1e-7)
    assert fit["AP75_both"] > fit["AP75"]


def test_an_expectation_that_is_the_same_for_all_changes_no_rank():
    found, target, _ = image([9.0, 6.0, 3.0], [0.5, 0.6, 0.7])
    fit = localization([found], [target], [torch.full((3,), 0.8)], 1)
    assert (fit["AP_both"], fit["AP75_both"]) == (fit["AP"], fit["AP75"])
    assert math.isnan(fit["spearman_expected"])
    assert fit["error"] == pytest.approx((0.1 + 0.2 + 0.5) / 3, abs=1e-6)


def test_what_is_beside_every_object_does_not_count():
    found, target, expected = image([9.0, 6.0, 0.5], [0.5, 0.6, 0.7])
    assert localization([found], [target], [expected], 1)["matched"] == 2


def test_nothing_found_is_nan():
    none = Detections(
        boxes=torch.zeros(0, 4), scores=torch.zeros(0), labels=torch.zeros(0, dtype=torch.int64)
    )
    target = Target(boxes=OBJECTS, labels=torch.ones(3, dtype=torch.int64))
    fit = localization([none], [target], [torch.zeros(0)], 1)
    assert fit["matched"] == 0
    assert math.isnan(fit["mean_iou"])
    assert math.isnan(binned_error(torch.zeros(0), torch.zeros(0)))


def test_bins_keep_equal_expectations_in_their_order():
    """Bins of 3, 3, 3, 3, 3, 2, 2, 2, 2 and 2 boxes; every expectation is 0, the IoUs of the first
    15 are 0 and those of the others 1: five bins are off by 0 and five by 1.
    """
    observed = (torch.arange(25) >= 15).double()
    assert binned_error(torch.zeros(25, dtype=torch.float64), observed) == 0.5
