"""Which anchor or RoI answers for which ground-truth box, and which of them are trained on.

Letters: G ground-truth boxes, A boxes (anchors or RoIs). All functions have fixed-shape outputs, so
a training step never waits for the host. Draws come from the generator that is given, of the boxes'
device, or from torch's global one.
Rules: Faster R-CNN section 3.1.2 (anchors), Fast R-CNN section 2.3 (RoIs), details as in
py-faster-rcnn.
The IoU of boxes with objects is computed for a few objects at a time, so that a crowded image does
not need G * A numbers of memory; the result is that of all objects at once, to the bit.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from data.boxes import BoxCoder, box_iou
from data.records import Target

POSITIVE, NEGATIVE, IGNORED = 1, 0, -1
PAIRS = 1 << 22  # of an object and a box whose IoU is computed at a time; about 28 bytes each
Best = tuple[Tensor, Tensor]  # IoU (A,) and index (A,) of the best ground truth of each box


def iou_by_objects(gt_boxes: Tensor, boxes: Tensor) -> Iterator[tuple[int, Tensor]]:
    """The IoU of objects (G, 4) with boxes (A, 4), a few objects g at a time: the index of their
    first, and (g, A).
    """
    at_a_time = max(1, PAIRS // max(1, len(boxes)))
    for first in range(0, len(gt_boxes), at_a_time):
        yield first, box_iou(gt_boxes[first : first + at_a_time], boxes)


def better(best: Best | None, iou: Tensor, first: int) -> Best:
    """The best of the objects so far and of the next ones; the earlier object where IoUs tie.

    Args:
        best: of the objects so far; None before the first.
        iou: (g, A) of the next objects.
        first: the index of the first of them.
    """
    values, indices = iou.max(dim=0)
    if best is None:
        return values, indices
    is_better = values > best[0]
    return torch.where(is_better, values, best[0]), torch.where(is_better, indices + first, best[1])


def match(boxes: Tensor, gt_boxes: Tensor) -> Best:
    """The best ground truth of each box.

    Args:
        boxes: (A, 4), px.
        gt_boxes: (G, 4), px.

    Returns:
        (IoU (A,), index (A,)); both are 0 when there is no ground truth.
    """
    best: Best | None = None
    for first, iou in iou_by_objects(gt_boxes, boxes):
        best = better(best, iou, first)
    if best is None:
        return boxes.new_zeros(len(boxes)), torch.zeros(
            len(boxes), dtype=torch.long, device=boxes.device
        )
    return best


def label_anchors(
    anchors: Tensor, gt_boxes: Tensor, inside: Tensor, *, positive_iou: float, negative_iou: float
) -> tuple[Tensor, Tensor]:
    """The label of each anchor, and the ground truth that it regresses to.

    Positive: IoU >= positive_iou with some ground truth, or the highest IoU that some ground truth
    reaches among the anchors inside (ties all count; an overlap of 0 does not). Negative: best
    IoU < negative_iou. The best-anchor rule beats the negative rule.

    Args:
        anchors: (A, 4), px.
        gt_boxes: (G, 4), px.
        inside: (A,) bool; the others are ignored.
        positive_iou: 0.7 in Faster R-CNN.
        negative_iou: 0.3 in Faster R-CNN.

    Returns:
        (labels (A,) of POSITIVE, NEGATIVE, IGNORED; index (A,) into the ground truth).
    """
    best: Best | None = None
    is_best_of_one = torch.zeros_like(inside)
    for first, every_iou in iou_by_objects(gt_boxes, anchors):
        iou = every_iou * inside
        best = better(best, iou, first)
        best_of_gt = iou.amax(dim=1, keepdim=True).clamp(min=1e-5)
        is_best_of_one |= (iou == best_of_gt).any(dim=0)
    if best is None:
        labels = torch.full((len(anchors),), NEGATIVE, device=anchors.device)
        return labels.masked_fill(~inside, IGNORED), torch.zeros_like(labels)
    best_iou, best_gt = best
    labels = torch.full_like(best_gt, IGNORED)
    labels[best_iou < negative_iou] = NEGATIVE
    labels[is_best_of_one] = POSITIVE
    labels[best_iou >= positive_iou] = POSITIVE
    return labels.masked_fill(~inside, IGNORED), best_gt


def rank_at_random(eligible: Tensor, generator: torch.Generator | None = None) -> Tensor:
    """A random order of the boxes in which all ``eligible`` (A,) come first: rank (A,) of each
    box."""
    keys = torch.rand(len(eligible), device=eligible.device, generator=generator)
    order = torch.argsort(keys + (~eligible).float())
    return torch.empty_like(order).scatter_(0, order, torch.arange(len(order), device=order.device))


def sample(
    labels: Tensor,
    *,
    size: int,
    positive_share: float,
    generator: torch.Generator | None = None,
) -> tuple[Tensor, Tensor]:
    """Draws boxes without replacement; negatives fill what positives leave.

    Args:
        labels: (A,), POSITIVE or more, NEGATIVE, or IGNORED.
        size: how many boxes to draw, fewer where there are not enough.
        positive_share: at most this share of ``size`` are positives.
        generator: of the draws.

    Returns:
        Masks (positives (A,), negatives (A,)).
    """
    positive, negative = labels >= POSITIVE, labels == NEGATIVE
    chosen = positive & (rank_at_random(positive, generator) < int(size * positive_share))
    rest = size - chosen.sum()
    return chosen, negative & (rank_at_random(negative, generator) < rest)


def sampled_indices(positive: Tensor, negative: Tensor, size: int) -> tuple[Tensor, Tensor]:
    """The sampled boxes as indices in fixed shape, positives first.

    Args:
        positive: (A,) bool, the sampled positives.
        negative: (A,) bool, the sampled negatives.
        size: how many slots there are.

    Returns:
        (index (size,), filled (size,) bool). Slots that could not be filled repeat some box.
    """
    rank = torch.where(positive, 0, torch.where(negative, 1, 2))
    if len(rank) < size:
        rank = torch.cat([rank, rank.new_full((size - len(rank),), 2)])
    order = torch.argsort(rank, stable=True)[:size]
    return order.clamp(max=len(positive) - 1), rank[order] < 2


@dataclass(frozen=True, kw_only=True)
class RoITargets:
    """The RoIs of a batch that the second stage is trained on.

    boxes: (N, P, 4) network px. labels: (N, P), 0 for background and -1 for an unfilled slot.
    target_offsets: (N, P, 4). gt_index: (N, P), the ground truth of the image that a foreground RoI
    is matched to, which a mask head asks for.
    """

    boxes: Tensor
    labels: Tensor
    target_offsets: Tensor
    gt_index: Tensor | None = None


def sample_rois(
    proposals: Tensor,
    target: Target,
    coder: BoxCoder,
    *,
    rois_per_image: int,
    positive_share: float,
    positive_iou: float,
    generator: torch.Generator | None = None,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """The RoIs of one image that the second stage is trained on, and their targets.

    The ground-truth boxes join the proposals (their own offsets are 0). Foreground: IoU >=
    positive_iou with some ground truth; all else is background, as in py-faster-rcnn's end-to-end
    recipe.

    Args:
        proposals: (P_i, 4), network px.
        target: of the image, network px.
        coder: of the target offsets.
        rois_per_image: P, the number of slots.
        positive_share: at most this share of them is foreground.
        positive_iou: 0.5 in Fast R-CNN.
        generator: of the draws.

    Returns:
        Boxes (P, 4), labels (P,), target offsets (P, 4) and matched ground truth (P,).
    """
    boxes = torch.cat([proposals, target.boxes])
    if len(boxes) == 0:
        empty = proposals.new_zeros(rois_per_image, 4)
        labels = torch.full((rois_per_image,), IGNORED, device=proposals.device)
        return empty, labels, empty, torch.zeros_like(labels)
    iou, index = match(boxes, target.boxes)
    positive, negative = sample(
        (iou >= positive_iou).long(),
        size=rois_per_image,
        positive_share=positive_share,
        generator=generator,
    )
    chosen, real = sampled_indices(positive, negative, rois_per_image)
    labels = torch.full((rois_per_image,), NEGATIVE, device=boxes.device)
    target_offsets = torch.zeros_like(boxes[chosen])
    if len(target.boxes):
        foreground = positive[chosen] & real
        labels = torch.where(foreground, target.labels[index[chosen]], labels)
        target_offsets = coder.encode(target.boxes[index[chosen]], boxes[chosen])
    return boxes[chosen], labels.masked_fill(~real, IGNORED), target_offsets, index[chosen]
