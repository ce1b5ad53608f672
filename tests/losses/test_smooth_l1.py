"""Smooth L1 against torch's own and numbers that a person can check."""

import pytest
import torch
from torch.nn import functional as F

from losses.smooth_l1 import smooth_l1


def test_values_one_can_check():
    difference = torch.tensor([0.0, 0.5, -0.5, 1.0, -3.0])
    assert smooth_l1(difference).tolist() == [0.0, 0.125, 0.125, 0.5, 2.5]
    # beta 1/9: 0.5 * 0.1^2 * 9 = 0.045; 1 - 1/18
    torch.testing.assert_close(
        smooth_l1(torch.tensor([0.1, 1.0]), 1 / 9), torch.tensor([0.045, 1 - 1 / 18])
    )


@pytest.mark.parametrize(
    ("sigma", "difference", "loss"),
    [
        (3, 0.05, 0.01125),
        (3, 0.2, 0.14444444444444446),
        (3, -0.5, 0.4444444444444444),
        (3, 2.0, 1.9444444444444444),
        (1, 0.05, 0.00125),
        (1, 0.2, 0.02),
        (1, -0.5, 0.125),
        (1, 2.0, 1.5),
    ],
)
def test_caffes_sigma(sigma, difference, loss):
    """Caffe writes 0.5 (sigma d)^2 below 1 / sigma^2 and |d| - 0.5 / sigma^2 beyond: beta = 1 /
    sigma^2.
    """
    assert smooth_l1(torch.tensor(difference), 1 / sigma**2).item() == pytest.approx(loss, rel=1e-5)


@pytest.mark.parametrize("beta", [1.0, 1 / 9, 2.5, 0.0])
def test_value_and_gradient_equal_torch(beta):
    difference = torch.linspace(-4, 4, 81, dtype=torch.float64, requires_grad=True)
    ours = smooth_l1(difference, beta)
    theirs = F.smooth_l1_loss(difference, torch.zeros_like(difference), beta=beta, reduction="none")
    torch.testing.assert_close(ours, theirs)
    torch.testing.assert_close(
        *(torch.autograd.grad(loss.sum(), difference)[0] for loss in (ours, theirs))
    )


@pytest.mark.parametrize("beta", [1.0, 1 / 9])
def test_gradient_is_the_clamped_difference(beta):
    difference = torch.tensor([-5.0, -0.05, 0.0, 0.05, 5.0], requires_grad=True)
    (gradient,) = torch.autograd.grad(smooth_l1(difference, beta).sum(), difference)
    torch.testing.assert_close(gradient, (difference.detach() / beta).clamp(-1, 1))


def test_empty_and_any_shape():
    assert smooth_l1(torch.zeros(0, 4)).shape == (0, 4)
    assert smooth_l1(torch.zeros(2, 3, 4)).shape == (2, 3, 4)
