"""The mask branch of Mask R-CNN: a small fully convolutional network on each RoI, its targets and
its loss.

Letters: N images, P RoIs of one image, R = N * P, C channels, G ground-truth objects, K foreground
classes, M x M mask pixels (28 x 28, twice the pooled size).
Sources: Mask R-CNN section 3 and Figure 4 (right); Detectron's mask_rcnn_fcn_head_v1up4convs.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision import ops

from data.records import Batch, Detections
from losses.mask_loss import mask_loss
from models.across_processes import share_of_count
from models.convolution import Conv2d
from models.decode import check_finite, padded, to_network
from models.matching import RoITargets
from models.pooling.pool import Features, Pool


@dataclass(frozen=True, kw_only=True)
class MaskConfig:
    """Mask R-CNN's third output. The RoIs are pooled as the box head's are (RoIConfig.pooling)."""

    channels: int = 256  # of its convolutions
    pool_size: int = 14  # bins a side; the masks have twice as many cells
    soft_targets: bool = False  # interpolated targets (torchvision) instead of 0 and 1 (Detectron)


class MaskBranch(nn.Module):
    """RoIs -> the mask loss, or masks in final boxes.

    head: (R, C, B, B) -> (R, K + 1, M, M) logits; pool: what it reads; slots: foreground RoIs of an
    image that are learned from, at most; binary_targets: see ``mask_targets``.
    """

    def __init__(self, *, head: nn.Module, pool: Pool, slots: int, binary_targets: bool) -> None:
        super().__init__()
        self.head, self.pool = head, pool
        self.slots, self.binary_targets = slots, binary_targets

    def loss(self, features: Features, targets: RoITargets, batch: Batch) -> Tensor:
        """The mask loss on the foreground RoIs alone, for a fixed number of slots an image.

        Args:
            features: of the images of ``batch``.
            targets: the RoIs of the box head.
            batch: with targets that have masks.

        Returns:
            A scalar.

        Raises:
            ValueError: a target of the batch has no masks.
        """
        assert batch.targets is not None
        assert targets.gt_index is not None
        index, counted = foreground_first(targets.labels, self.slots)
        boxes = targets.boxes.gather(1, index[..., None].expand(-1, -1, 4))
        labels = targets.labels.gather(1, index).masked_fill(~counted, 0)
        gt_index = targets.gt_index.gather(1, index)
        logits = self.head(self.pool(features, boxes).flatten(0, 1))
        # Pixel k of a bitmap covers [k, k + 1], so that its center is at k + 0.5. ``mask_targets``
        # puts it at k, as torchvision does: so the boxes move by half a pixel, except for soft
        # targets, which are torchvision's.
        shift = 0.5 if self.binary_targets else 0.0
        mask_of_each = [
            mask_targets(
                masks_of(target.masks),
                gt_index[i],
                boxes[i] - shift,
                size=logits.shape[-1],
                binary=self.binary_targets,
            )
            for i, target in enumerate(batch.targets)
        ]
        return mask_losses(
            logits, labels.flatten(), torch.cat(mask_of_each), images=batch.counted_images
        )

    @torch.no_grad()
    def masks(
        self, features: Features, batch: Batch, detections: Sequence[Detections]
    ) -> list[Detections]:
        """The same detections with the masks that the head predicts in their boxes.

        Args:
            features: of the images of ``batch``.
            batch: the images.
            detections: the final ones of each image, original px.

        Raises:
            ValueError: a mask is not finite; names the image.
        """
        boxes = padded([to_network(image.boxes, batch, i) for i, image in enumerate(detections)])
        labels = padded([image.labels for image in detections]).flatten()
        logits = self.head(self.pool(features, boxes).flatten(0, 1))
        own = logits[torch.arange(len(labels), device=labels.device), labels].float()
        own = own.unflatten(0, boxes.shape[:2])
        for i, image in enumerate(detections):
            check_finite(batch.image_ids[i], mask_logits=own[i, : len(image.labels)])
        own = own.sigmoid()
        return [
            replace(image, masks=own[i, : len(image.labels)]) for i, image in enumerate(detections)
        ]


def masks_of(masks: Tensor | None) -> Tensor:
    """The masks of a target.

    Raises:
        ValueError: it has none.
    """
    if masks is None:
        raise ValueError(
            "The mask head learns from masks, and a target has none; set DataConfig.masks, on a "
            "data set whose annotations have segments."
        )
    return masks


class MaskHead(nn.Module):
    """Pooled RoIs (R, C, 14, 14) -> mask logits (R, K + 1, 28, 28), one map a class; map 0, the
    background, is idle.

    Four 3x3 convolutions, a 2x2 transposed one with stride 2 and a 1x1, ReLU between; MSRA
    initialization.
    """

    def __init__(self, *, in_channels: int, channels: int, num_classes: int) -> None:
        super().__init__()
        widths = (in_channels, channels, channels, channels)
        self.convs = nn.ModuleList(Conv2d(width, channels, 3, padding=1) for width in widths)
        self.upsample = nn.ConvTranspose2d(channels, channels, 2, stride=2)
        self.logits = nn.Conv2d(channels, num_classes + 1, 1)
        for layer in (*self.convs, self.upsample, self.logits):
            nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
            nn.init.zeros_(layer.bias)

    def forward(self, pooled: Tensor) -> Tensor:
        for conv in self.convs:
            pooled = conv(pooled).relu()
        return self.logits(self.upsample(pooled).relu())


def foreground_first(labels: Tensor, most: int) -> tuple[Tensor, Tensor]:
    """The first foreground RoIs of each image in fixed shape: no others are pooled for masks.

    Args:
        labels: (N, P), the class 1..K, or 0 and less for RoIs without an object.
        most: how many slots an image has.

    Returns:
        The index (N, most) into P, and counted (N, most) bool. Slots that could not be filled
        repeat some RoI and do not count.
    """
    foreground = labels > 0
    order = (~foreground).int().argsort(dim=1, stable=True)[:, :most]
    counted = foreground.gather(1, order)
    missing = (0, most - order.shape[1])
    return F.pad(order, missing), F.pad(counted, missing)


def mask_targets(
    masks: Tensor, index: Tensor, boxes: Tensor, size: int = 28, *, binary: bool
) -> Tensor:
    """What the mask of each RoI should be: its object's bitmap in size x size bins, (P, size,
    size).

    Args:
        masks: (G, H, W) uint8 of 0 and 1, network px.
        index: (P,) the object of each RoI.
        boxes: (P, 4) network px.
        size: M.
        binary: True takes the bitmap at the center of each bin and cuts at 0.5, close to the
            polygons that Detectron draws into the RoI; False takes the mean over the bin, one
            sample a pixel or more, as torchvision does.

    At the centers only the four neighbors of each sample are read: there is no float copy of the
    bitmaps. Without objects all is 0. This rule puts the value of pixel k at k, not at k + 0.5;
    boxes - 0.5 give the centered rule (aligned=True).
    Law: equals torchvision.ops.roi_align(masks, aligned=False), for ``binary`` with
        sampling_ratio=1 before the cut.
    """
    if len(masks) == 0:
        return boxes.new_zeros(len(boxes), size, size)
    if not binary:
        rois = torch.cat([index[:, None].to(boxes.dtype), boxes], dim=1)
        return ops.roi_align(masks[:, None].to(boxes.dtype), rois, size)[:, 0]
    height, width = masks.shape[1:]
    top, bottom, down, in_rows = _neighbors(boxes[:, 1], boxes[:, 3], size, height)
    left, right, across, in_columns = _neighbors(boxes[:, 0], boxes[:, 2], size, width)
    down, across = down[:, :, None], across[:, None, :]

    def bitmap(row: Tensor, column: Tensor) -> Tensor:
        return masks[index[:, None, None], row[:, :, None], column[:, None, :]].to(boxes.dtype)

    upper = torch.lerp(bitmap(top, left), bitmap(top, right), across)
    lower = torch.lerp(bitmap(bottom, left), bitmap(bottom, right), across)
    sampled = torch.lerp(upper, lower, down) * (in_rows[:, :, None] & in_columns[:, None, :])
    return (sampled >= 0.5).to(boxes.dtype)


def _neighbors(
    start: Tensor, end: Tensor, size: int, length: int
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """RoIAlign's samples on one axis of ``length`` cells: the cell before and after each bin center
    of the interval [start, end] (P,), the share of the latter, and whether the center is at most
    one cell outside; each (P, size)."""
    bins = torch.arange(size, device=start.device, dtype=start.dtype) + 0.5
    center = start[:, None] + bins * ((end - start).clamp(min=1.0) / size)[:, None]
    clamped = center.clamp(0, length - 1)
    # once more: a box of a network that diverged may be NaN
    before = clamped.long().clamp(0, length - 1)
    return (
        before,
        (before + 1).clamp(max=length - 1),
        clamped - before,
        (center >= -1) & (center <= length),
    )


def mask_losses(logits: Tensor, labels: Tensor, targets: Tensor, *, images: int) -> Tensor:
    """Mean cross-entropy of all pixels of the foreground RoIs of the batch, those of other
    processes included (``share_of_count``); 0 if there is none.

    Args:
        logits: (R, K + 1, M, M).
        labels: (R,) the class whose map is trained, 0 or less if the RoI does not count.
        targets: (R, M, M), 0 to 1.
        images: whose RoIs these are; 0 if they stand in for none.

    Returns:
        A scalar. Without counted RoIs the gradients are 0, not missing.
    """
    ignored = (labels <= 0)[:, None, None]
    slot = labels.clamp(min=0)[:, None, None, None].expand(-1, 1, *logits.shape[2:])
    # before any arithmetic: inf * 0 is NaN
    own = logits.gather(1, slot)[:, 0].masked_fill(ignored, 0.0)
    values = mask_loss(own, targets).masked_fill(ignored, 0.0)
    rois = share_of_count((labels > 0).sum(), images)
    return values.sum() / (rois * (logits.shape[2] * logits.shape[3]))
