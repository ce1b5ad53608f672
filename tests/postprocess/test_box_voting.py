"""Box voting against numbers that a person can check, a plain loop, and the laws."""

import math
from dataclasses import replace

import pytest
import torch

from data.boxes import box_iou
from data.records import Candidates
from postprocess.box_voting import MR_CNN, BoxVoting, new_score, score_weights
from postprocess.pipeline import PostprocessConfig, postprocess, postprocess_class
from tests.six_boxes import SIX as BOXES
from tests.six_boxes import SIX_SCORES as SCORES

# IoU 0-1 .861575, 0-4 .906977, 1-4 .783724, 3-5 .8 exactly; box 2 overlaps 0, 1 and 4 by less than
# a third. Box 0 is voted on by 0, 1 and 4: x1 = (.9 * 10 + .85 * 12 + .4 * 9) / 2.15 = 22.8 / 2.15
# = 10.604651; box 3 by 3 and 5: x1 = (.55 * 60 + .3 * 62) / .85 = 60.705882.
VOTED = {
    0: [10.604651, 10.604651, 50.604651, 50.186047],
    2: [11.0, 30, 51, 72],
    3: [60.705882, 59.294118, 90.705882, 90.352941],
}
HARD = PostprocessConfig(box_voting=BoxVoting())
SOFT = replace(HARD, suppression="soft_gaussian")


@pytest.mark.parametrize("voting", [BoxVoting(), BoxVoting(iou=0.5), MR_CNN])
def test_worked_example(voting):
    boxes, scores, keep = postprocess_class(BOXES, SCORES, None, replace(HARD, box_voting=voting))
    assert keep.tolist() == [0, 2, 3]
    assert scores.equal(SCORES[keep])
    torch.testing.assert_close(boxes, torch.tensor(list(VOTED.values())), atol=1e-5, rtol=0)


def test_after_soft_nms_voters_have_their_first_scores():
    """Box 1 comes fourth with .156466, yet box 0 and it vote with .9 and .85: (.9 * 10 + .85 * 12)
    / 1.75 = 10.971429.
    """
    boxes, scores, keep = postprocess_class(BOXES, SCORES, None, SOFT)
    assert keep.tolist() == [0, 3, 2, 1, 5, 4]
    torch.testing.assert_close(scores[3].item(), 0.156466, atol=1e-6, rtol=0)
    torch.testing.assert_close(
        boxes[[0, 2, 1]], torch.tensor(list(VOTED.values())), atol=1e-5, rtol=0
    )
    torch.testing.assert_close(
        boxes[3], torch.tensor([10.971429, 10.971429, 50.971429, 50.0]), atol=1e-5, rtol=0
    )


# Three voters of .9, .85, .4 with IoU 1, .861575, .906977. Their mean is 2.15 / 3; weighted by IoU
# it is (.9 + .732339 + .362791) / 2.768552; sqrt((.81 + .7225 + .16) / 3); 2.15 / sqrt(3); the
# square roots of the odds 9, 5.666667, .666667 are 3, 2.380476, .816497, probabilities .75,
# .704184, .449490.
@pytest.mark.parametrize(
    ("scoring", "beta", "expected"),
    [
        ("ID", 1.0, 0.9),
        ("AVG", 1.0, 0.716667),
        ("IOU_AVG", 1.0, 0.720640),
        ("GENERALIZED_AVG", 1.0, 0.716667),
        ("GENERALIZED_AVG", 2.0, 0.751110),
        ("QUASI_SUM", 1.0, 0.716667),
        ("QUASI_SUM", 0.5, 1.241303),
        ("TEMP_AVG", 1.0, 0.716667),
        ("TEMP_AVG", 2.0, 0.634558),
    ],
)
def test_scores(scoring, beta, expected):
    config = replace(HARD, box_voting=BoxVoting(scoring=scoring, beta=beta))
    boxes, scores, keep = postprocess_class(BOXES, SCORES, None, config)
    first = keep.tolist().index(0)
    torch.testing.assert_close(scores[first].item(), expected, atol=1e-5, rtol=0)
    # a score moves no box
    torch.testing.assert_close(boxes[first], torch.tensor(VOTED[0]), atol=1e-5, rtol=0)
    # its only voter is itself; a temperature softens it all the same
    alone = scores[keep.tolist().index(2)].item()
    assert alone == pytest.approx(0.550510 if (scoring, beta) == ("TEMP_AVG", 2.0) else 0.6)


def test_certain_scores_stay_finite():
    scores, all_vote = torch.tensor([[1.0, 0.0]]), torch.ones(1, 2, dtype=torch.bool)
    assert new_score(scores, torch.ones(1, 2), all_vote, "TEMP_AVG", 2.0).tolist() == [0.5]


def test_a_new_score_counts_before_the_best_are_taken():
    """Mean of .9 and .3 is .6: the box that NMS selects second, .7, is then the best one of the
    image.
    """
    boxes = torch.tensor([[0.0, 0, 10, 10], [0.0, 0, 10, 11], [50.0, 50, 60, 60]])
    scores = torch.tensor([0.9, 0.3, 0.7])
    for scoring, first in (("ID", 0), ("AVG", 2)):
        config = PostprocessConfig(box_voting=BoxVoting(scoring=scoring), max_detections=1)
        assert postprocess_class(boxes, scores, None, config)[2].tolist() == [first]


