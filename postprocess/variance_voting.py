"""Variance voting: a selected box moves to the mean of its neighbors, weighted by nearness and
certainty.

Letters: T candidates of all images, M members of a group (an image and a class), D detections.
KL Loss section 3.3, Eq. 11; Algorithm 1, lines in green. ``vote`` is the equation to be read, and
the reference of the tests; ``vote_selected`` is the same for all detections at once.

Neither who is selected nor the decayed scores depend on voted coordinates: the released code, too,
votes with the original boxes and takes IoU of the original boxes. So voting is a step of its own
after the selection, and only the boxes that are reported need it.
"""

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from postprocess.arrays import Flags, Floats, Indices, Values
from postprocess.class_slices import TINY
from postprocess.overlaps import Overlaps


def log_proximity(iou: Values, sigma_t: float) -> Values:
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


def remaining_voters(exit_step: Indices, step: Indices) -> Flags:
    """Released code: who is selected or dropped in an earlier step than ``step`` may not vote.

    Boxes dropped in the very step do vote: that code votes first and decays afterwards. In the
    paper's Algorithm 1 every box of the group (the set B) may vote.

    Args:
        exit_step, step: of the voters and of the detections; their shapes broadcast.
    """
    return exit_step >= step


class Leaving(NamedTuple):
    """When boxes leave their group.

    exit_step (T,) by place: the step of its group in which a box was selected or dropped, large if
    it stays. step (D,): the step in which each detection was selected.
    """

    exit_step: Indices
    step: Indices


def vote_selected(
    overlaps: Overlaps,
    places: Indices,
    variances: Floats,
    *,
    sigma_t: float,
    voter_iou: float,
    leaving: Leaving | None,
) -> Floats:
    """Eq. 11 for D selected boxes, each with the voters of its group.

    The sums over the voters are taken in float64, where neither variances nor proximities overflow.
    In a large group they are one matrix product of the masked proximities with 1 / v and x / v.
    Coordinates are counted from a box of the group, so that a far corner costs no digits.

    Args:
        overlaps: of the candidates.
        places: (D,) of the selected boxes.
        variances: (T, 4) by row.
        sigma_t: the temperature, > 0.
        voter_iou: a box votes if its IoU with the selected box is larger, in [0, 1).
        leaving: for ``remaining_voters``; None lets all boxes of the group vote.

    Returns:
        voted boxes (D, 4) px. The selected box always votes, with p = 1, even if it has no area.
    """
    slices = overlaps.slices
    boxes = slices.boxes.T
    origin = boxes[slices.first[slices.group]]
    moments = np.empty((len(boxes), 8))
    inverse = moments[:, :4]
    np.divide(1.0, np.maximum(variances[slices.order], TINY), out=inverse, dtype=np.float64)
    np.multiply(inverse, np.subtract(boxes, origin, dtype=np.float64), out=moments[:, 4:])
    sums = np.empty((len(places), 8))
    for near in overlaps.neighborhoods(places):
        voters = near.iou > voter_iou
        if leaving is not None:
            voters &= remaining_voters(leaving.exit_step[near.member], leaving.step[near.box])
        proximity = np.exp(log_proximity(near.iou, sigma_t)).astype(np.float64)
        proximity *= voters
        rows = near.box[:, 0]
        if near.member.ndim == 1:
            members = slice(int(near.member[0]), int(near.member[-1]) + 1)
            sums[rows] = proximity @ moments[members]
        else:
            sums[rows] = (proximity[:, None] @ moments[near.member])[:, 0]
    voted = sums[:, 4:] / sums[:, :4] + origin[places]
    return voted.astype(np.float32)
