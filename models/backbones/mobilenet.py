"""MobileNetV2, the small backbone of the lite scale (not in either paper): at stride 16, under a
feature pyramid, or cut in two like a ResNet with a conv5 head.

torchvision's network with two changes: the stride of block 14 is 1, so that the last blocks keep a
stride of 16 (under a pyramid it stays 2), and every batch norm is folded into its convolution,
because at two or four images a batch it stays frozen anyway.
``tf_padding`` follows TensorFlow's SAME rule at stride 2 (for weights trained there): pad right and
below first.
"""

from collections.abc import Sequence
from textwrap import shorten

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.fusion import fuse_conv_bn_eval
from torchvision import models

from models.backbones.base import Backbone
from models.draws import Generators

CONV5_BLOCK = 14  # the first block of the last stage
LONGEST = 100  # characters of a list of tensors in an error
STAGES = (4, 7, 14)  # the blocks before which the maps have strides 4, 8 and 16


def depthwise(
    inputs: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    *,
    stride: Sequence[int],
    padding: Sequence[int],
) -> Tensor:
    """``F.conv2d`` with a group for each channel.

    On a GPU maps and weight are copied to NCHW, for which torch has a depthwise kernel of its own
    in float32 and bfloat16. Channels-last ones go to cuDNN, which prepares itself for each new size
    of image and takes up to 0.16 s a layer for it (a profile: docs/speed.md). What comes back is
    channels-last there.

    Args:
        inputs: (N, C, H, W).
        weight: (C, 1, I, J).
        bias: (C,) or None.
        stride, padding: in y and x.
    """
    size, channels = list(weight.shape), weight.shape[0]
    if not inputs.is_cuda:
        return F.conv2d(inputs, weight, bias, stride, padding, 1, channels)
    # ``contiguous()`` would keep the strides, because dimension 1 has one element
    weight = weight.flatten(1).unflatten(1, size[1:])
    outputs = F.conv2d(inputs.contiguous(), weight, bias, stride, padding, 1, channels)
    return outputs.contiguous(memory_format=torch.channels_last)


class DepthwiseConv2d(nn.Conv2d):
    """torch's, with ``depthwise`` for its forward pass."""

    def forward(self, inputs: Tensor) -> Tensor:
        return depthwise(inputs, self.weight, self.bias, stride=self.stride, padding=self.padding)  # type: ignore[arg-type]


