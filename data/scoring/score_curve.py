"""Precision and recall of detections over the score threshold, all classes together.

Letters: n detections, T thresholds. Unlike AP, which ranks each class by itself, this is what a
user of one threshold for all classes sees.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from data.records import Detections, Target
from data.scoring.reliability import scored_hits

THRESHOLDS = 101  # 0, .01, ..., 1


@dataclass(frozen=True, kw_only=True)
class ScoreCurve:
    """At each threshold (T,), ascending: right and wrong detections with at least that score,
    objects that are missed, precision and recall in 0..1. Precision is 1 without a detection.
    """

    right: Tensor
    wrong: Tensor
    missed: Tensor
    precision: Tensor
    recall: Tensor


def score_curve(
    detections: Sequence[Detections], targets: Sequence[Target], iou: float = 0.5
) -> ScoreCurve:
    """The curve of a data set.

    Args:
        detections, targets: one entry per image, in the same order; original px.
        iou: from which a detection is right, see ``scored_hits``.

    Raises:
        DataError: the sequences do not fit.
    """
    scores, hits = scored_hits(detections, targets, iou)
    objects = sum(int((~target.crowd).sum()) for target in targets)
    # a linspace has 0.35000000000000003, which a score of 0.35 does not reach
    thresholds = torch.arange(THRESHOLDS, dtype=torch.float64) / (THRESHOLDS - 1)
    right = counts_from(scores[hits], thresholds)
    wrong = counts_from(scores[~hits], thresholds)
    found = right + wrong
    return ScoreCurve(
        right=right,
        wrong=wrong,
        missed=objects - right,
        precision=torch.where(found > 0, right / found.clamp(min=1), 1.0),
        recall=right / max(1, objects),
    )


def counts_from(scores: Tensor, thresholds: Tensor) -> Tensor:
    """How many scores (n,) are at least each threshold (T,), (T,) i64."""
    return len(scores) - torch.searchsorted(scores.sort().values, thresholds)
