"""The quality of an image on boxes that a person can count."""

import math

import pytest
import torch

from data.errors import DataError
from data.records import Detections, Target
from data.scoring.image_quality import best_and_worst, image_qualities, image_quality

A, B, HALF_OF_A = [0.0, 0, 40, 40], [100.0, 0, 140, 40], [0.0, 0, 40, 32]


def found(*boxes, scores=None, labels=None):
    scores = torch.tensor(scores or [0.9] * len(boxes))
    labels = torch.tensor(labels or [1] * len(boxes), dtype=torch.int64)
    return Detections(boxes=torch.tensor(boxes).reshape(-1, 4), scores=scores, labels=labels)


def truth(*boxes, **columns):
    labels = torch.ones(len(boxes), dtype=torch.int64)
    return Target(boxes=torch.tensor(boxes).reshape(-1, 4), labels=labels, **columns)


def test_by_hand():
    """IoU 0.8, one object missed, one box wrong."""
    image = image_quality(found(HALF_OF_A, [300.0, 0, 340, 40]), truth(A, B), 0.5)
    assert image.quality == pytest.approx(0.8 / (1 + 0.5 + 0.5))
    assert image.right.tolist() == [True, False]
    assert image.wrong.tolist() == [False, True]
    assert image.found.tolist() == [True, False]
    assert image.missed.tolist() == [False, True]
    assert image.objects == 2


def test_perfect_nothing_right_and_nothing_there():
    assert image_quality(found(A, B), truth(A, B), 0.5).quality == 1
    assert image_quality(found(A), truth(), 0.5).quality == 0
    assert image_quality(found(), truth(A), 0.5).quality == 0
    assert math.isnan(image_quality(found(), truth(), 0.5).quality)


def test_low_scores_do_not_count():
    image = image_quality(found(A, B, scores=[0.9, 0.4]), truth(A), 0.5)
    assert image.quality == 1
    assert not image.wrong.any()


def test_a_detection_in_a_crowd_is_neither_right_nor_wrong():
    image = image_quality(found(A), truth(A, crowd=torch.tensor([True])), 0.5)
    assert not (image.right | image.wrong).any()
    assert not image.missed.any()
    assert math.isnan(image.quality)


def test_best_and_worst_share_no_image():
    detections = [found(A), found(HALF_OF_A), found(), found(), found(B)]
    targets = [truth(A), truth(A), truth(A), truth(), truth(A, B)]
    qualities = image_qualities(detections, targets, 0.5)
    assert best_and_worst(qualities, 1) == ([0], [2])
    best, worst = best_and_worst(qualities, 50)
    assert (best, worst) == ([0, 1], [2, 4])  # without the fourth, which has no quality
    assert best_and_worst([], 5) == ([], [])
    with pytest.raises(DataError):
        image_qualities(detections, targets[1:], 0.5)
