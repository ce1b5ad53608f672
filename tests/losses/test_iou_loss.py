"""IoU-Net's loss on numbers a person can check."""

import torch

from losses.iou_loss import iou_loss, to_iou


def test_values_one_can_check():
    """Targets 2 IoU - 1 = 0, 1, 0.5, 0.6; differences 0.2, -1.5, 0, 3: d^2 / 2 below 1, |d| - 1/2
    beyond.
    """
    outputs, iou = torch.tensor([0.2, -0.5, 0.5, 3.6]), torch.tensor([0.5, 1.0, 0.75, 0.8])
    torch.testing.assert_close(iou_loss(outputs, iou), torch.tensor([0.02, 1.0, 0.0, 2.5]))


def test_the_least_loss_is_at_the_output_that_means_the_iou():
    iou = torch.tensor([0.0, 0.5, 0.83, 1.0])
    outputs = torch.tensor([-1.0, 0.0, 0.66, 1.0])
    torch.testing.assert_close(to_iou(outputs), iou)
    torch.testing.assert_close(iou_loss(outputs, iou), torch.zeros(4))
    assert to_iou(torch.tensor(1.4)).item() > 1  # not clipped


def test_half_precision_is_computed_in_float32_and_empty_stays_empty():
    assert iou_loss(torch.zeros(2).bfloat16(), torch.ones(2)).dtype == torch.float32
    assert to_iou(torch.zeros(2).half()).dtype == torch.float32
    assert iou_loss(torch.zeros(0), torch.zeros(0)).shape == (0,)
