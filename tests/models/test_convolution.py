"""A convolution with its own weight gradient is F.conv2d: values, gradients and counted
operations."""

import pytest
import torch
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from models import convolution as module
from models.convolution import Conv2d, convolution, gains, is_large

# kernel, stride, padding, dilation, (height, width)
GEOMETRIES = [
    ((3, 3), (1, 1), (1, 1), (1, 1), (7, 10)),
    ((3, 3), (1, 1), (0, 0), (1, 1), (3, 3)),
    ((3, 3), (1, 1), (2, 2), (2, 2), (9, 6)),
    ((3, 3), (2, 2), (1, 1), (1, 1), (7, 10)),
    ((1, 1), (2, 2), (0, 0), (1, 1), (8, 5)),
    ((5, 3), (2, 1), (1, 2), (1, 2), (9, 8)),
]


@pytest.fixture(autouse=True)
def small_maps_count_as_large(monkeypatch):
    monkeypatch.setattr(module, "FEWEST_MULTIPLICATIONS", 1)


def tensors(kernel, size, dtype=torch.float64, channels=(32, 40)):
    torch.manual_seed(0)
    inputs = torch.randn(2, channels[0], *size, dtype=dtype)
    weight = torch.randn(channels[1], channels[0], *kernel, dtype=dtype)
    bias = torch.randn(channels[1], dtype=dtype)
    last = inputs.contiguous(memory_format=torch.channels_last)
    return last, weight.contiguous(memory_format=torch.channels_last), bias


def gradients(function, tensors, trained):
    leaves = [t.clone().requires_grad_(train) for t, train in zip(tensors, trained, strict=True)]
    outputs = function(*leaves)
    torch.manual_seed(1)
    outputs.backward(torch.randn(outputs.shape, dtype=torch.float64).to(outputs.dtype))
    return outputs.detach(), [leaf.grad for leaf in leaves]


@pytest.mark.parametrize(("kernel", "stride", "padding", "dilation", "size"), GEOMETRIES)
def test_values_and_gradients_are_those_of_conv2d(kernel, stride, padding, dilation, size):
    inputs = tensors(kernel, size)
    assert gains(inputs[0], inputs[1].clone().requires_grad_(), stride)
    rule = {"stride": stride, "padding": padding, "dilation": dilation}
    mine = gradients(lambda x, w, b: convolution(x, w, b, **rule), inputs, (True, True, True))
    theirs = gradients(lambda x, w, b: F.conv2d(x, w, b, **rule), inputs, (True, True, True))
    torch.testing.assert_close(mine, theirs, atol=1e-10, rtol=1e-10)


def test_a_gradient_that_nobody_needs_is_not_computed():
    inputs = tensors((3, 3), (6, 6))
    _, (of_inputs, of_weight, of_bias) = gradients(
        lambda x, w, b: convolution(x, w, b, padding=(1, 1)), inputs, (False, True, False)
    )
    assert of_inputs is None
    assert of_weight is not None
    assert of_bias is None


def test_float32_gradient_is_as_near_to_float64_as_torchs():
    inputs, weight, bias = tensors((3, 3), (40, 60), torch.float32, (64, 64))
    doubles = inputs.double(), weight.double(), bias.double()
    trained = (False, True, False)

    def of_weight(function, tensors):
        return gradients(function, tensors, trained)[1][1]

    exact = of_weight(lambda x, w, b: F.conv2d(x, w, b, padding=1), doubles)
    mine = of_weight(lambda x, w, b: convolution(x, w, b, padding=(1, 1)), (inputs, weight, bias))
    assert (mine - exact).abs().max() < 3e-6 * exact.abs().max()


def test_torch_counts_its_operations_as_a_convolutions():
    inputs = tensors((3, 3), (6, 6))
    counts = []
    for function in (
        lambda x, w, b: convolution(x, w, b, padding=(1, 1)),
        lambda x, w, b: F.conv2d(x, w, b, padding=1),
    ):
        with FlopCounterMode(display=False) as counter:
            gradients(function, inputs, (True, True, True))
        counts.append(counter.get_total_flops())
    assert counts[0] == counts[1] == 3 * 2 * 2 * 40 * 36 * 32 * 9


def test_thin_layers_and_other_formats_are_torchs_own():
    inputs, weight, _ = tensors((3, 3), (6, 6))
    weight.requires_grad_()
    assert gains(inputs, weight, (1, 1))
    assert not gains(inputs.contiguous(), weight, (1, 1))
    assert not gains(inputs, weight[:, :, :1, :1], (1, 1))
    assert not gains(inputs[:, :3], weight[:, :3], (1, 1))
    assert not gains(inputs, weight.detach(), (1, 1))
    assert not gains(inputs[:0], weight, (1, 1))
    with torch.no_grad():
        assert not gains(inputs, weight, (1, 1))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert not gains(inputs, weight, (1, 1))


def test_small_maps_are_torchs_own(monkeypatch):
    """256 x 256 channels on 16 x 16 cells are 2^24 multiplications; without a row there are fewer.
    At stride 2 the size plays no part.
    """
    monkeypatch.undo()
    inputs, weight, _ = tensors((3, 3), (16, 16), torch.float32, (256, 256))
    weight.requires_grad_()
    assert is_large(inputs, weight)
    assert gains(inputs, weight, (1, 1))
    rows = inputs[:, :, 1:].contiguous(memory_format=torch.channels_last)
    assert not gains(rows, weight, (1, 1))
    assert gains(rows, weight, (2, 2))


def test_a_layer_with_groups_is_torchs_own():
    layer = Conv2d(8, 8, 3, padding=1, groups=8)
    inputs = torch.randn(1, 8, 5, 5)
    torch.testing.assert_close(
        layer(inputs), F.conv2d(inputs, layer.weight, layer.bias, padding=1, groups=8)
    )
