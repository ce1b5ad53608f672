"""NMS and soft-NMS of one class as one loop, KL Loss Algorithm 1, lines in blue.

The loop is that of ``select`` in postprocess/suppression.py. Letters: M boxes of a class.
"""

from typing import NamedTuple

import numpy as np

from scripts.engine.export.runner.arrays import Doubles, Floats, Indices
from scripts.engine.export.runner.boxes import iou_with
from scripts.engine.export.runner.description import Postprocess


class Selected(NamedTuple):
    """The selected boxes of a class in the order of their selection.

    rows (S,); scores (S,) after decay; exit_step (M,): the step in which each box was selected or
    dropped, M if it was still there at the end.
    """

    rows: Indices
    scores: Doubles
    exit_step: Indices


def select(boxes: Floats, scores: Floats, config: Postprocess) -> Selected:
    """Takes the best remaining box and lowers the scores of its neighbors, until D are taken.

    Args:
        boxes, scores: (M, 4) px and (M,).
        config: how scores are lowered; D is its ``max_detections``.
    """
    count = len(boxes)
    remaining = scores.astype(np.float64)
    exit_step = np.full(count, count)
    rows, taken = [], []
    for step in range(min(count, config.max_detections)):
        best = int(remaining.argmax())
        if remaining[best] == -np.inf:
            break
        rows.append(best)
        taken.append(remaining[best])
        iou = iou_with(boxes[best], boxes)
        factor = decay(iou, config)
        decayed = np.where(factor > 0, remaining * np.where(factor > 0, factor, 1), -np.inf)
        if config.suppression != "hard":
            decayed[(iou > 0) & (decayed < config.score_floor)] = -np.inf
        decayed[best] = -np.inf
        exit_step[(decayed == -np.inf) & (remaining > -np.inf)] = step
        remaining = decayed
    return Selected(np.array(rows, np.int64), np.array(taken, np.float64), exit_step)


def decay(iou: Floats, config: Postprocess) -> Floats:
    """By what the score of a box is multiplied that overlaps a selected one by ``iou`` (M,)."""
    if config.suppression == "soft_gaussian":
        return np.exp(-(iou**2) / np.float32(config.soft_nms_sigma))
    over = iou > config.iou_threshold
    if config.suppression == "soft_linear":
        return 1 - iou * over
    return np.float32(1) - over
