"""Probabilities and expected IoU from sigma, against drawn objects."""

import pytest
import torch

from data.boxes import box_iou
from postprocess.sigma_uses import expected_iou, gaussian_nodes, within_probability


def test_two_thirds_lie_within_one_sigma():
    sigma = torch.tensor([[1.0, 2.0, 4.0, 8.0]])
    found = within_probability(sigma, 4.0)
    assert found[0].tolist() == pytest.approx([0.99994, 0.95450, 0.68269, 0.38292], abs=1e-4)
    assert within_probability(torch.zeros(0, 4), 1.0).shape == (0, 4)


def test_a_box_without_doubt_is_its_object():
    boxes = torch.tensor([[10.0, 20.0, 50.0, 40.0]])
    assert float(expected_iou(boxes, torch.zeros(1, 4))) == 1.0


def test_of_one_doubtful_side_the_iou_is_that_of_an_interval():
    """10 px with a right end of +- 2 px: IoU (10 + e) / 10 for e < 0 and 10 / (10 + e) else."""
    boxes, sigma = torch.tensor([[0.0, 0.0, 10.0, 10.0]]), torch.tensor([[0.0, 0.0, 2.0, 0.0]])
    error = 2 * torch.randn(1_000_000, generator=torch.Generator().manual_seed(0))
    drawn = torch.where(error < 0, (10 + error).clamp(min=0) / 10, 10 / (10 + error))
    assert float(expected_iou(boxes, sigma, nodes=64)) == pytest.approx(
        float(drawn.mean()), abs=1e-3
    )


@pytest.mark.parametrize("share", [0.02, 0.05, 0.1, 0.2])
def test_the_mean_over_drawn_objects_is_the_expected_iou(share):
    """Sigmas of 2 to 20 % of the side, different on each: within half a point of a hundred."""
    boxes = torch.tensor([[5.0, 5.0, 105.0, 65.0]])
    sigma = share * torch.tensor([[100.0, 60.0, 50.0, 30.0]])
    noise = torch.randn(100_000, 4, generator=torch.Generator().manual_seed(1))
    drawn = boxes + sigma * noise
    real = (drawn[:, 2:] > drawn[:, :2]).all(dim=1)
    iou = torch.where(real, box_iou(boxes, drawn)[0], 0.0)
    assert float(expected_iou(boxes, sigma)) == pytest.approx(float(iou.mean()), abs=5e-3)


def test_more_doubt_is_less_overlap_and_a_larger_image_changes_nothing():
    boxes = torch.tensor([[0.0, 0.0, 30.0, 20.0]]).repeat(4, 1)
    sigma = torch.tensor([[0.5], [1.0], [2.0], [4.0]]).repeat(1, 4)
    found = expected_iou(boxes, sigma)
    assert (found.diff() < 0).all()
    torch.testing.assert_close(expected_iou(7 * boxes, 7 * sigma), found)
    assert expected_iou(torch.zeros(0, 4), torch.zeros(0, 4)).shape == (0,)


def test_the_nodes_have_the_mean_distance_of_a_gaussian():
    """0 in the mean, and sqrt(2 / pi) from it."""
    nodes = gaussian_nodes(8)
    assert float(nodes.mean()) == pytest.approx(0.0, abs=1e-12)
    assert float(nodes.abs().mean()) == pytest.approx((2 / torch.pi) ** 0.5)
