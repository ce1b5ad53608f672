"""Winograd's convolution is F.conv2d to rounding."""

import pytest
import torch
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from models import convolution as gradients_module
from models import winograd as module
from models.convolution import convolution
from models.winograd import pays, transforms, winograd


def channels_last(*shape, dtype=torch.float32, seed=0):
    torch.manual_seed(seed)
    return torch.randn(*shape, dtype=dtype).contiguous(memory_format=torch.channels_last)


def test_transforms_are_those_of_a_correlation():
    """A [(G w) * (B x)] for a patch and a weight of random numbers."""
    of_outputs, of_weight, of_inputs = transforms()
    patch, weight = (torch.randn(side, side, dtype=torch.float64) for side in (6, 3))
    outputs = of_outputs @ ((of_weight @ weight.flatten()) * (of_inputs @ patch.flatten()))
    expected = F.conv2d(patch[None, None], weight[None, None])
    torch.testing.assert_close(outputs.view(4, 4), expected[0, 0])


@pytest.mark.parametrize("size", [(4, 4), (1, 1), (7, 10), (9, 3)])
@pytest.mark.parametrize("at_a_time", [1, 1 << 16])
def test_it_is_conv2d_whatever_the_size(size, at_a_time, monkeypatch):
    monkeypatch.setattr(module, "NUMBERS_AT_A_TIME", at_a_time)
    inputs = channels_last(2, 5, *size, dtype=torch.float64)
    weight = channels_last(7, 5, 3, 3, dtype=torch.float64)
    torch.testing.assert_close(winograd(inputs, weight), F.conv2d(inputs, weight, padding=1))


def test_it_rounds_to_a_few_millionths():
    inputs, weight = channels_last(1, 128, 32, 32), channels_last(128, 128, 3, 3, seed=1)
    exact = F.conv2d(inputs.double(), weight.double(), padding=1)
    assert (winograd(inputs, weight) - exact).abs().max() < 5e-6 * exact.abs().max()


@pytest.mark.parametrize("size", [(8, 9), (8, 12)])
def test_it_is_used_with_the_same_gradients_and_counted_as_a_convolution(size, monkeypatch):
    """Also where the next layer writes into its output."""
    monkeypatch.setattr(module, "FEWEST_PIXELS", 60)
    monkeypatch.setattr(gradients_module, "FEWEST_MULTIPLICATIONS", 1)
    tensors = channels_last(2, 128, *size), channels_last(130, 128, 3, 3), torch.randn(130)
    geometry = ((1, 1), (1, 1), (1, 1))
    assert pays(tensors[0], tensors[1], geometry)
    results, counts = [], []
    for function in (
        lambda x, w, b: convolution(x, w, b, padding=(1, 1)),
        lambda x, w, b: F.conv2d(x, w, b, padding=1),
    ):
        leaves = [tensor.clone().requires_grad_() for tensor in tensors]
        with FlopCounterMode(display=False) as counter:
            outputs = F.relu(function(*leaves), inplace=True)
            gradients = torch.autograd.grad(outputs, leaves, channels_last(*outputs.shape, seed=2))
        results.append([outputs, *gradients])
        counts.append(counter.get_total_flops())
    for mine, theirs in zip(*results, strict=True):
        assert not torch.equal(mine, theirs) or mine.ndim == 1
        assert (mine - theirs).abs().max() < 1e-5 * theirs.abs().max()
    assert counts[0] == counts[1]
    with torch.no_grad():
        assert torch.equal(convolution(*tensors, padding=(1, 1)).relu_(), results[0][0])


def test_it_leaves_other_convolutions_alone():
    inputs, weight = torch.empty(1, 128, 64, 64), torch.empty(128, 128, 3, 3)
    last = inputs.contiguous(memory_format=torch.channels_last)
    one = ((1, 1), (1, 1), (1, 1))
    assert pays(last, weight, one)
    assert not pays(inputs, weight, one)
    assert not pays(last, weight, ((2, 2), (1, 1), (1, 1)))
    assert not pays(last, weight, ((1, 1), (0, 0), (1, 1)))
    assert not pays(last, weight[:, :, :1, :1], one)
    assert not pays(last, weight[:64], one)
    assert not pays(last[:, :, :32], weight, one)
    assert not pays(last.double(), weight.double(), one)
