"""Precision and recall over the score: counts that a person can check."""

import torch

from data.records import Detections, Target
from data.scoring.score_curve import score_curve

BOX = torch.tensor([[0.0, 0.0, 10.0, 10.0]])
FAR = BOX + 100


def test_counts_at_each_threshold():
    """Two objects; a right detection at 0.8, a wrong one at 0.6; one object is missed."""
    target = Target(boxes=torch.cat([BOX, FAR]), labels=torch.tensor([1, 2]))
    found = Detections(
        boxes=torch.cat([BOX, FAR]), scores=torch.tensor([0.8, 0.6]), labels=torch.tensor([1, 1])
    )
    curve = score_curve([found], [target])
    at = {score: round(100 * score) for score in (0.5, 0.7, 0.9)}
    assert [int(curve.right[place]) for place in at.values()] == [1, 1, 0]
    assert [int(curve.wrong[place]) for place in at.values()] == [1, 0, 0]
    assert [int(curve.missed[place]) for place in at.values()] == [1, 1, 2]
    assert [float(curve.precision[place]) for place in at.values()] == [0.5, 1.0, 1.0]
    assert [float(curve.recall[place]) for place in at.values()] == [0.5, 0.5, 0.0]


def test_a_score_reaches_the_threshold_of_its_own_digits():
    """A results file has 0.35, 0.41 and 0.47, each of which is at least itself."""
    target = Target(boxes=BOX, labels=torch.tensor([1]))
    for percent in range(101):
        score = torch.tensor([percent / 100], dtype=torch.float64)
        found = Detections(boxes=BOX, scores=score, labels=torch.tensor([1]))
        right = score_curve([found], [target]).right
        assert right.tolist() == [1] * (percent + 1) + [0] * (100 - percent)


def test_without_an_image_nothing_is_found_or_missed():
    curve = score_curve([], [])
    assert not (curve.right + curve.wrong + curve.missed).any()
    assert curve.precision.unique().tolist() == [1.0]
    assert curve.recall.unique().tolist() == [0.0]
