"""Variance voting, KL Loss Eq. 11: a selected box moves to the mean of its neighbors, weighted by
nearness and certainty."""

import numpy as np

from scripts.engine.export.runner.arrays import Floats
from scripts.engine.export.runner.boxes import TINY, iou_with
from scripts.engine.export.runner.description import Postprocess
from scripts.engine.export.runner.suppression import Selected


def vote(boxes: Floats, variances: Floats, selected: Selected, config: Postprocess) -> Floats:
    """The selected boxes (S, 4) px after the vote of the boxes (M, 4) of their class.

    x = sum_i (p_i x_i / v_i) / sum_i (p_i / v_i), p_i = exp(-(1 - IoU_i)^2 / sigma_t).
    """
    certainty = 1 / np.maximum(variances.astype(np.float64), TINY)
    voted = np.empty((len(selected.rows), 4))
    for step, row in enumerate(selected.rows):
        iou = iou_with(boxes[row], boxes)
        iou[row] = 1
        voters = iou > config.voter_iou
        if config.voters == "remaining":
            voters &= selected.exit_step >= step
        proximity = np.exp(-((1 - iou[voters]) ** 2) / config.sigma_t)
        weights = proximity[:, None] * certainty[voters]
        moves = boxes[voters].astype(np.float64) - boxes[row]
        voted[step] = boxes[row] + (weights * moves).sum(axis=0) / weights.sum(axis=0)
    return voted.astype(np.float32)
