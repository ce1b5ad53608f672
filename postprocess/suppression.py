"""Hard NMS, linear soft-NMS and Gaussian soft-NMS as one selection loop with three decay functions.

``select`` is written to be read, and is what tests hold postprocess/best_first.py and hard_nms.py
against, which find the same faster. It serves the methods that look at more than the best boxes.

Letters: G groups (an image and a class), M slots in a group, S selection steps. KL Loss Algorithm
1, lines in blue; Bodla et al., "Soft-NMS", 2017. The +1 pixel rule of the released code equals
these functions on continuous boxes.

Paper and released code leave three things open that matter; they follow the released code here: the
score floor is checked only for boxes that overlap the winner and only after the decay; hard NMS has
no floor at all; a box is suppressed if its IoU is larger than (not equal to) the threshold.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from data.boxes import box_iou
from postprocess.arrays import Values, exp

Decay = Callable[[Values], Values]

REMOVED = -torch.inf  # the remaining score of a slot that is selected, dropped or padding


@dataclass(frozen=True, kw_only=True)
class SelectedSlots:
    """The selected boxes of each group by their slots, step after step.

    slots (G, S) i64: the slot selected in each step; scores (G, S): its decayed score, -inf where
    the group had nothing left; exit_step (G, M) i64: the step in which a slot was selected or
    dropped, S if it was still there at the end.
    """

    slots: Tensor
    scores: Tensor
    exit_step: Tensor


def selected_slots(kept: Tensor, scores: Tensor) -> SelectedSlots:
    """What a method selects that decides on all boxes at once: its boxes with their own scores,
    best first.

    Args:
        kept: (G, M) bool, False in the padding.
        scores: (G, M) finite.

    Returns:
        what is kept; of equal scores the lowest slot comes first.
    """
    ranked, slots = scores.masked_fill(~kept, REMOVED).sort(dim=1, descending=True, stable=True)
    exit_step = slots.argsort(dim=1).masked_fill(~kept, kept.shape[1])
    return SelectedSlots(slots=slots, scores=ranked, exit_step=exit_step)


def hard_decay(iou: Values, *, threshold: float) -> Values:
    """Factor 0 where IoU > threshold, else 1."""
    return 1.0 - 1.0 * (iou > threshold)


def linear_decay(iou: Values, *, threshold: float) -> Values:
    """Factor 1 - IoU where IoU > threshold, else 1."""
    return 1 - iou * (iou > threshold)


def gaussian_decay(iou: Values, *, sigma: float) -> Values:
    """Factor exp(-IoU^2 / sigma)."""
    return exp(-(iou**2) / sigma)


def select(
    boxes: Tensor, scores: Tensor, valid: Tensor, *, decay: Decay, floor: float, max_steps: int
) -> SelectedSlots:
    """Repeats in all groups together: take the best remaining box, multiply the other scores by
    decay(IoU).

    Args:
        boxes: (G, M, 4) px; the IoU is always that of these boxes, whatever a vote does to the
            winners later.
        scores: (G, M) finite.
        valid: (G, M) filled slots; they come first in each group, and the groups are sorted by
            size, largest first.
        decay: IoU (G, M) -> factor (G, M) in [0, 1].
        floor: a box that overlaps the winner is dropped when its decayed score is below; -inf for
            no floor. A box whose factor is 0 is dropped whatever the floor.
        max_steps: boxes wanted per group. Selected scores never increase, so the best D of a group
            are its first D.

    Returns:
        what was selected; of equal scores the lowest slot is taken first.
    """
    sizes = valid.sum(dim=1).tolist()
    assert sizes == sorted(sizes, reverse=True), "groups must be sorted by size, largest first"
    steps = min(max(sizes, default=0), max_steps)
    slots = scores.new_zeros((len(sizes), steps), dtype=torch.int64)
    selected = scores.new_full((len(sizes), steps), REMOVED)
    exit_step = torch.zeros_like(valid, dtype=torch.int64)
    remaining = scores.masked_fill(~valid, REMOVED)
    groups = len(sizes)
    for step in range(steps):
        while sizes[groups - 1] <= step:  # a group of n boxes is exhausted after n steps
            groups -= 1
        remaining = remaining[:groups]
        best, winner = remaining.max(dim=1, keepdim=True)
        if not (best > REMOVED).any():
            break
        slots[:groups, step], selected[:groups, step] = winner[:, 0], best[:, 0]
        winner_box = boxes[:groups].take_along_dim(winner[..., None], dim=1)
        iou = box_iou(winner_box, boxes[:groups])[:, 0]
        factor = decay(iou)
        decayed = remaining * factor
        dropped = (factor == 0) | ((iou > 0) & (decayed < floor))
        remaining = decayed.masked_fill(dropped.scatter(1, winner, True), REMOVED)
        exit_step[:groups] += remaining > REMOVED
    return SelectedSlots(slots=slots, scores=selected, exit_step=exit_step)
