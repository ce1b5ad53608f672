"""The bound on log variances: inside it nothing changes, beyond it the gradient still pulls."""

import pytest
import torch

from losses.kl_loss import kl_loss
from losses.log_variance import bounded


def test_the_bound_keeps_exp_finite_and_the_gradient_alive():
    values = torch.tensor([-60.0, -20.0, 3.0, 60.0], requires_grad=True)
    limited = bounded(values, 20.0)
    assert limited.tolist() == [-20.0, -20.0, 3.0, 20.0]
    limited.sum().backward()
    assert values.grad.tolist() == [1.0] * 4


@pytest.mark.parametrize("limit", [1.0, 20.0])
def test_the_bound_is_the_identity_within_the_limit(limit):
    values = torch.linspace(-limit, limit, 9, requires_grad=True)
    weights = torch.arange(9.0)
    limited = bounded(values, limit)
    assert torch.equal(limited, values)
    (weights * limited).sum().backward()
    assert torch.equal(values.grad, weights)


def test_beyond_the_limit_the_gradient_is_that_of_the_bounded_value():
    """KL Loss at d = 0: the gradient of alpha / 2 is 1/2 everywhere, where clamp() gives 0."""
    values, zero = torch.tensor([-9.0, 2.0, 9.0], requires_grad=True), torch.zeros(3)
    kl_loss(zero, bounded(values, 3.0), zero).sum().backward()
    assert values.grad.tolist() == [0.5] * 3
    values.grad = None
    kl_loss(zero, values.clamp(-3.0, 3.0), zero).sum().backward()
    assert values.grad.tolist() == [0.0, 0.5, 0.0]
