"""Pixel-wise binary cross-entropy on numbers that a person can check."""

import math

import pytest
import torch

from losses.mask_loss import mask_loss


def test_values_one_can_check():
    """p = sigmoid(ln 3) = 3/4: -ln(3/4) for an object, -ln(1/4) for none, half of each for t =
    1/2.
    """
    logits = torch.full((3,), math.log(3))
    torch.testing.assert_close(
        mask_loss(logits, torch.tensor([1.0, 0.0, 0.5])),
        -torch.tensor([0.75, 0.25, math.sqrt(0.75 * 0.25)]).log(),
    )


def test_logit_zero_costs_ln_2_whatever_the_target():
    torch.testing.assert_close(
        mask_loss(torch.zeros(4), torch.tensor([0.0, 0.3, 0.5, 1.0])), torch.full((4,), math.log(2))
    )


def test_large_logits_stay_finite_and_half_precision_is_raised():
    loss = mask_loss(
        torch.tensor([1e4, -1e4, 1e4], dtype=torch.float16),
        torch.tensor([1.0, 0.0, 0.0], dtype=torch.float16),
    )
    assert loss.dtype == torch.float32
    assert loss.tolist() == pytest.approx([0.0, 0.0, 10000.0])


def test_gradient_is_probability_minus_target():
    logits = torch.linspace(-4, 4, 9, requires_grad=True)
    targets = torch.linspace(0, 1, 9)
    (gradient,) = torch.autograd.grad(mask_loss(logits, targets).sum(), logits)
    torch.testing.assert_close(gradient, logits.detach().sigmoid() - targets)


def test_empty_and_any_shape():
    assert mask_loss(torch.zeros(0, 28, 28), torch.zeros(0, 28, 28)).shape == (0, 28, 28)
    assert mask_loss(torch.zeros(2, 3, 4), torch.zeros(2, 3, 4)).shape == (2, 3, 4)
