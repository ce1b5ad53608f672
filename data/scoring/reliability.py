"""Are scores and sigmas what they say? The points of two reliability diagrams.

Letters: n detections, m matched detections, B bins, Q levels. A score of 0.8 is reliable if 80 % of
the detections with such a score are right. A sigma is reliable if the interval of +- z sigma around
a side holds the labeled side as often as a Gaussian's does, for every z. Guo et al., "On
Calibration of Modern Neural Networks", ICML 2017 (the expected calibration error); Kuleshov et al.,
"Accurate Uncertainties for Deep Learning Using Calibrated Regression", ICML 2018.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from data.records import Detections, Target
from data.scoring.aligned import check_aligned
from data.scoring.calibration import match_detections
from data.scoring.crowds import in_crowd

BINS = 10
LEVELS = tuple(level / 20 for level in range(1, 20))  # of the Gaussian: 5 %, 10 %, ..., 95 %
SIDES = ("x1", "y1", "x2", "y2")


@dataclass(frozen=True, kw_only=True)
class ScoreReliability:
    """Scores in B bins of equal width over 0..1.

    counts (B,): detections in each bin. mean_score, precision (B,): their mean score and the share
    of them that is right; nan in an empty bin. error: the expected calibration error, the mean of
    |precision - mean_score| over the detections, 0..1; nan without a detection.
    """

    counts: Tensor
    mean_score: Tensor
    precision: Tensor
    error: float


@dataclass(frozen=True, kw_only=True)
class SigmaReliability:
    """How often intervals of sigma hold the labeled side.

    levels (Q,): how often a Gaussian's do, 0..1. observed (Q, 4): how often they did, for x1, y1,
    x2 and y2 of the m matched detections. matched: m. error: the mean of |observed - level| over
    levels and sides, 0..1.
    """

    levels: Tensor
    observed: Tensor
    matched: int
    error: float


def score_reliability(
    detections: Sequence[Detections], targets: Sequence[Target], iou: float = 0.5
) -> ScoreReliability:
    """How often detections of each score are right.

    Args:
        detections, targets: one entry per image, in the same order; original px.
        iou: a detection is right if ``match_detections`` finds it an object at this IoU; a wrong
            one in a crowd region of its class is left out.

    Raises:
        DataError: the sequences do not fit.
    """
    return binned(*scored_hits(detections, targets, iou))


def scored_hits(
    detections: Sequence[Detections], targets: Sequence[Target], iou: float
) -> tuple[Tensor, Tensor]:
    """The score (n,) float64 of each detection, and whether it is right (n,) bool.

    The arguments and errors are those of ``score_reliability``.
    """
    check_aligned(detections, targets)
    scores, right = [torch.zeros(0, dtype=torch.float64)], [torch.zeros(0, dtype=torch.bool)]
    for detected, target in zip(detections, targets, strict=True):
        hit = torch.zeros(len(detected.scores), dtype=torch.bool)
        hit[match_detections(detected, target, iou)[0]] = True
        keep = hit | ~in_crowd(detected, target)
        scores.append(detected.scores[keep].double())
        right.append(hit[keep])
    return torch.cat(scores), torch.cat(right)


def binned(scores: Tensor, right: Tensor) -> ScoreReliability:
    """The reliability of scores (n,) float64 in 0..1, and whether each detection is right (n,)."""
    place = (scores * BINS).long().clamp(0, BINS - 1)
    counts = torch.bincount(place, minlength=BINS)
    mean_score = torch.bincount(place, scores, minlength=BINS) / counts
    precision = torch.bincount(place, right.double(), minlength=BINS) / counts
    gap = (counts * (precision - mean_score).abs()).nansum()
    error = float(gap / len(scores)) if len(scores) else math.nan
    return ScoreReliability(counts=counts, mean_score=mean_score, precision=precision, error=error)


def sigma_reliability(
    detections: Sequence[Detections], targets: Sequence[Target], iou: float = 0.5
) -> SigmaReliability | None:
    """How often the intervals of sigma hold the labeled side.

    Args:
        detections, targets, iou: as in ``score_reliability``.

    Returns:
        the points of the diagram; None if there is no sigma or no match.

    Raises:
        DataError: the sequences do not fit.
    """
    check_aligned(detections, targets)
    ratios = [torch.zeros(0, 4, dtype=torch.float64)]
    for detected, target in zip(detections, targets, strict=True):
        if detected.sigma is None:
            return None
        row, column = match_detections(detected, target, iou)
        distance = (detected.boxes[row].double() - target.boxes[column].double()).abs()
        ratios.append(distance / detected.sigma[row].double())
    ratio = torch.cat(ratios)
    if not len(ratio):
        return None
    levels = torch.tensor(LEVELS, dtype=torch.float64)
    widths = math.sqrt(2) * torch.erfinv(levels)  # z: the Gaussian is within z sigma that often
    observed = (ratio[None] <= widths[:, None, None]).double().mean(dim=1)
    error = float((observed - levels[:, None]).abs().mean())
    return SigmaReliability(levels=levels, observed=observed, matched=len(ratio), error=error)
