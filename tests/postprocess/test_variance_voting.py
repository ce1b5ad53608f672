"""KL Loss Eq. 11 on numbers. The expected values were computed by an independent float64 script
from the released rules.
"""

import numpy as np
import pytest
import torch

from data.boxes import box_iou
from postprocess.variance_voting import log_proximity, remaining_voters, vote

# Two boxes with inclusive pixels; IoU with the "+1" rule is 0.850423, so p = exp(-(1 - 0.850423)^2
# / 0.02) = 0.326717. The voted x1 with equal variances is (1 * 100 + 0.326717 * 104) / 1.326717 =
# 100.985038.
PAIR = torch.tensor([[100.0, 100.0, 200.0, 220.0], [104.0, 98.0, 206.0, 214.0]])
PAIR_VOTED = torch.tensor([100.985038, 99.507481, 201.477557, 218.522443])
PLUS_ONE = torch.tensor([0.0, 0.0, 1.0, 1.0])


def vote_first(boxes, variances, sigma_t, voters=None):
    """Eq. 11 for the first of the boxes (M, 4)."""
    iou = box_iou(boxes[:1], boxes)
    iou[:, 0] = 1.0
    voters = iou > 0 if voters is None else voters
    return vote(boxes[:1], boxes[None], variances[None], iou, voters, sigma_t)[0]


@pytest.mark.parametrize(
    # p = exp(-(1 - IoU)^2 / sigma_t), e.g. exp(-0.05^2 / 0.01) = exp(-0.25) = 0.7788
    ("sigma_t", "expected"),
    [
        (0.01, [1.0, 0.77880078, 0.36787944, 0.01831564, 0.00012341, 1.1e-07, 0.0]),
        (0.02, [1.0, 0.8824969, 0.60653066, 0.13533528, 0.011109, 0.00033546, 3.73e-06]),
        (0.05, [1.0, 0.95122942, 0.81873075, 0.44932896, 0.16529889, 0.0407622, 0.00673795]),
    ],
)
def test_proximity(sigma_t, expected):
    iou = torch.tensor([1.0, 0.95, 0.9, 0.8, 0.7, 0.6, 0.5])
    torch.testing.assert_close(
        log_proximity(iou, sigma_t).exp(), torch.tensor(expected), atol=1e-8, rtol=1e-4
    )


@pytest.mark.parametrize("variance", [1e-30, 1e-3, 1.0, 7.0, 1e30])
def test_equal_variances_give_the_iou_weighted_mean(variance):
    voted = vote_first(PAIR + PLUS_ONE, torch.full((2, 4), variance), 0.02) - PLUS_ONE
    torch.testing.assert_close(voted, PAIR_VOTED, atol=1e-4, rtol=0)


def test_equation_11_written_out():
    torch.manual_seed(0)
    boxes = torch.tensor([50.0, 50, 150, 150]) + 20 * torch.rand(7, 4)
    variances = torch.exp(torch.randn(7, 4))
    p = torch.exp(-((1 - box_iou(boxes[:1], boxes)[0]) ** 2) / 0.02)[:, None]
    expected = (p * boxes / variances).sum(0) / (p / variances).sum(0)
    torch.testing.assert_close(vote_first(boxes, variances, 0.02), expected)


def test_scaling_one_column_of_variances_changes_nothing():
    torch.manual_seed(1)
    boxes = torch.tensor([50.0, 50, 150, 150]) + 20 * torch.rand(5, 4)
    variances = torch.exp(torch.randn(5, 4))
    scaled = variances * torch.tensor([1.0, 1e6, 1e-6, 3.0])
    torch.testing.assert_close(vote_first(boxes, variances, 0.02), vote_first(boxes, scaled, 0.02))


def test_output_is_inside_the_hull_of_the_voters():
    torch.manual_seed(2)
    for _ in range(50):
        boxes = torch.tensor([50.0, 50, 150, 150]) + 40 * torch.rand(6, 4)
        voted = vote_first(boxes, torch.exp(10 * torch.randn(6, 4)), 0.05)
        assert (voted >= boxes.amin(0) - 1e-3).all()
        assert (voted <= boxes.amax(0) + 1e-3).all()


@pytest.mark.parametrize("log_variance", [-80.0, 80.0])
def test_extreme_variances_stay_finite_and_the_certain_voter_decides(log_variance):
    boxes = PAIR + PLUS_ONE
    variances = torch.ones(2, 4)
    variances[1] = torch.tensor(log_variance).exp()
    voted = vote_first(boxes, variances, 0.02)
    torch.testing.assert_close(voted, boxes[1] if log_variance < 0 else boxes[0])
    same = vote_first(boxes, torch.full((2, 4), log_variance).exp(), 0.02) - PLUS_ONE
    torch.testing.assert_close(same, PAIR_VOTED, atol=1e-4, rtol=0)


@pytest.mark.parametrize("variance", [0.0, 1e-45])
def test_vanishing_variances_do_not_divide_zero_by_zero(variance):
    voted = vote_first(PAIR + PLUS_ONE, torch.full((2, 4), variance), 0.02) - PLUS_ONE
    torch.testing.assert_close(voted, PAIR_VOTED, atol=1e-4, rtol=0)


def test_temperature_to_zero_leaves_the_box_unchanged():
    for sigma_t in (1e-6, 1e-20, 1e-38):
        assert vote_first(PAIR, torch.ones(2, 4), sigma_t).equal(PAIR[0])


def test_temperature_to_infinity_is_the_variance_weighted_mean():
    variances = torch.tensor([[1.0], [3.0]]).expand(2, 4)  # weights 1 and 1/3: 3/4 and 1/4
    torch.testing.assert_close(vote_first(PAIR, variances, 1e9), 0.75 * PAIR[0] + 0.25 * PAIR[1])


def test_only_voters_vote_and_agreement_is_exact():
    assert vote_first(PAIR, torch.ones(2, 4), 0.02, torch.tensor([[True, False]])).equal(PAIR[0])
    boxes = torch.tensor([[0.1, 0.2, 30.3, 40.4], [0.1, 0.2, 30.3, 47.0]])
    assert vote_first(boxes, torch.rand(2, 4) + 0.1, 0.02)[:3].equal(boxes[0, :3])


def test_who_may_vote():
    exit_step = np.array([0, 1, 1, 2, 3])  # selected or dropped in these steps; now is step 1
    assert remaining_voters(exit_step, np.array(1)).tolist() == [False, True, True, True, True]
