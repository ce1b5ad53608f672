"""The layers of the RPN, the targets of its anchors and its loss (Faster R-CNN, section 3.1).

A 3x3 convolution, then objectness and box offsets of each anchor. Objectness is a logit: larger is
better.
Letters: N images, A anchors of all levels, G ground-truth boxes.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from data.boxes import BoxCoder
from data.records import Target
from losses.smooth_l1 import smooth_l1
from models.convolution import Conv2d
from models.matching import POSITIVE, sample

RPN_SMOOTH_L1_BETA = 1 / 9  # Caffe's sigma = 3


class RPNOutput(NamedTuple):
    """The head's output for each anchor: objectness (N, A), offsets (N, A, 4), and of KL-RPN
    log_variance (N, A, 4).
    """

    objectness: Tensor
    offsets: Tensor
    log_variance: Tensor | None = None


class AnchorTargets(NamedTuple):
    """The targets of a batch's anchors: sampled positives and negatives (N, A) bool, target_offsets
    (N, A, 4).
    """

    positive: Tensor
    negative: Tensor
    target_offsets: Tensor


Losses = tuple[dict[str, Tensor], dict[str, Tensor]]  # loss terms, statistics to watch
RPNLoss = Callable[[RPNOutput, AnchorTargets], Losses]


def join_levels(outputs: Sequence[RPNOutput]) -> RPNOutput:
    """The outputs of all levels of a pyramid as one, level after level."""
    if len(outputs) == 1:
        return outputs[0]
    log_variances = [part.log_variance for part in outputs if part.log_variance is not None]
    return RPNOutput(
        torch.cat([part.objectness for part in outputs], dim=1),
        torch.cat([part.offsets for part in outputs], dim=1),
        torch.cat(log_variances, dim=1) if log_variances else None,
    )


class RPNHead(nn.Module):
    """RPNOutput of a feature map (N, C, H, W).

    softmax: py-faster-rcnn classifies with a two-way softmax, background first: the logit is the
    difference of the two outputs. Detectron has one logit.
    """

    def __init__(
        self, *, in_channels: int, channels: int, anchors_per_position: int, softmax: bool = True
    ) -> None:
        super().__init__()
        self.outputs = 2 if softmax else 1
        self.conv = Conv2d(in_channels, channels, 3, padding=1)
        self.objectness = nn.Conv2d(channels, anchors_per_position * self.outputs, 1)
        self.offsets = nn.Conv2d(channels, anchors_per_position * 4, 1)
        for layer in (self.conv, self.objectness, self.offsets):
            nn.init.normal_(layer.weight, std=0.01)
            nn.init.zeros_(layer.bias)  # type: ignore[arg-type]

    def forward(self, features: Tensor) -> RPNOutput:
        hidden = F.relu(self.conv(features), inplace=True)
        logits = per_anchor(self.objectness(hidden), self.outputs)
        objectness = logits[..., 1] - logits[..., 0] if self.outputs == 2 else logits[..., 0]
        return RPNOutput(objectness, per_anchor(self.offsets(hidden), 4))


def per_anchor(outputs: Tensor, values: int) -> Tensor:
    """(N, anchors * values, H, W) -> (N, H * W * anchors, values), the order of AnchorGenerator."""
    n, _, height, width = outputs.shape
    split = outputs.reshape(n, -1, values, height, width)
    return split.permute(0, 3, 4, 1, 2).reshape(n, -1, values)


def anchor_targets(
    anchors: Tensor,
    target: Target,
    labels: Tensor,
    index: Tensor,
    coder: BoxCoder,
    *,
    anchors_per_image: int,
    positive_share: float,
    generator: torch.Generator | None = None,
) -> tuple[Tensor, Tensor, Tensor]:
    """The targets of one image's anchors.

    Args:
        anchors: (A, 4), network px.
        target: of the image, network px.
        labels, index: (A,) what each anchor is and the object that it regresses to, see
            ``label_anchors``.
        coder: of the target offsets.
        anchors_per_image: how many anchors are sampled.
        positive_share: at most this share of them is positive.
        generator: of the draws.

    Returns:
        Sampled positives (A,), sampled negatives (A,), target offsets (A, 4).
    """
    positive, negative = sample(
        labels, size=anchors_per_image, positive_share=positive_share, generator=generator
    )
    if len(target.boxes) == 0:
        return positive, negative, torch.zeros_like(anchors)
    return positive, negative, coder.encode(target.boxes[index], anchors)


def usable_anchors(anchors: Tensor, image_size: tuple[int, int], *, straddling: bool) -> Tensor:
    """Which anchors are learned from, (A,): those that do not cross the image boundary (Faster
    R-CNN section 3.1.3), or all.

    Args:
        anchors: (A, 4), network px.
        image_size: (height, width) without padding, network px.
        straddling: whether anchors across the boundary take part.
    """
    height, width = image_size
    inside = (anchors[:, :2] >= 0).all(1) & (anchors[:, 2] <= width) & (anchors[:, 3] <= height)
    return inside | straddling


def rpn_loss(output: RPNOutput, targets: AnchorTargets) -> Losses:
    """Classification and box loss of the RPN, and no statistics.

    Both are sums over the sampled anchors of an image, divided by their number, averaged over
    images; so a batch of two equals two accumulated batches of one.

    Args:
        output: of the head.
        targets: of the same anchors; target offsets are used where positive.

    Returns:
        ({"rpn_objectness", "rpn_box"}, {}), each loss a scalar.
    """
    positive, negative, target_offsets = targets
    sampled = positive | negative
    count = sampled.sum(1).clamp(min=1)
    cross_entropy = F.binary_cross_entropy_with_logits(
        output.objectness.float(), (positive * POSITIVE).float(), reduction="none"
    )
    difference = (output.offsets.float() - target_offsets).masked_fill(~positive[..., None], 0.0)
    box_loss = smooth_l1(difference, RPN_SMOOTH_L1_BETA).sum((1, 2)) / count
    objectness_loss = ((cross_entropy * sampled).sum(1) / count).mean()
    return {"rpn_objectness": objectness_loss, "rpn_box": box_loss.mean()}, {}
