"""Box arithmetic and the two box coders.

Boxes are (..., 4) float32 (x1, y1, x2, y2) in absolute pixels with continuous edges: width = x2 -
x1. The "+1" rule of older code bases equals these functions on boxes whose x2 and y2 were increased
by 1. EdgeCoder: KL Loss section 3.1, Eq. 1. CenterSizeCoder: R-CNN's (x, y, w, h) coding, used by
Faster R-CNN and KL-RPN.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor


def constant(values: Sequence[float], like: Tensor) -> Tensor:
    """A few numbers with the type and on the device of ``like``, sent there without waiting for
    what it is doing.
    """
    return torch.tensor(values, dtype=like.dtype).to(like.device, non_blocking=True)


def area(boxes: Tensor) -> Tensor:
    """Area (...,) in px^2 of boxes (..., 4); 0 for an inverted box."""
    sides = (boxes[..., 2:] - boxes[..., :2]).clamp(min=0)
    return sides[..., 0] * sides[..., 1]


def intersection(first: Tensor, second: Tensor) -> Tensor:
    """Area of overlap (..., A, B) in px^2 of boxes (..., A, 4) with boxes (..., B, 4)."""
    top_left = torch.maximum(first[..., :, None, :2], second[..., None, :, :2])
    bottom_right = torch.minimum(first[..., :, None, 2:], second[..., None, :, 2:])
    sides = (bottom_right - top_left).clamp(min=0)
    return sides[..., 0] * sides[..., 1]


def box_iou(first: Tensor, second: Tensor) -> Tensor:
    """Intersection over union (..., A, B) of boxes (..., A, 4) with boxes (..., B, 4); 0 where the
    union is empty.
    """
    overlap = intersection(first, second)
    union = area(first)[..., :, None] + area(second)[..., None, :] - overlap
    return overlap / union.clamp(min=torch.finfo(union.dtype).tiny)


def clip(boxes: Tensor, image_size: tuple[int, int]) -> Tensor:
    """Boxes (..., 4) moved inside an image of (height, width) px."""
    height, width = image_size
    limit = constant((width, height, width, height), boxes)
    return torch.minimum(boxes.clamp(min=0), limit)


def resize_boxes(boxes: Tensor, old: tuple[int, int], new: tuple[int, int]) -> Tensor:
    """Boxes, or lengths along their axes, of an image that is resized; each axis by its own ratio.

    Args:
        boxes: (..., 4) px of the old image.
        old: (height, width) px.
        new: (height, width) px.

    Returns:
        (..., 4) px of the new image: x * new width / old width, y * new height / old height.
    """
    x, y = new[1] / old[1], new[0] / old[0]
    return boxes * constant((x, y, x, y), boxes)


def flip_horizontal(boxes: Tensor, width: float) -> Tensor:
    """Boxes (..., 4) mirrored about the vertical axis of an image ``width`` px wide; its own
    inverse.
    """
    x1, y1, x2, y2 = boxes.unbind(-1)
    return torch.stack([width - x2, y1, width - x1, y2], dim=-1)


def sides_xyxy(boxes: Tensor) -> Tensor:
    """(w, h, w, h) of boxes (..., 4): the pixel length that belongs to each of the four edge
    coordinates.
    """
    sides = boxes[..., 2:] - boxes[..., :2]
    return torch.cat([sides, sides], dim=-1)


class BoxCoder(Protocol):
    """Turns boxes into offsets from reference boxes and back: decode(encode(b, a), a) == b."""

    def encode(self, boxes: Tensor, references: Tensor) -> Tensor: ...

    def decode(self, offsets: Tensor, references: Tensor) -> Tensor: ...


@dataclass(frozen=True, kw_only=True)
class EdgeCoder:
    """KL Loss Eq. 1: t_x1 = weight (x1 - x1a) / wa, and so on for each edge, in the order (x1, y1,
    x2, y2).

    weight: 10 in the box head, 1 in the RPN (docs/kl_loss.md, points 2, 3). limit: decoding clamps
    |t / weight| to it (released code: 1000 / 16). Decoding can return an inverted box; use
    ``sort_corners`` where that matters.
    """

    weight: float = 10.0
    limit: float = 62.5

    def encode(self, boxes: Tensor, references: Tensor) -> Tensor:
        """Offsets (..., 4) of boxes (..., 4) from references (..., 4), px -> unitless."""
        return self.weight * (boxes - references) / sides_xyxy(references)

    def decode(self, offsets: Tensor, references: Tensor) -> Tensor:
        """Boxes (..., 4) px at offsets (..., 4) from references (..., 4); float32 whatever the
        offsets are.
        """
        shift = (offsets.float() / self.weight).clamp(-self.limit, self.limit)
        return references + shift * sides_xyxy(references)

    def pixel_variances(self, variances: Tensor, references: Tensor) -> Tensor:
        """Variances (..., 4) from offset units^2 to px^2: (side / weight)^2 * variance."""
        return variances * (sides_xyxy(references) / self.weight) ** 2


@dataclass(frozen=True, kw_only=True)
class CenterSizeCoder:
    """R-CNN's coding: t = (wx dx / wa, wy dy / ha, ww ln(w / wa), wh ln(h / ha)).

    weights: (10, 10, 5, 5) in the box head (targets divided by stds .1, .1, .2, .2), (1, 1, 1, 1)
    in the RPN. limit: decoding clamps the log size ratio to it; Detectron's ln(1000 / 16)
    (py-faster-rcnn has no limit and can overflow). minus_one: False decodes as faster-rcnn.pytorch
    does, which forgets a "- 1": x2 and y2 come out 1 px too large.
    """

    weights: tuple[float, float, float, float] = (10.0, 10.0, 5.0, 5.0)
    limit: float = math.log(1000.0 / 16)
    minus_one: bool = True

    def encode(self, boxes: Tensor, references: Tensor) -> Tensor:
        """Offsets (..., 4) of boxes (..., 4) from references (..., 4), px -> unitless."""
        size = boxes[..., 2:] - boxes[..., :2]
        size_a = references[..., 2:] - references[..., :2]
        center = boxes[..., :2] + 0.5 * size
        center_a = references[..., :2] + 0.5 * size_a
        raw = torch.cat([(center - center_a) / size_a, torch.log(size / size_a)], dim=-1)
        return raw * constant(self.weights, raw)

    def decode(self, offsets: Tensor, references: Tensor) -> Tensor:
        """Boxes (..., 4) px at offsets (..., 4) from references (..., 4); float32 whatever the
        offsets are.
        """
        raw = offsets.float() / constant(self.weights, references)
        size_a = references[..., 2:] - references[..., :2]
        center = references[..., :2] + 0.5 * size_a + raw[..., :2] * size_a
        size = size_a * torch.exp(raw[..., 2:].clamp(max=self.limit))
        return torch.cat(
            [center - 0.5 * size, center + 0.5 * size + (0.0 if self.minus_one else 1.0)], dim=-1
        )


def sort_corners(boxes: Tensor) -> Tensor:
    """Boxes (..., 4) with x1 <= x2 and y1 <= y2: repairs what edge decoding may invert."""
    low = torch.minimum(boxes[..., :2], boxes[..., 2:])
    high = torch.maximum(boxes[..., :2], boxes[..., 2:])
    return torch.cat([low, high], dim=-1)