class SamePadConv2d(nn.Conv2d):
    """A stride-2 convolution with TensorFlow's SAME padding: ceil(size / 2) outputs, the odd pixel
    right and below."""

    def forward(self, inputs: Tensor) -> Tensor:
        (kernel, _), (stride, _) = self.kernel_size, self.stride
        pads = []
        for size in (inputs.shape[-1], inputs.shape[-2]):
            total = max((-(-size // stride) - 1) * stride + kernel - size, 0)
            pads += [total // 2, total - total // 2]
        padded = F.pad(inputs, pads)
        if self.groups > 1:
            return depthwise(padded, self.weight, self.bias, stride=self.stride, padding=(0, 0))
        return F.conv2d(padded, self.weight, self.bias, self.stride)


class MobileNetV2(Backbone):
    """The first ``blocks`` of the 19 blocks of MobileNetV2; block k is stage k + 1 for ``freeze``.

    last_stride: of the last stage, 1 or 2; a pyramid needs 2 (maps at strides 4, 8, 16 and 32).
    """

    def __init__(self, *, blocks: int = 19, tf_padding: bool = False, last_stride: int = 1) -> None:
        features = mobilenet_blocks(tf_padding=tf_padding, last_stride=last_stride)[:blocks]
        pyramid = tuple((end, out_channels(features[:end])) for end in (*STAGES, blocks))
        super().__init__(
            list(features), list(range(1, blocks + 1)), out_channels(features), pyramid
        )


class MobileNetHead(nn.Module):
    """(R, C, B, B) -> blocks ``first`` .. ``blocks`` - 1 at stride 2 -> mean over the cells (R, D):
    what conv5 is to a ResNet."""

    def __init__(self, *, first: int, blocks: int, tf_padding: bool) -> None:
        super().__init__()
        self.layers = mobilenet_blocks(tf_padding=tf_padding, last_stride=2)[first:blocks]
        self.out_features = out_channels(self.layers)

    def forward(self, pooled: Tensor, generators: Generators | None = None) -> Tensor:
        """Nothing is drawn, so that ``generators`` are not used."""
        return self.layers(pooled).mean(dim=(2, 3))


def mobilenet_blocks(*, tf_padding: bool, last_stride: int) -> nn.Sequential:
    """All 19 blocks, folded."""
    features = folded(models.mobilenet_v2(weights=None).features)
    if last_stride == 1:
        stay_at_stride_16(features)
    for parent in list(features.modules()):
        for name, layer in list(parent.named_children()):
            if isinstance(layer, nn.Conv2d) and tf_padding and layer.stride == (2, 2):
                setattr(parent, name, same_padded(layer))
            elif isinstance(layer, nn.Conv2d) and layer.groups > 1:
                setattr(parent, name, without_cudnn(layer))
    return features


def stay_at_stride_16(features: nn.Sequential) -> None:
    """Sets the last stride of torchvision's blocks to 1, in place."""
    for layer in features[CONV5_BLOCK].modules():
        if isinstance(layer, nn.Conv2d):
            layer.stride = (1, 1)


def out_channels(features: nn.Sequential) -> int:
    """The channels of the last convolution of ``features``."""
    return [layer for layer in features.modules() if isinstance(layer, nn.Conv2d)][-1].out_channels


def folded(features: nn.Sequential) -> nn.Sequential:
    """``features`` with each batch norm folded into the convolution before it; the same function in
    eval mode."""
    for parent in list(features.modules()):
        if isinstance(parent, nn.Sequential):
            for index in range(len(parent) - 1):
                conv, norm = parent[index], parent[index + 1]
                if isinstance(conv, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
                    parent[index] = fuse_conv_bn_eval(conv.eval(), norm.eval())
                    parent[index + 1] = nn.Identity()
    return features


def folded_state(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """torchvision's state dict of MobileNetV2 renamed and folded to the names of ``MobileNetV2``:
    ``features.*``.

    Raises:
        ValueError: ``state`` is not a whole MobileNetV2 of width 1.
    """
    network = models.mobilenet_v2(weights=None)
    own = {name: value for name, value in state.items() if name.startswith("features.")}
    try:
        network.features.load_state_dict(
            {name.removeprefix("features."): value for name, value in own.items()}
        )
    except RuntimeError as error:
        misfits = str(error).splitlines()[-1].strip()  # names every tensor that does not fit
        raise ValueError(
            "The weights are not those of torchvision's mobilenet_v2 (width 1): "
            f"{shorten(misfits, LONGEST, placeholder=' ...')}; give its state dict."
        ) from error
    return {
        f"features.{name}": value for name, value in folded(network.features).state_dict().items()
    }


def same_padded(conv: nn.Conv2d) -> SamePadConv2d:
    """The same convolution with TensorFlow's SAME padding."""
    new = SamePadConv2d(
        conv.in_channels,
        conv.out_channels,
        conv.kernel_size[0],
        stride=conv.stride,  # type: ignore[arg-type]
        groups=conv.groups,
        bias=conv.bias is not None,
    )
    new.load_state_dict(conv.state_dict())
    return new


def without_cudnn(conv: nn.Conv2d) -> DepthwiseConv2d:
    """The same depthwise convolution of MobileNetV2 as a ``DepthwiseConv2d``.

    Nothing is drawn for it, so that what is built later begins with the weights that a seed has
    always given.
    """
    new = DepthwiseConv2d(
        conv.in_channels,
        conv.out_channels,
        conv.kernel_size,  # type: ignore[arg-type]
        stride=conv.stride,  # type: ignore[arg-type]
        padding=conv.padding,  # type: ignore[arg-type]
        groups=conv.groups,
        device="meta",
    )
    new.weight, new.bias = conv.weight, conv.bias
    return new
