"""Algorithm 2 of IoU-Net on numbers, on a hill with a known top, and through precise RoI
pooling.
"""

import math

import pytest
import torch

from data.boxes import box_iou, sides_xyxy
from models.pooling.prroi_pool import prroi_pool
from postprocess.refine import Refinement, refine

GOAL = torch.tensor([100.0, 100, 200, 180])
PATIENT = Refinement(steps=200, least_gain=0.0, worst_loss=-1.0)


def hill(boxes):
    """1 - the summed squared distance of the edges from GOAL in sides of GOAL: concave, 1 at its
    top.
    """
    return 1 - ((boxes - GOAL) / sides_xyxy(GOAL)).square().sum(-1)


def replay(values):
    """A predictor that says values[t] (D,) in its t-th call, with slope 1 / side for every edge."""
    calls = iter(values)

    def predict(boxes):
        relative = boxes / sides_xyxy(boxes.detach())
        return torch.tensor(next(calls)) + (relative - relative.detach()).sum(-1)

    return predict


def test_one_step_on_numbers():
    """10 px left of the top: slope 2 * 10 / 100^2 by x1 and x2; the box is 100 wide, so it moves
    0.5 * 100 * 0.002.
    """
    boxes, iou = refine((GOAL - torch.tensor([10.0, 0, 10, 0]))[None], hill, Refinement(steps=1))
    torch.testing.assert_close(boxes, torch.tensor([[90.1, 100, 190.1, 180]]))
    assert iou.item() == pytest.approx(1 - 2 * 0.099**2)


def test_y_edges_move_by_the_height():
    """8 px below the top, which is 80 high, by a box 40 high: 0.5 * 40 * 2 * 8 / 80^2 = 0.05; y2 is
    32 px short: 0.2.
    """
    boxes, _ = refine(torch.tensor([[100.0, 108, 200, 148]]), hill, Refinement(steps=1))
    torch.testing.assert_close(boxes, torch.tensor([[100, 107.95, 200, 148.2]]))


def test_boxes_climb_to_the_top():
    start = GOAL + torch.tensor([[20.0, -10, 5, 12], [-15.0, 8, 30, -9], [0.0, 0, 0, 0]])
    boxes, iou = refine(start, hill, Refinement())
    assert ((boxes - GOAL).abs() <= (start - GOAL).abs()).all()
    assert (iou[:2] > hill(start)[:2]).all()
    boxes, iou = refine(
        start, hill, Refinement(steps=2000, step_size=2.0, least_gain=0.0, worst_loss=-1.0)
    )
    torch.testing.assert_close(boxes, GOAL.expand(3, 4), atol=0.01, rtol=0)
    torch.testing.assert_close(iou, torch.ones(3))


def test_the_true_iou_rises_with_its_own_gradient():
    """The IoU itself as the predictor: what a perfect IoU branch would do."""
    goal = GOAL[None]
    start = GOAL + torch.tensor([[6.0, 5, 7, -6], [-8.0, -4, 5, 6], [9.0, 9, 9, 9]])
    _, iou = refine(start, lambda boxes: box_iou(boxes, goal)[:, 0], Refinement())
    assert (iou > box_iou(start, goal)[:, 0] + 0.01).all()


def moves(values, refinement):
    """How many steps each box takes when the predictor says ``values``; a step is half a px on
    every edge.
    """
    start = torch.tensor([[0.0, 0, 10, 20]]).expand(len(values[0]), 4)
    boxes, iou = refine(start, replay(values), refinement)
    return ((boxes - start)[:, 0] / 0.5).tolist(), iou.tolist()


def test_boxes_stop_one_by_one():
    """Box 0 gains each time; box 1 gains only .0005 in step 2; box 2 loses .02 in step 1; box 3
    loses .005, goes on.
    """
    values = [
        [0.1, 0.5, 0.6, 0.6],
        [0.2, 0.6, 0.58, 0.595],
        [0.3, 0.6005, 0.7, 0.61],
        [0.4, 0.7, 0.7, 0.62],
    ]
    steps, iou = moves(values, Refinement(steps=3))
    assert steps == pytest.approx([3, 2, 1, 3])
    assert iou[0] == pytest.approx(0.4)
    assert iou[3] == pytest.approx(0.62)


def test_a_step_that_made_it_worse_is_not_taken_back():
    steps, iou = moves([[0.6], [0.5], [0.9]], Refinement(steps=2))
    assert steps == pytest.approx([1])
    assert iou == pytest.approx([0.5])


def test_the_thresholds_are_the_settings():
    values = [[0.6], [0.55], [0.5], [0.5]]
    assert moves(values, Refinement(steps=3))[0] == pytest.approx([1])
    assert moves(values, Refinement(steps=3, worst_loss=-0.1))[0] == pytest.approx([3])
    assert moves(values, Refinement(steps=3, worst_loss=-0.1, least_gain=0.051))[
        0
    ] == pytest.approx([1])


def test_no_step_leaves_the_boxes_and_reads_their_iou():
    boxes, iou = refine(GOAL[None] + 5, hill, Refinement(steps=0))
    assert boxes.equal(GOAL[None] + 5)
    torch.testing.assert_close(iou, hill(GOAL[None] + 5))


def test_boxes_do_not_see_each_other():
    start = GOAL + torch.tensor([[20.0, -10, 5, 12], [-15.0, 8, 30, -9]])
    together = refine(start, hill, Refinement())
    alone = [refine(box[None], hill, Refinement()) for box in start]
    torch.testing.assert_close(
        together, tuple(torch.cat(parts) for parts in zip(*alone, strict=True))
    )


def test_empty():
    boxes, iou = refine(torch.zeros(0, 4), hill, Refinement())
    assert boxes.shape == (0, 4)
    assert iou.shape == (0,)


def test_the_slope_goes_through_precise_pooling_though_autograd_is_off():
    """A blob of features at (60, 40) px: the mean in the box is what is predicted, so the box draws
    towards it.
    """
    y, x = torch.meshgrid(torch.arange(12.0), torch.arange(16.0), indexing="ij")
    features = torch.exp(-((x - 7.5) ** 2 + (y - 5) ** 2) / 8)[None, None]

    def predict(boxes):
        return prroi_pool(features, torch.nn.functional.pad(boxes, (1, 0)), 2, 1 / 8).mean(
            (1, 2, 3)
        )

    start = torch.tensor([[10.0, 10, 60, 50], [50.0, 30, 120, 90], [0.0, 0, 128, 96]])
    with torch.no_grad():
        boxes, value = refine(start, predict, Refinement())
        before, after = predict(start), predict(boxes)
    assert not boxes.requires_grad
    assert not value.requires_grad
    torch.testing.assert_close(value, after)
    assert (after > before).all()


def test_a_predictor_without_gradient_is_a_sentence():
    with pytest.raises(ValueError, match="has no gradient with respect to the boxes"):
        refine(GOAL[None], torch.no_grad()(hill), Refinement())
    with pytest.raises(ValueError, match=r"Refinement\.step_size is 0"):
        Refinement(step_size=0)
    with pytest.raises(ValueError, match=r"Refinement\.worst_loss is 0\.01; it must be 0 or less"):
        Refinement(worst_loss=0.01)


def test_the_defaults_are_the_papers():
    assert (Refinement().steps, Refinement().step_size, Refinement().most_boxes) == (5, 0.5, 100)
    assert math.isclose(Refinement().worst_loss, -0.01)