def test_mr_cnn_weights():
    """SVM scores: eps + max(0, s + 1.5). Voters that all have eps give the plain mean."""
    weights = score_weights(torch.tensor([1.0, -1.0, -2.0]), 1.5)
    torch.testing.assert_close(weights, torch.tensor([2.5, 0.5, 0.0]))
    pair, scores = torch.tensor([[0.0, 0, 10, 10], [0.0, 0, 12, 10]]), torch.tensor([-1.9, -2.5])
    config = PostprocessConfig(box_voting=replace(MR_CNN, weight_shift=1.5), score_threshold=-9.0)
    assert postprocess_class(pair, scores, None, config)[0].tolist() == [[0, 0, 11, 10]]
    # weights .1 + 1.5 and -.5 + 1.5: 10 + 2 / 2.6
    raised = postprocess_class(pair, scores + 2, None, config)[0]
    assert raised[0, 2].item() == pytest.approx(10 + 2 / 2.6, abs=1e-5)


def plain_vote(box, boxes, scores, threshold):
    """The vote on one box of a class, voter by voter."""
    total, moved = 0.0, [0.0] * 4
    for other, score in zip(boxes, scores, strict=True):
        if box_iou(box[None], other[None]).item() >= threshold:
            total += score.item()
            moved = [m + score.item() * c for m, c in zip(moved, other.tolist(), strict=True)]
    return [m / total for m in moved]


def random_candidates(count, seed):
    generator = torch.Generator().manual_seed(seed)
    corner = torch.randint(0, 3, (count, 2), generator=generator) * 80 + 6 * torch.randn(
        count, 2, generator=generator
    )
    boxes = torch.cat([corner, corner + 60 + 10 * torch.rand(count, 2, generator=generator)], dim=1)
    labels = 1 + (4 * torch.rand(count, generator=generator) ** 2).long()
    return Candidates(
        boxes=boxes, scores=0.06 + 0.9 * torch.rand(count, generator=generator), labels=labels
    )


@pytest.mark.parametrize(
    "config", [HARD, SOFT, replace(HARD, box_voting=BoxVoting(iou=0.5), iou_threshold=0.3)]
)
def test_equals_the_plain_loop(config):
    images = [random_candidates(count, seed) for seed, count in enumerate((70, 0, 1, 30))]
    plain = replace(config, box_voting=None)
    found, unmoved = postprocess(images, config), postprocess(images, plain)
    for image, moved, still in zip(images, found, unmoved, strict=True):
        torch.testing.assert_close(moved.scores, still.scores, atol=1e-6, rtol=0)
        assert moved.labels.equal(still.labels)
        for box, label, expected in zip(still.boxes, still.labels, moved.boxes, strict=True):
            same = image.labels == label
            voted = plain_vote(box, image.boxes[same], image.scores[same], config.box_voting.iou)
            torch.testing.assert_close(expected, torch.tensor(voted), atol=1e-3, rtol=0)


# plain, inverted, no area
@pytest.mark.parametrize("box", [[5.0, 5, 20, 30], [50.0, 10, 40, 30], [7.0, 7, 7, 7]])
def test_a_box_alone_stays(box):
    for voting in (BoxVoting(), MR_CNN, BoxVoting(scoring="AVG")):
        boxes, scores, _ = postprocess_class(
            torch.tensor([box]), torch.tensor([0.6]), None, replace(HARD, box_voting=voting)
        )
        assert boxes.equal(torch.tensor([box]))
        assert scores.item() == pytest.approx(0.6)


def test_threshold_1_moves_nothing_and_agreement_is_exact():
    image = random_candidates(60, 5)
    plain = postprocess(image, PostprocessConfig())
    assert postprocess(image, PostprocessConfig(box_voting=BoxVoting(iou=1.0))).boxes.equal(
        plain.boxes
    )
    boxes = torch.tensor([[0.1, 0.2, 30.3, 40.4], [0.1, 0.2, 30.3, 41.0]])
    voted, _, _ = postprocess_class(boxes, torch.tensor([0.7, 0.6]), None, HARD)
    assert voted[0, :3].equal(boxes[0, :3])
    assert 40.4 < voted[0, 3] < 41


def test_sub_threshold_boxes_do_not_vote():
    boxes = torch.tensor([[0.0, 0, 10, 10], [0.0, 0, 11, 10]])
    voted, _, _ = postprocess_class(boxes, torch.tensor([0.9, 0.05]), None, HARD)
    assert voted.equal(boxes[:1])


@pytest.mark.parametrize(
    ("wrong", "name"),
    [
        ({"scoring": "SUM"}, "scoring"),
        ({"iou": 0.0}, "iou"),
        ({"iou": 1.1}, "iou"),
        ({"beta": 0.0}, "beta"),
        ({"beta": math.nan}, "beta"),
    ],
)
def test_wrong_settings_are_named(wrong, name):
    with pytest.raises(ValueError, match=rf"BoxVoting\.{name} is"):
        BoxVoting(**wrong)
