"""IoU-Net (Jiang et al., 2018, sections 3.1 and 4): a head that predicts how well a box fits its
object.

It learns from jittered ground truth, not from proposals: boxes with IoU >= 1/2, as many in each
tenth of IoU. A box that is moved and scaled in units of its own sides has the same IoU with itself,
whatever its shape and place. So one table of moves, sorted by their IoU and made once, serves all
objects. How the paper draws its boxes is not known; a table on a grid that is denser near 0 is what
thisisi3/OpenMMLab-IoUNet has.

Letters: G ground-truth boxes, R RoIs, K foreground classes, C channels, B x B bins, T moves.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from data.boxes import CenterSizeCoder, box_iou, clip
from data.records import Batch, Candidates, Target
from losses.iou_loss import iou_loss, to_iou
from models.backbones.base import initialize
from models.decode import to_network
from models.matching import match
from models.pooling.pool import Features, Pool
from models.predictor import linear

LEAST_IOU = 0.5  # Omega_train: boxes below are not learned from
# No box with a center farther away, in sides of the object, reaches IoU 1/2; it takes a factor of 2
# to fall to 1/2.
LARGEST_SHIFT, LARGEST_SCALE = 0.5, math.log(2.0)
MOVES = CenterSizeCoder(weights=(1.0, 1.0, 1.0, 1.0))


@dataclass(frozen=True, kw_only=True)
class IoUConfig:
    """IoU-Net's branch. It has fc_dims and pool_size of the box head (RoIConfig) and always pools
    precisely."""

    rois: int = 256  # jittered ground-truth boxes an image that it learns from
    loss_weight: float = (
        5.0  # not stated in IoU-Net; that of the reimplementation which reaches its gain
    )


class IoUBranch(nn.Module):
    """Boxes -> the IoU loss on jittered ground truth, or the IoU that each box is expected to have.

    head: (R, C, B, B) -> (R, K + 1); pool: what it reads, with a gradient to the boxes. The numbers
    are those of ``IoUConfig``.
    """

    def __init__(self, *, head: nn.Module, pool: Pool, rois: int, loss_weight: float) -> None:
        super().__init__()
        self.head, self.pool = head, pool
        self.rois, self.loss_weight = rois, loss_weight

    def loss(self, features: Features, batch: Batch) -> Tensor:
        """The weighted loss of a batch with targets, a scalar; the jitter is drawn at random."""
        assert batch.targets is not None
        table = jitter_table_on(features[0].device)
        boxes, labels, iou = [], [], []
        for target, size in zip(batch.targets, batch.image_sizes, strict=True):
            rois = jittered_rois(target.boxes, size, count=self.rois, table=table)
            own_labels, own_iou = iou_targets(rois, target)
            boxes.append(rois)
            labels.append(own_labels)
            iou.append(own_iou)
        raw = self.head(self.pool(features, torch.stack(boxes)).flatten(0, 1))
        return self.loss_weight * iou_losses(raw, torch.cat(labels), torch.cat(iou))

    def predict(
        self, features: Features, batch: Batch, index: int, boxes: Tensor, labels: Tensor
    ) -> Tensor:
        """The IoU (D,) with its object that the head expects of each box, differentiable in the
        boxes.

        Args:
            features: of the images of ``batch``.
            index: of the image in the batch.
            boxes: (D, 4) in original px.
            labels: (D,) the class of each box.
        """
        own = tuple(level[index : index + 1] for level in features)
        pooled = self.pool(own, to_network(boxes, batch, index)[None])
        return predicted_iou(self.head(pooled.flatten(0, 1)).float(), labels)

    def rate(
        self, features: Features, batch: Batch, candidates: Sequence[Candidates]
    ) -> list[Candidates]:
        """The candidates of each image with the IoU that the head expects of their boxes as
        ``localization``."""
        rated = []
        for index, image in enumerate(candidates):
            iou = self.predict(features, batch, index, image.boxes, image.labels)
            rated.append(replace(image, localization=iou))
        return rated


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
    Raises: ValueError if the grid is too coarse for a move in each bucket.
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
    gt_boxes: Tensor, image_size: tuple[int, int], *, count: int, table: JitterTable
) -> Tensor:
    """``count`` boxes (count, 4) px around the objects (G, 4) of one image, clipped to it.

    Each bucket of the table gives equally many, and the objects take turns in a random order.
    Without an object all boxes are 0: ``iou_targets`` labels them 0.
    """
    if len(gt_boxes) == 0:
        return gt_boxes.new_zeros(count, 4)
    slot = torch.arange(count, device=gt_boxes.device)
    buckets = len(table.size)
    bucket = slot % buckets
    turns = torch.rand(len(gt_boxes), device=gt_boxes.device).argsort()
    chosen = gt_boxes[turns[slot // buckets % len(gt_boxes)]]
    draw = torch.rand(count, device=gt_boxes.device)
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


class IoUHead(nn.Module):
    """(R, C, B, B) -> fc6 -> fc7 -> one output a class (R, K + 1), the normalized IoU; that of
    class 0 is not used."""

    def __init__(self, *, in_features: int, fc_dims: tuple[int, int], num_classes: int) -> None:
        super().__init__()
        self.fc6 = nn.Linear(in_features, fc_dims[0])
        self.fc7 = nn.Linear(fc_dims[0], fc_dims[1])
        initialize(self)
        self.iou = linear(fc_dims[1], num_classes + 1, std=0.01)

    def forward(self, pooled: Tensor) -> Tensor:
        return self.iou(F.relu(self.fc7(F.relu(self.fc6(pooled.flatten(1))))))


def predicted_iou(raw: Tensor, labels: Tensor) -> Tensor:
    """The IoU (R,) that outputs (R, K + 1) predict for boxes of the classes ``labels`` (R,); not
    clipped."""
    return to_iou(raw.gather(1, labels[:, None])[:, 0])


def iou_losses(raw: Tensor, labels: Tensor, iou: Tensor) -> Tensor:
    """The mean of ``iou_loss`` over the RoIs that count, a scalar: 0 if there are none.

    raw (R, K + 1); labels (R,), 0 where a RoI does not count; iou (R,). Only the output of the own
    class is trained.
    """
    counted = labels > 0
    own = raw.gather(1, labels[:, None])[:, 0].masked_fill(~counted, 0.0)
    values = iou_loss(own, iou).masked_fill(~counted, 0.0)
    return values.sum() / counted.sum().clamp(min=1)
