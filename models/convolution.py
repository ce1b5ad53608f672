"""A convolution whose weight gradient is matrix products where that is faster than oneDNN's.

On CPUs without AVX-512, oneDNN computes the weight gradient of large channels-last maps two to ten
times as slowly as that of its own layout, while its other passes are as fast or faster there. The
same sums are one matrix product for each place of the kernel: the output's gradient, as a table
with a row for each pixel, times the inputs that this place of the kernel saw. They also round
better.

Letters: N images, C input and D output channels, H x W pixels, kernel I x J.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.autograd.function import FunctionCtx, once_differentiable
from torch.nn import functional as F
from torch.utils.flop_counter import register_flop_formula

from models.winograd import pays, winograd

FEWEST_CHANNELS = 32  # of input and output; with fewer the products are too thin
# of an image at each place of the kernel, at stride 1; with fewer oneDNN's is as fast or faster
FEWEST_MULTIPLICATIONS = 1 << 24
DTYPES = (torch.float32, torch.float64)


class Conv2d(nn.Conv2d):
    """torch's, with ``convolution`` for its forward pass; padding by zeros."""

    def forward(self, inputs: Tensor) -> Tensor:
        return self.with_weight(inputs, self.weight, self.bias)

    def with_weight(self, inputs: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        """The convolution with another weight and bias."""
        if self.groups > 1 or isinstance(self.padding, str):
            return self._conv_forward(inputs, weight, bias)
        return convolution(
            inputs, weight, bias, stride=self.stride, padding=self.padding, dilation=self.dilation
        )


def convolution(
    inputs: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    *,
    stride: Sequence[int] = (1, 1),
    padding: Sequence[int] = (0, 0),
    dilation: Sequence[int] = (1, 1),
) -> Tensor:
    """``F.conv2d`` of one group, the same function with the same gradients.

    Args:
        inputs: (N, C, H, W).
        weight: (D, C, I, J).
        bias: (D,) or None.
        stride, padding, dilation: in y and x.
    """
    geometry = (list(stride), list(padding), list(dilation))
    if gains(inputs, weight, stride):
        return Convolution.apply(inputs, weight, bias, *geometry)
    trained = any(t is not None and t.requires_grad for t in (inputs, weight, bias))
    if (
        (torch.is_grad_enabled() and trained)
        or torch.is_autocast_enabled("cpu")
        or torch.compiler.is_compiling()
    ):
        return F.conv2d(inputs, weight, bias, *geometry)
    return without_gradient(inputs, weight, bias, *geometry)


def without_gradient(
    inputs: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    stride: list[int],
    padding: list[int],
    dilation: list[int],
) -> Tensor:
    """``convolution``'s values, by the faster way."""
    if not pays(inputs, weight, (stride, padding, dilation)):
        return F.conv2d(inputs, weight, bias, stride, padding, dilation)
    outputs = winograd(inputs, weight)
    return outputs if bias is None else outputs.add_(bias[:, None, None])


def gains(inputs: Tensor, weight: Tensor, stride: Sequence[int]) -> bool:
    """Whether a weight gradient is asked for that matrix products compute faster."""
    return (
        torch.is_grad_enabled()
        and weight.requires_grad
        and inputs.device.type == "cpu"
        and inputs.dtype in DTYPES
        and inputs.numel() > 0
        and not torch.is_autocast_enabled("cpu")
        and not torch.compiler.is_compiling()
        and inputs.is_contiguous(memory_format=torch.channels_last)
        and min(weight.shape[:2]) >= FEWEST_CHANNELS
        and (max(stride) > 1 or (max(weight.shape[2:]) > 1 and is_large(inputs, weight)))
    )


def is_large(inputs: Tensor, weight: Tensor) -> bool:
    """Whether an image's map has enough multiplications, C * D * H * W."""
    multiplications = inputs.shape[2] * inputs.shape[3] * weight.shape[0] * weight.shape[1]
    return multiplications >= FEWEST_MULTIPLICATIONS


class Convolution(torch.autograd.Function):
    """A convolution with ``weight_gradient`` in its backward pass."""

    @staticmethod
    def forward(
        ctx: FunctionCtx,
        inputs: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        *geometry: list[int],
    ) -> Tensor:
        ctx.save_for_backward(inputs, weight)
        ctx.geometry = geometry  # type: ignore[attr-defined]
        return without_gradient(inputs, weight, bias, *geometry)

    @staticmethod
    @once_differentiable
    def backward(ctx: FunctionCtx, gradient: Tensor) -> tuple[Tensor | None, ...]:
        inputs, weight = ctx.saved_tensors  # type: ignore[attr-defined]
        stride, padding, dilation = ctx.geometry  # type: ignore[attr-defined]
        of_inputs, of_weight, of_bias = ctx.needs_input_grad[:3]  # type: ignore[attr-defined]
        gradient = gradient.contiguous(memory_format=torch.channels_last)
        input_gradient = kernel_gradient = bias_gradient = None
        if of_inputs:
            input_gradient = gradient_of_inputs(gradient, inputs, weight, ctx.geometry)  # type: ignore[attr-defined]
        if of_weight:
            kernel_gradient = weight_gradient(
                gradient, inputs, list(weight.shape[2:]), stride, padding, dilation
            )
        if of_bias:
            bias_gradient = gradient.sum((0, 2, 3))
        return input_gradient, kernel_gradient, bias_gradient, None, None, None


def gradient_of_inputs(
    gradient: Tensor, inputs: Tensor, weight: Tensor, geometry: Sequence[list[int]]
) -> Tensor:
    """The gradient (N, C, H, W) of a convolution's inputs from that of its output (N, D, H', W').

    At stride 1 it is the convolution of the output's gradient with the weight turned by 180
    degrees.
    """
    turned = weight.flip(2, 3).transpose(0, 1)
    if pays(gradient, turned, geometry):
        return winograd(gradient, turned)
    rest = (False, [0, 0], 1, [True, False, False])  # not transposed, one group, inputs alone
    return torch.ops.aten.convolution_backward(gradient, inputs, weight, None, *geometry, *rest)[0]


# an operator of its own, so that torch's counter counts its operations as a convolution's
@torch.library.custom_op("detection::weight_gradient", mutates_args=())
def weight_gradient(
    gradient: Tensor,
    inputs: Tensor,
    kernel: Sequence[int],
    stride: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
) -> Tensor:
    """The gradient (D, C, I, J) of a convolution's weight, channels last.

    Args:
        gradient: of the output, (N, D, H', W'), channels last.
        inputs: (N, C, H, W), channels last.
        kernel: (I, J).
        stride, padding, dilation: in y and x.
    """
    rows, columns = gradient.permute(0, 2, 3, 1), inputs.permute(0, 2, 3, 1)
    columns = F.pad(columns, (0, 0, padding[1], padding[1], padding[0], padding[0]))
    products = gradient.new_empty(*kernel, rows.shape[-1], columns.shape[-1])
    if max(stride) == 1:
        products_of_rows(rows, columns, products, dilation)
    else:
        products_of_steps(rows, columns, products, stride, dilation)
    return products.permute(2, 3, 0, 1).contiguous(memory_format=torch.channels_last)


def products_of_rows(
    gradient: Tensor, inputs: Tensor, products: Tensor, dilation: Sequence[int]
) -> None:
    """The products at stride 1, without a copy for each place of the kernel.

    With the gradient laid out on the grid of the padded inputs and 0 elsewhere, what place (i, j)
    of the kernel saw are the rows of the inputs' table a fixed number further down.

    Args:
        gradient: (N, H', W', D).
        inputs: (N, H, W, C), padded.
        products: (I, J, D, C), written.
        dilation: in y and x.
    """
    height, width = inputs.shape[1:3]
    gradient = F.pad(
        gradient, (0, 0, 0, width - gradient.shape[2], 0, height - gradient.shape[1])
    ).flatten(0, 2)
    inputs = inputs.flatten(0, 2)
    down, across = dilation[0] * width, dilation[1]
    count = len(inputs) - (products.shape[0] - 1) * down - (products.shape[1] - 1) * across
    transposed = gradient[:count].t()
    for i, row in enumerate(products):
        for j, product in enumerate(row):
            first = i * down + j * across
            torch.mm(transposed, inputs[first : first + count], out=product)


def products_of_steps(
    gradient: Tensor,
    inputs: Tensor,
    products: Tensor,
    stride: Sequence[int],
    dilation: Sequence[int],
) -> None:
    """The products at any stride, with a copy of the inputs that each place of the kernel saw.

    Args: as in ``products_of_rows``.
    """
    height, width = gradient.shape[1:3]
    transposed = gradient.flatten(0, 2).t()
    for i, row in enumerate(products):
        top = i * dilation[0]
        of_row = inputs[:, top : top + stride[0] * (height - 1) + 1 : stride[0]]
        for j, product in enumerate(row):
            left = j * dilation[1]
            seen = of_row[:, :, left : left + stride[1] * (width - 1) + 1 : stride[1]]
            torch.mm(transposed, seen.flatten(0, 2), out=product)


@weight_gradient.register_fake
def _(
    gradient: Tensor,
    inputs: Tensor,
    kernel: Sequence[int],
    stride: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
) -> Tensor:
    shape = (gradient.shape[1], inputs.shape[1], *kernel)
    return gradient.new_empty(shape).contiguous(memory_format=torch.channels_last)


@register_flop_formula(torch.ops.detection.weight_gradient)
def operations(
    gradient: Sequence[int],
    inputs: Sequence[int],
    kernel: Sequence[int],
    *args: object,
    **_: object,
) -> int:
    """Two for each multiplication and addition, as torch counts a convolution's."""
    n, d, height, width = gradient
    return 2 * n * d * height * width * inputs[1] * kernel[0] * kernel[1]
