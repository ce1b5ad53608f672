"""Which anchor or RoI answers for which ground-truth box, and which of them are trained on.

Letters: G ground-truth boxes, A boxes (anchors or RoIs). All functions have fixed-shape outputs, so
a training step never waits for the host. Draws come from torch's global generator of the device,
which a training step seeds.
Rules: Faster R-CNN section 3.1.2 (anchors), Fast R-CNN section 2.3 (RoIs), details as in
py-faster-rcnn.
"""

import torch
from torch import Tensor

from data.boxes import box_iou

POSITIVE, NEGATIVE, IGNORED = 1, 0, -1


def match(boxes: Tensor, gt_boxes: Tensor) -> tuple[Tensor, Tensor]:
    """The best ground truth of each box: (IoU (A,), index (A,)); IoU 0 and index 0 when there is no
    ground truth."""
    if len(gt_boxes) == 0:
        return boxes.new_zeros(len(boxes)), torch.zeros(
            len(boxes), dtype=torch.long, device=boxes.device
        )
    best = box_iou(gt_boxes, boxes).max(dim=0)
    return best.values, best.indices


def label_anchors(
    anchors: Tensor, gt_boxes: Tensor, inside: Tensor, *, positive_iou: float, negative_iou: float
) -> tuple[Tensor, Tensor]:
    """Labels (A,) in {1, 0, -1} and the index (A,) of the ground truth that each anchor regresses
    to.

    Positive: IoU >= positive_iou with some ground truth, or the highest IoU that some ground truth
    reaches among the anchors ``inside`` (A,) bool (ties all count; an overlap of 0 does not).
    Negative: best IoU < negative_iou. The best-anchor rule beats the negative rule. An anchor that
    is not inside is ignored.
    """
    if len(gt_boxes) == 0:
        labels = torch.full((len(anchors),), NEGATIVE, device=anchors.device)
        return labels.masked_fill(~inside, IGNORED), torch.zeros_like(labels)
    iou = box_iou(gt_boxes, anchors) * inside
    best_iou, best_gt = iou.max(dim=0)
    best_of_gt = iou.amax(dim=1, keepdim=True).clamp(min=1e-5)
    labels = torch.full_like(best_gt, IGNORED)
    labels[best_iou < negative_iou] = NEGATIVE
    labels[(iou == best_of_gt).any(dim=0)] = POSITIVE
    labels[best_iou >= positive_iou] = POSITIVE
    return labels.masked_fill(~inside, IGNORED), best_gt


def rank_at_random(eligible: Tensor) -> Tensor:
    """A random order of the boxes in which all ``eligible`` (A,) come first: rank (A,) of each
    box."""
    keys = torch.rand(len(eligible), device=eligible.device)
    order = torch.argsort(keys + (~eligible).float())
    return torch.empty_like(order).scatter_(0, order, torch.arange(len(order), device=order.device))


def sample(labels: Tensor, *, size: int, positive_share: float) -> tuple[Tensor, Tensor]:
    """Draws at most ``size`` boxes without replacement: masks (positives (A,), negatives (A,)).

    At most ``size * positive_share`` positives; negatives fill the rest, fewer where there are not
    enough.
    """
    positive, negative = labels >= POSITIVE, labels == NEGATIVE
    chosen = positive & (rank_at_random(positive) < int(size * positive_share))
    rest = size - chosen.sum()
    return chosen, negative & (rank_at_random(negative) < rest)


def sampled_indices(positive: Tensor, negative: Tensor, size: int) -> tuple[Tensor, Tensor]:
    """The sampled boxes as exactly ``size`` indices (positives first) and a mask (size,) of those
    that are real.

    Slots that could not be filled repeat some box and are masked out.
    """
    rank = torch.where(positive, 0, torch.where(negative, 1, 2))
    if len(rank) < size:
        rank = torch.cat([rank, rank.new_full((size - len(rank),), 2)])
    order = torch.argsort(rank, stable=True)[:size]
    return order.clamp(max=len(positive) - 1), rank[order] < 2
