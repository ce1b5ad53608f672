"""Jittered ground truth: what the head of IoU-Net learns from (Jiang et al., 2018, section 3.1).

The paper takes boxes with IoU >= 1/2, as many in each tenth of IoU. A box that is moved and scaled
in units of its own sides has the same IoU with itself, whatever its shape and place. So one table
of moves, sorted by their IoU and made once, serves all objects. How the paper draws its boxes is
not known; a table on a grid that is denser near 0 is what thisisi3/OpenMMLab-IoUNet has.
Letters: G ground-truth boxes, R RoIs, T moves.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor

from data.boxes import CenterSizeCoder, box_iou, clip
from data.records import Target
from models.matching import match

LEAST_IOU = 0.5  # Omega_train: boxes below have no loss
# No box with a center farther away, in sides of the object, reaches IoU 1/2; it takes a factor of 2
# to fall to 1/2.
LARGEST_SHIFT, LARGEST_SCALE = 0.5, math.log(2.0)
MOVES = CenterSizeCoder(weights=(1.0, 1.0, 1.0, 1.0))


@dataclass(frozen=True, kw_only=True)
class JitterTable:
    """Moves by IoU: deltas (T, 4) = (dx, dy, ln sw, ln sh) sorted by buckets of IoU; first and size
    (buckets,) i64: where each bucket begins and how many moves it has."""

    deltas: Tensor
    first: Tensor
    size: Tensor

    def to(self, device: torch.device | str) -> JitterTable:
        return JitterTable(
            deltas=self.deltas.to(device), first=self.first.to(device), size=self.size.to(device)
        )


def jitter_table(*, steps: int = 12, buckets: int = 5) -> JitterTable:
    """All moves of a grid with IoU >= 1/2, in ``buckets`` of equal width from 1/2 to 1.

    steps: values of each of dx, dy, ln sw and ln sh to either side of 0, denser near 0.
    Raises:
        ValueError: the grid is too coarse for a move in each bucket.
    """
    share = torch.arange(-steps, steps + 1) / steps
    share = share * share.abs()
    shift, scale = share * LARGEST_SHIFT, share * LARGEST_SCALE
    deltas = torch.cartesian_prod(shift, shift, scale, scale)
    unit = torch.tensor([[0.0, 0.0, 1.0, 1.0]])
    iou = box_iou(MOVES.decode(deltas, unit), unit)[:, 0]
    deltas, iou = deltas[iou >= LEAST_IOU], iou[iou >= LEAST_IOU]
    bucket = ((iou - LEAST_IOU) / (1 - LEAST_IOU) * buckets).long().clamp(max=buckets - 1)
    size = torch.bincount(bucket, minlength=buckets)
    if not bool(size.all()):
        raise ValueError(
            f"A jitter table of {steps} steps has no move in some of its {buckets} buckets of "
            "IoU: take more steps or fewer buckets."
        )
    return JitterTable(
        deltas=deltas[bucket.argsort(stable=True)], first=size.cumsum(0) - size, size=size
    )


@cache
def jitter_table_on(device: torch.device) -> JitterTable:
    """The table of the default grid on ``device``, made and moved once."""
    return jitter_table().to(device)


def jittered_rois(
    gt_boxes: Tensor,
    image_size: tuple[int, int],
    *,
    count: int,
    table: JitterTable,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Boxes around the objects of one image, equally many from each bucket of the table.

    The objects take turns in a random order. Without an object all boxes are 0, and ``iou_targets``
    labels them 0.

    Args:
        gt_boxes: (G, 4), network px.
        image_size: (height, width), network px, to which the boxes are clipped.
        count: how many boxes.
        table: the moves to draw from.
        generator: of the draws.

    Returns:
        Boxes (count, 4), network px.
    """
    if len(gt_boxes) == 0:
        return gt_boxes.new_zeros(count, 4)
    slot = torch.arange(count, device=gt_boxes.device)
    buckets = len(table.size)
    bucket = slot % buckets
    turns = torch.rand(len(gt_boxes), device=gt_boxes.device, generator=generator).argsort()
    chosen = gt_boxes[turns[slot // buckets % len(gt_boxes)]]
    draw = torch.rand(count, device=gt_boxes.device, generator=generator)
    row = table.first[bucket] + (draw * table.size[bucket]).long()
    return clip(MOVES.decode(table.deltas[row], chosen), image_size)


def iou_targets(boxes: Tensor, target: Target) -> tuple[Tensor, Tensor]:
    """What boxes (R, 4) learn: labels (R,), the class of the object that each overlaps most, and
    the IoU (R,) with it.

    A label is 0 where the IoU is below 1/2, as it may be after ``clip``, or without an object: no
    loss there.
    """
    iou, index = match(boxes, target.boxes)
    labels = index if len(target.boxes) == 0 else target.labels[index]
    return labels.masked_fill(iou < LEAST_IOU, 0), iou
