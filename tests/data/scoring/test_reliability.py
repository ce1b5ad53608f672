"""Reliability diagrams of scores and sigmas whose truth is known."""

import math

import pytest
import torch

from data.records import Detections, Target
from data.scoring.reliability import LEVELS, binned, score_reliability, sigma_reliability

A, FAR = [0.0, 0, 100, 100], [500.0, 0, 600, 100]


def found(boxes, scores, sigma=None):
    boxes = torch.tensor(boxes).reshape(-1, 4)
    labels = torch.ones(len(boxes), dtype=torch.int64)
    sigma = None if sigma is None else torch.tensor(sigma).reshape(-1, 4)
    return Detections(boxes=boxes, labels=labels, scores=torch.tensor(scores), sigma=sigma)


def labeled(boxes, **columns):
    boxes = torch.tensor(boxes).reshape(-1, 4)
    return Target(boxes=boxes, labels=torch.ones(len(boxes), dtype=torch.int64), **columns)


def test_score_bins_by_hand():
    """0.72 right and 0.78 wrong: mean score 0.75, precision 0.5; 1.0 is in the last bin."""
    scores = torch.tensor([0.72, 0.78, 1.0, 0.05], dtype=torch.float64)
    result = binned(scores, torch.tensor([True, False, True, False]))
    assert result.counts.tolist() == [1, 0, 0, 0, 0, 0, 0, 2, 0, 1]
    assert result.mean_score[7] == pytest.approx(0.75)
    assert result.precision[7] == pytest.approx(0.5)
    assert result.precision[9] == 1
    assert result.precision[1].isnan()
    assert result.error == pytest.approx((2 * 0.25 + 0.0 + 0.05) / 4)


def test_a_detection_is_right_once_and_a_crowd_forgives():
    target = labeled([A, [400.0, 0, 700, 200]], crowd=torch.tensor([False, True]))
    detections = found([A, A, FAR], [0.95, 0.85, 0.75])
    result = score_reliability([detections], [target])
    assert result.counts.tolist() == [0] * 8 + [1, 1]
    assert result.precision[8:].tolist() == [0.0, 1.0]
    nothing = score_reliability([], [])
    assert math.isnan(nothing.error)
    assert int(nothing.counts.sum()) == 0


def test_reliable_scores_have_no_error():
    generator = torch.Generator().manual_seed(0)
    scores = torch.rand(50000, generator=generator, dtype=torch.float64)
    right = torch.rand(50000, generator=generator, dtype=torch.float64) < scores
    assert binned(scores, right).error < 0.01
    assert binned(scores.sqrt(), right).error > 0.1  # overconfident


def test_intervals_of_sigma_by_hand():
    """Errors of 1, 2, 0 and 10 px with a sigma of 1.5 px: |error| / sigma = 0.67, 1.33, 0, 6.7. A
    Gaussian is within 0.6745 sigma in 50 % of the cases and within 1.96 sigma in 95 %.
    """
    moved = found([[1.0, 2, 100, 110]], [0.9], [[1.5, 1.5, 1.5, 1.5]])
    result = sigma_reliability([moved], [labeled([A])])
    observed = dict(zip(LEVELS, result.observed.tolist(), strict=True))
    assert observed[0.45] == [0, 0, 1, 0]
    assert observed[0.5] == [1, 0, 1, 0]
    assert observed[0.95] == [1, 1, 1, 0]
    assert result.matched == 1


def test_a_gaussian_is_reliable_and_a_wide_sigma_covers_too_much():
    generator = torch.Generator().manual_seed(0)
    errors = 3 * torch.randn(400, 4, generator=generator)
    corner = 1000.0 * torch.arange(400)[:, None]  # each object far from the others
    boxes = torch.cat([corner, corner, corner + 200, corner + 200], dim=1)
    moved, target = (boxes + errors).tolist(), labeled(boxes.tolist())
    right = sigma_reliability([found(moved, [0.9] * 400, [[3.0] * 4] * 400)], [target])
    wide = sigma_reliability([found(moved, [0.9] * 400, [[6.0] * 4] * 400)], [target])
    assert right.error < 0.04  # of 400 draws
    assert wide.error > 0.15
    assert (wide.observed >= wide.levels[:, None]).all()


def test_without_sigma_or_match_there_is_no_diagram():
    assert sigma_reliability([found([A], [0.9])], [labeled([A])]) is None
    assert sigma_reliability([found([FAR], [0.9], [[1.0] * 4])], [labeled([A])]) is None
    assert sigma_reliability([], []) is None
