"""3x3 convolutions with fewer multiplications (Winograd; Lavin and Gray, CVPR 2016, section 4.1,
F(4x4, 3x3)).

A tile of 4 x 4 outputs needs 36 products of transformed inputs and weights instead of 144, each a
matrix product over the channels. The transforms interpolate at 0, +-1/sqrt(2), +-sqrt(2) and
infinity, which rounds four times as little as the usual 0, +-1, +-2: about 1e-6 of the largest
output. It pays on large maps with many channels, as those of a feature pyramid.

Letters: N images, C input and D output channels, H x W pixels, T tiles.
"""

from collections.abc import Sequence
from functools import cache

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.utils.flop_counter import register_flop_formula

TILE = 4  # outputs a side
PATCH = TILE + 2  # inputs a side
POINTS = (0.0, 0.5**0.5, -(0.5**0.5), 2**0.5, -(2**0.5))  # and infinity
FEWEST_CHANNELS = 128  # of input and output
FEWEST_PIXELS = 4096  # of a map
NUMBERS_AT_A_TIME = 1 << 16  # tiles times channels; their 36 products stay in the cache


@cache
def transforms() -> tuple[Tensor, Tensor, Tensor]:
    """A, G and B of section 4.1 for two dimensions: (16, 36), (36, 9), (36, 36), float64.

    Law: A [(G w) * (B x)] is the convolution of a patch x (6 x 6) with w (3 x 3), each flattened.
    """
    points = torch.tensor(POINTS, dtype=torch.float64)
    others = [torch.cat([points[:i], points[i + 1 :]]) for i in range(len(points))]
    scale = torch.stack([(point - rest).prod() for point, rest in zip(points, others, strict=True)])
    infinity = torch.zeros(PATCH, dtype=torch.float64)
    infinity[-1] = 1.0
    powers = torch.stack([points**power for power in range(TILE)])
    outputs = torch.cat([powers, infinity[-TILE:, None]], dim=1)
    weights = torch.cat([powers[:3].t() / scale[:, None], infinity[None, -3:]])
    inputs = torch.stack([*(polynomial(rest) for rest in others), polynomial(points)])
    return (
        torch.kron(outputs, outputs),
        torch.kron(weights, weights),
        torch.kron(inputs, inputs),
    )


def polynomial(roots: Tensor) -> Tensor:
    """The coefficients (PATCH,) of the product of x - root, lowest power first."""
    coefficients = torch.zeros(PATCH, dtype=roots.dtype)
    coefficients[0] = 1.0
    for root in roots:
        coefficients = coefficients.roll(1) - root * coefficients
    return coefficients


def pays(inputs: Tensor, weight: Tensor, geometry: Sequence[Sequence[int]]) -> bool:
    """Whether a convolution is faster so than oneDNN's: on CPUs in float32, with stride, padding
    and dilation of 1.

    Args:
        inputs: (N, C, H, W).
        weight: (D, C, I, J).
        geometry: stride, padding and dilation, each in y and x.
    """
    return (
        inputs.device.type == "cpu"
        and inputs.dtype == weight.dtype == torch.float32
        and tuple(weight.shape[2:]) == (3, 3)
        and all(tuple(each) == (1, 1) for each in geometry)
        and min(weight.shape[:2]) >= FEWEST_CHANNELS
        and inputs.shape[2] * inputs.shape[3] >= FEWEST_PIXELS
        and inputs.is_contiguous(memory_format=torch.channels_last)
    )


# an operator of its own, so that torch's counter counts its operations as a convolution's
@torch.library.custom_op("detection::winograd", mutates_args=())
def winograd(inputs: Tensor, weight: Tensor) -> Tensor:
    """``F.conv2d(inputs, weight, padding=1)``, channels last, without a gradient.

    Args:
        inputs: (N, C, H, W).
        weight: (D, C, 3, 3).
    """
    n, channels, height, width = inputs.shape
    down, across = -(-height // TILE), -(-width // TILE)
    of_outputs, of_weight, of_inputs = (m.to(inputs.dtype) for m in transforms())
    weights = of_weight @ weight.permute(2, 3, 1, 0).reshape(9, -1)
    weights = weights.view(PATCH**2, channels, len(weight))
    rows = inputs.permute(0, 2, 3, 1)
    extra = (TILE * across - width, TILE * down - height)
    rows = F.pad(rows, (0, 0, 1, 1 + extra[0], 1, 1 + extra[1])).contiguous()
    outputs = torch.empty(
        (n, len(weight), TILE * down, TILE * across),
        dtype=inputs.dtype,
        memory_format=torch.channels_last,
    )
    by_tile = outputs.permute(0, 2, 3, 1).view(n, down, TILE, across, TILE, -1)
    at_a_time = max(1, NUMBERS_AT_A_TIME // (across * channels))
    for image, result in zip(rows, by_tile, strict=True):
        for first in range(0, down, at_a_time):
            part = result[first : first + at_a_time]
            seen = patches(image[TILE * first :], len(part), across)
            products = torch.bmm((of_inputs @ seen).view(PATCH**2, -1, channels), weights)
            tiles = of_outputs @ products.view(PATCH**2, -1)
            part.copy_(tiles.view(TILE, TILE, len(part), across, -1).permute(2, 0, 3, 1, 4))
    if extra == (0, 0):
        return outputs
    # a copy, because autograd lets no later layer write into a view
    return outputs[:, :, :height, :width].clone(memory_format=torch.channels_last)


def patches(rows: Tensor, down: int, across: int) -> Tensor:
    """The patches of ``down`` x ``across`` tiles, (36, T * C), of padded rows (H, W, C)."""
    y, x, channel = rows.stride()
    size = (PATCH, PATCH, down, across, rows.shape[2])
    view = rows.as_strided(size, (y, x, TILE * y, TILE * x, channel), rows.storage_offset())
    return view.reshape(PATCH**2, -1)


@winograd.register_fake
def _(inputs: Tensor, weight: Tensor) -> Tensor:
    shape = (len(inputs), len(weight), *inputs.shape[2:])
    return inputs.new_empty(shape).contiguous(memory_format=torch.channels_last)


@register_flop_formula(torch.ops.detection.winograd)
def operations(inputs: Sequence[int], weight: Sequence[int], *_: object, **__: object) -> int:
    """Those of the convolution that it stands for, as torch counts them."""
    n, channels, height, width = inputs
    return 2 * n * height * width * channels * weight[0] * 9
