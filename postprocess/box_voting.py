"""Box voting: a selected box moves to the mean of the candidates that overlap it closely, weighted
by their scores.

Letters: T rows, G groups (an image and a class), M slots in a group, S selection steps, D
detections. Gidaris and Komodakis, "Object detection via a multi-region and semantic
segmentation-aware CNN model" (MR-CNN), 2015; Detectron's rule (TEST.BBOX_VOTE) is the default and
stands behind KL Loss Table 4's row. Voters are all candidates of the class, also suppressed ones,
with the scores that the network gave them: soft-NMS has no effect on a vote.
"""

from dataclasses import dataclass, replace
from typing import Literal, get_args

import torch
from torch import Tensor

from postprocess.groups import Groups, neighborhoods
from postprocess.suppression import REMOVED, SelectedSlots

Scoring = Literal["ID", "AVG", "IOU_AVG", "GENERALIZED_AVG", "QUASI_SUM", "TEMP_AVG"]

EPS = 2.0**-52  # MATLAB's eps: voters that all weigh nothing else count alike


@dataclass(frozen=True, kw_only=True)
class BoxVoting:
    """Who votes, with which weight, and what becomes of the score. The defaults are Detectron's."""

    iou: float = 0.8  # a candidate votes if its IoU with the selected box is this or larger
    weight_shift: float | None = (
        None  # None: the weight is the score; a number: eps + max(0, score + weight_shift)
    )
    scoring: Scoring = "ID"  # the detection's new score, see new_score; "ID" leaves it alone
    beta: float = 1.0  # of GENERALIZED_AVG, QUASI_SUM and TEMP_AVG

    def __post_init__(self) -> None:
        if self.scoring not in get_args(Scoring):
            raise ValueError(
                f"BoxVoting.scoring is {self.scoring!r}; choose one of {get_args(Scoring)}."
            )
        if not 0 < self.iou <= 1:
            raise ValueError(f"BoxVoting.iou is {self.iou}; it must be in (0, 1].")
        if not self.beta > 0:
            raise ValueError(f"BoxVoting.beta is {self.beta}; it must be larger than 0.")


# The original's rule for scores that are probabilities; its own SVM scores are raised by 1.5 first.
MR_CNN = BoxVoting(iou=0.5, weight_shift=0.0)


def score_weights(scores: Tensor, shift: float | None) -> Tensor:
    """Weights of voters with scores (...): the score itself, or MR-CNN's eps + max(0, score +
    shift).
    """
    if shift is None:
        return scores
    return EPS + (scores + shift).clamp(min=0)


def weighted_mean(values: Tensor, weights: Tensor) -> Tensor:
    """sum_i w_i v_i / sum_i w_i over dimension 1 of values and weights (D, M) -> (D,)."""
    return (weights * values).sum(dim=1) / weights.sum(dim=1)


def new_score(scores: Tensor, iou: Tensor, voters: Tensor, scoring: Scoring, beta: float) -> Tensor:
    """Detectron's rules for the score of a detection with n voters of scores s.

    AVG: mean(s). IOU_AVG: mean weighted by IoU. GENERALIZED_AVG: mean(s^beta)^(1 / beta).
    QUASI_SUM: sum(s) / n^beta. TEMP_AVG: mean(sigmoid(logit(s) / beta)).

    Args:
        scores, iou: (D, M) of each possible voter: probabilities, IoU with the selected box.
        voters: (D, M) bool, at least one True per row.
        scoring: one of these rules, not "ID".
        beta: > 0.

    Returns:
        scores (D,).
    """
    count = voters.to(scores.dtype)
    if scoring == "AVG":
        return weighted_mean(scores, count)
    if scoring == "IOU_AVG":
        return weighted_mean(scores, count * iou)
    if scoring == "GENERALIZED_AVG":
        return weighted_mean(scores**beta, count) ** (1 / beta)
    if scoring == "QUASI_SUM":
        return (count * scores).sum(dim=1) / count.sum(dim=1) ** beta
    return weighted_mean((scores.clamp(0, 1).logit() / beta).sigmoid(), count)


def vote_boxes(
    boxes: Tensor, scores: Tensor, groups: Groups, *, group: Tensor, slot: Tensor, voting: BoxVoting
) -> Tensor:
    """Weighted mean of the voters' corners, x = sum_i w_i x_i / sum_i w_i, for D selected boxes.

    The weights are applied to differences from the selected box: a coordinate on which all voters
    agree comes back unchanged to the last bit.

    Args:
        boxes, scores: (T, 4) px and (T,) > 0 of all rows, before suppression.
        groups: the rows of each group.
        group, slot: (D,) where each selected box is.
        voting: see BoxVoting.

    Returns:
        boxes (D, 4) px. The selected box always votes, even if it has no area.
    """
    voted = [boxes.new_zeros(0, 4)]
    for near in neighborhoods(boxes, groups, group, slot):
        selected = boxes[groups.members[group[near.part], slot[near.part]]]
        weights = score_weights(scores[near.rows], voting.weight_shift) * (
            near.valid & (near.iou >= voting.iou)
        )
        shares = weights / weights.sum(dim=1, keepdim=True)
        voted.append(
            selected + (shares[..., None] * (boxes[near.rows] - selected[:, None])).sum(dim=1)
        )
    return torch.cat(voted)


def vote_scores(
    selection: SelectedSlots, boxes: Tensor, scores: Tensor, groups: Groups, *, voting: BoxVoting
) -> SelectedSlots:
    """The selection with the scores of all its boxes replaced by ``new_score`` of their voters; as
    it is for "ID".

    Detectron votes before it takes the best detections of an image, so this has to come before
    that, too.

    Args:
        selection: what the suppression left, complete: nothing cut off.
        boxes, scores, groups, voting: as for ``vote_boxes``.
    """
    if voting.scoring == "ID":
        return selection
    group, step = (selection.scores > REMOVED).nonzero(as_tuple=True)
    voted = [scores.new_zeros(0)]
    for near in neighborhoods(boxes, groups, group, selection.slots[group, step]):
        voters = near.valid & (near.iou >= voting.iou)
        voted.append(new_score(scores[near.rows], near.iou, voters, voting.scoring, voting.beta))
    return replace(selection, scores=selection.scores.index_put((group, step), torch.cat(voted)))
