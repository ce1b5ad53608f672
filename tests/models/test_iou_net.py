"""IoU-Net: the head and its loss."""

import pytest
import torch

from models.iou_net import IoUHead, iou_losses, predicted_iou


def test_the_head_has_two_hidden_layers_and_an_output_a_class():
    torch.manual_seed(0)
    head = IoUHead(in_features=2 * 9, fc_dims=(5, 7), num_classes=4)
    pooled = torch.randn(6, 2, 3, 3)
    hidden = (pooled.flatten(1) @ head.fc6.weight.T + head.fc6.bias).clamp(min=0)
    hidden = (hidden @ head.fc7.weight.T + head.fc7.bias).clamp(min=0)
    torch.testing.assert_close(head(pooled), hidden @ head.iou.weight.T + head.iou.bias)
    assert head(pooled[:0]).shape == (0, 5)
    assert {name.split(".")[0] for name, _ in head.named_parameters()} == {"fc6", "fc7", "iou"}


def test_a_new_head_predicts_about_one_half():
    head = IoUHead(in_features=64, fc_dims=(256, 256), num_classes=80)
    assert head.iou.weight.std().item() == pytest.approx(0.01, rel=0.05)
    assert not head.iou.bias.any()
    iou = predicted_iou(head(torch.randn(50, 4, 4, 4)), torch.randint(1, 81, (50,)))
    torch.testing.assert_close(iou, torch.full((50,), 0.5), atol=0.5, rtol=0)


def test_predicted_iou_is_the_own_classs():
    raw = torch.tensor([[9.0, 0.0, 1.0], [9.0, -0.5, 1.4]])
    torch.testing.assert_close(predicted_iou(raw, torch.tensor([2, 1])), torch.tensor([1.0, 0.25]))


def test_only_the_own_class_of_counted_rois_learns():
    """Outputs 0.2 and -0.5 against 2 IoU - 1 = 0 and 1: 0.02 and 1; mean 0.51, and half the clamped
    difference each."""
    raw = torch.tensor(
        [[7.0, 0.2, 7.0], [7.0, 7.0, -0.5], [7.0, float("inf"), 7.0]], requires_grad=True
    )
    loss = iou_losses(raw, torch.tensor([1, 2, 0]), torch.tensor([0.5, 1.0, 0.4]), images=1)
    assert loss.item() == pytest.approx(0.51)
    (gradient,) = torch.autograd.grad(loss, raw)
    torch.testing.assert_close(gradient, torch.tensor([[0, 0.1, 0], [0, 0, -0.5], [0, 0, 0]]))


@pytest.mark.parametrize("rows", [3, 0])
def test_without_a_counted_roi_the_loss_is_zero_and_has_a_gradient(rows):
    raw = torch.ones(rows, 4, requires_grad=True)
    loss = iou_losses(raw, torch.zeros(rows, dtype=torch.long), torch.zeros(rows), images=1)
    loss.backward()
    assert loss.item() == 0
    assert not raw.grad.any()
