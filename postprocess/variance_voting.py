"""Variance voting: a selected box moves to the mean of its neighbors, weighted by nearness and
certainty.

Letters: T rows, G groups (an image and a class), M slots in a group, D detections.
KL Loss section 3.3, Eq. 11; Algorithm 1, lines in green.

Neither who is selected nor the decayed scores depend on voted coordinates: the released code, too,
votes with the original boxes and takes IoU of the original boxes. So voting is a step of its own
after the selection, and only the boxes that are reported need it.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from postprocess.groups import Groups, neighborhoods

Voters = Callable[[Tensor, Tensor], Tensor]


def log_proximity(iou: Tensor, sigma_t: float) -> Tensor:
    """Eq. 11, first line, as a logarithm: ln p_i = -(1 - IoU_i)^2 / sigma_t."""
    return -((1 - iou) ** 2) / sigma_t


def vote(
    selected: Tensor, boxes: Tensor, variances: Tensor, iou: Tensor, voters: Tensor, sigma_t: float
) -> Tensor:
    """Eq. 11: x = sum_i (p_i x_i / v_i) / sum_i (p_i / v_i), for each of the four coordinates.

    The weights are a softmax over voters of ln p_i - ln v_i, which cannot overflow or become 0 / 0
    whatever the variances are. They are applied to differences from the selected box, so that a
    coordinate on which all voters agree comes back unchanged to the last bit.

    Args:
        selected: (D, 4) px, the boxes to move.
        boxes: (D, M, 4) px, the boxes that may vote on each of them.
        variances: (D, M, 4) in any unit shared by the voters; below the smallest normal number they
            count as that.
        iou: (D, M) IoU of each voter with the selected box.
        voters: (D, M) bool, at least one True per row.
        sigma_t: the temperature, > 0.

    Returns:
        boxes (D, 4) px.

    Law: a common factor on one column of ``variances`` changes nothing.
    """
    log_variances = variances.clamp(min=torch.finfo(variances.dtype).tiny).log()
    logits = log_proximity(iou, sigma_t)[..., None] - log_variances
    weights = logits.masked_fill(~voters[..., None], -torch.inf).softmax(dim=1)
    return selected + (weights * (boxes - selected[:, None])).sum(dim=1)


def all_voters(exit_step: Tensor, step: Tensor) -> Tensor:
    """Algorithm 1 (the set B): every box of the group may vote, (D, M)."""
    return torch.ones_like(exit_step, dtype=torch.bool)


def remaining_voters(exit_step: Tensor, step: Tensor) -> Tensor:
    """Released code: who is selected or dropped in an earlier step than ``step`` (D,) may not vote,
    (D, M).

    Boxes dropped in the very step do vote: that code votes first and decays afterwards.
    """
    return exit_step >= step[:, None]


def vote_selected(
    boxes: Tensor,
    variances: Tensor,
    groups: Groups,
    exit_step: Tensor,
    *,
    group: Tensor,
    slot: Tensor,
    step: Tensor,
    sigma_t: float,
    voter_iou: float,
    may_vote: Voters,
) -> Tensor:
    """Eq. 11 for D selected boxes, each with the voters of its group.

    Args:
        boxes, variances: (T, 4) of all rows.
        groups: the rows of each group, G x M slots.
        exit_step: (G, M) the step in which each slot was selected or dropped.
        group, slot, step: (D,) where each selected box is, and the step in which it was selected.
        sigma_t: the temperature, > 0.
        voter_iou: a box votes if its IoU with the selected box is larger, in [0, 1).
        may_vote: (exit_step (D, M), step (D,)) -> (D, M) bool.

    Returns:
        voted boxes (D, 4) px. The selected box always votes, with p = 1, even if it has no area.
    """
    voted = [boxes.new_zeros(0, 4)]
    for near in neighborhoods(boxes, groups, group, slot):
        selected = boxes[groups.members[group[near.part], slot[near.part]]]
        may = may_vote(exit_step[group[near.part]], step[near.part])
        voters = near.valid & (near.iou > voter_iou) & may
        voted.append(
            vote(selected, boxes[near.rows], variances[near.rows], near.iou, voters, sigma_t)
        )
    return torch.cat(voted)
