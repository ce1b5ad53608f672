"""What backbones share: a stack of layers that is cut into stages, its initialization, and norms
that stay as they are.

Batch norm: a detector sees too few images a batch to estimate statistics, so networks that start
from ImageNet keep every norm as it is (``freeze_norms``); networks trained from scratch train them.
"""

from dataclasses import dataclass
from typing import Literal, Self, get_args

import torch
from torch import Tensor, nn

from models.across_processes import batch_is_shared, shared_moments
from models.convolution import Conv2d

ResNetLayout = Literal["torchvision", "caffe", "detectron"]


@dataclass(frozen=True, kw_only=True)
class BackboneConfig:
    """The network up to its features.

    Raises:
        ValueError: an unknown layout of a ResNet, or too few or too many blocks of MobileNetV2.
    """

    name: str  # a key of BACKBONES in models/build.py
    # multiplies the published channel counts; 0.25 at mini; MobileNetV2 stays as published
    width: float = 1.0
    frozen_stages: int = 2  # of pretrained weights; 2 = conv1_x, conv2_x of VGG-16
    resnet_blocks: tuple[int, int, int, int] | None = None  # of each stage; None: as published
    # where a stage's stride is and how the first pooling rounds, models/backbones/resnet.py
    resnet_layout: ResNetLayout = "torchvision"
    mobilenet_blocks: int = 19  # the first 8 end at stride 16, the first 15 at 32 under a pyramid
    tf_padding: bool = False  # MobileNetV2 weights that come from TensorFlow
    pyramid: bool = False  # FPN: five levels at strides 4 .. 64 instead of one at 16
    pyramid_channels: int = 256  # of each level

    def __post_init__(self) -> None:
        if self.resnet_layout not in get_args(ResNetLayout):
            raise ValueError(
                f"BackboneConfig.resnet_layout is {self.resnet_layout!r}; choose one of "
                f"{get_args(ResNetLayout)}."
            )
        fewest = 15 if self.pyramid else 8
        if not fewest <= self.mobilenet_blocks <= 19:
            raise ValueError(
                f"BackboneConfig.mobilenet_blocks is {self.mobilenet_blocks}; its last map has the "
                f"stride that the anchors expect with {fewest} to 19."
            )

    @property
    def caffe_strides(self) -> bool:
        """Whether a stage's stride is in the first convolution of its first block."""
        return self.resnet_layout != "torchvision"


def scaled(channels: int, width: float) -> int:
    """``channels`` times ``width``, at least 8."""
    return max(8, round(channels * width))


class Backbone(nn.Module):
    """A stack of layers ending at stride 16. ``stage_ends`` are the indices in ``features`` where
    each stage ends.

    pyramid: for networks that a feature pyramid can be built on, the ends and channels of the
    stages at strides 4, 8, 16 and 32 (models/backbones/fpn.py); empty for the others.
    """

    strides: tuple[int, ...] = (16,)

    def __init__(
        self,
        layers: list[nn.Module],
        stage_ends: list[int],
        out_channels: int,
        pyramid: tuple[tuple[int, int], ...] = (),
    ) -> None:
        super().__init__()
        self.features = Layers(*layers)
        self.stage_ends = stage_ends
        self.out_channels = out_channels
        self.pyramid = pyramid

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """Images (N, 3, H, W) -> one map of features (N, C, h, w).

        h is about H / 16, as the layers round: ceil(H / 16) for VGG-16, MobileNetV2 and
        torchvision's ResNets; Caffe's ResNets may have one less. VGG-CNN-M-1024 pads less and makes
        36 x 61 of 600 x 1000 px.
        """
        return (self.features(images),)

    def bottom_up(self, images: Tensor) -> list[Tensor]:
        """The maps at the ends of the ``pyramid`` stages, fine to coarse."""
        maps, start = [], 0
        for end, _ in self.pyramid:
            images = self.features[start:end](images)
            maps.append(images)
            start = end
        return maps

    def freeze(self, stages: int) -> None:
        """Stops training of the first ``stages`` stages; their activations are then not kept
        either.

        Raises:
            ValueError: the network does not have so many.
        """
        if not 0 <= stages <= len(self.stage_ends):
            raise ValueError(
                f"BackboneConfig.frozen_stages is {stages}; this network has "
                f"{len(self.stage_ends)} stages, and 0 freezes none."
            )
        if stages:
            for parameter in self.features[: self.stage_ends[stages - 1]].parameters():
                parameter.requires_grad_(False)


def initialize(module: nn.Module) -> None:
    """He initialization of every convolution and linear layer below ``module``, for training from
    scratch."""
    for layer in module.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)


class Norm(nn.BatchNorm2d):
    """Batch norm that, once ``frozen``, stays in eval mode: an affine map with fixed numbers."""

    frozen = False

    def forward(self, maps: Tensor) -> Tensor:
        """Maps (N, C, H, W), normalized; in training over the images of all processes."""
        if not (self.training and batch_is_shared()):
            return super().forward(maps)
        assert self.running_mean is not None
        assert self.running_var is not None
        assert self.num_batches_tracked is not None
        mean, variance, count = shared_moments(maps)
        with torch.no_grad():
            self.num_batches_tracked += 1
            self.running_mean.lerp_(mean, self.momentum or 0.0)
            self.running_var.lerp_(variance * count / (count - 1), self.momentum or 0.0)
        scale = self.weight * torch.rsqrt(variance + self.eps)
        shift = self.bias - mean * scale
        return (maps * scale[:, None, None] + shift[:, None, None]).to(maps.dtype)

    def train(self, mode: bool = True) -> Self:
        return super().train(mode and not self.frozen)


class Layers(nn.Sequential):
    """Layers one after the other, each norm together with the convolution before it."""

    def forward(self, maps: Tensor) -> Tensor:
        layers = list(self)
        for index, layer in enumerate(layers):
            after = layers[index + 1] if index + 1 < len(layers) else None
            if isinstance(layer, Conv2d) and isinstance(after, Norm):
                maps = normalized(layer, after, maps)
            elif not (index and isinstance(layer, Norm) and isinstance(layers[index - 1], Conv2d)):
                maps = layer(maps)
        return maps


def normalized(conv: Conv2d, norm: Norm, maps: Tensor) -> Tensor:
    """``norm(conv(maps))``; a norm in eval mode scales the weight instead of the maps, which saves
    a pass over them and over their gradient.

    With a norm (y - m) g / s + b of an output y = w * x, scale = g / s: the output is that of the
    weight w * scale with the bias b - m * scale. Parameters, and so checkpoints, are those of both
    layers, and so are their gradients.

    Args:
        conv: without a bias.
        norm: of its output.
        maps: (N, C, H, W).
    """
    if norm.training or conv.bias is not None:
        return norm(conv(maps))
    assert norm.running_mean is not None
    assert norm.running_var is not None
    scale = norm.weight * torch.rsqrt(norm.running_var + norm.eps)
    shift = norm.bias - norm.running_mean * scale
    return conv.with_weight(maps, conv.weight * scale[:, None, None, None], shift)


def freeze_norms(module: nn.Module) -> None:
    """Fixes every norm below ``module`` for good: neither its weight and bias nor its statistics
    change in training."""
    for norm in [layer for layer in module.modules() if isinstance(layer, Norm)]:
        norm.requires_grad_(False)
        norm.frozen = True
        norm.eval()
