"""Does the IoU that a detector expects of its boxes agree with the IoU that they have?

Letters: D detections of an image, n matched detections.
"""

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from data.boxes import box_iou
from data.records import Detections, Target
from data.scoring.aligned import check_aligned
from data.scoring.calibration import NAN, match_detections, spearman
from data.scoring.coco import evaluate_coco

FOUND = 0.1  # IoU from which a detection means an object, be it badly placed
BINS = 10


def localization(
    detections: Sequence[Detections],
    targets: Sequence[Target],
    expected: Sequence[Tensor],
    num_classes: int,
) -> dict[str, float]:
    """How well an expected IoU, and how well the score, says how a box fits.

    Args:
        detections, targets: one entry per image, in the same order; original px.
        expected: the expected IoU (D,) of each detection.
        num_classes: K.

    Returns:
        matched (how many detections mean an object, at IoU FOUND or more); mean_iou and
        mean_expected of these, 0..1; spearman_expected and spearman_score, the rank correlations
        with the IoU; error (the mean over BINS bins of equal count of |mean expected - mean IoU|);
        AP and AP75, percent, of all detections ranked by their score, and AP_both and AP75_both,
        ranked by score times expected IoU. nan where there is nothing to measure.

    Raises:
        DataError: the sequences do not fit.
    """
    check_aligned(detections, targets, num_classes)
    ious, hopes, scores = [torch.zeros(0)], [torch.zeros(0)], [torch.zeros(0)]
    for found, target, hope in zip(detections, targets, expected, strict=True):
        rows, columns = match_detections(found, target, FOUND)
        overlap = box_iou(found.boxes, target.boxes)
        ious.append(overlap[rows, columns])
        hopes.append(hope[rows])
        scores.append(found.scores[rows].to(hope.dtype))
    iou, hope, score = (torch.cat(parts).double() for parts in (ious, hopes, scores))
    both = [
        reranked(found, found.scores * hope)
        for found, hope in zip(detections, expected, strict=True)
    ]
    plain, by_both = (evaluate_coco(part, targets, num_classes) for part in (detections, both))
    return {
        "matched": len(iou),
        "mean_iou": float(iou.mean()) if len(iou) else NAN,
        "mean_expected": float(hope.mean()) if len(iou) else NAN,
        "spearman_expected": spearman(hope, iou),
        "spearman_score": spearman(score, iou),
        "error": binned_error(hope, iou),
        "AP": plain["AP"],
        "AP75": plain["AP75"],
        "AP_both": by_both["AP"],
        "AP75_both": by_both["AP75"],
    }


def reranked(detections: Detections, scores: Tensor) -> Detections:
    """The detections with other scores (D,), best first."""
    order = scores.argsort(descending=True, stable=True)
    return replace(detections, scores=scores).select(order)


def binned_error(expected: Tensor, observed: Tensor) -> float:
    """The mean over BINS bins of equal count of |mean expected - mean observed|; nan if empty.

    The bins are by rising expectation, equal ones in the given order.
    """
    if not len(expected):
        return NAN
    order = expected.argsort(stable=True)
    pairs = zip(expected[order].tensor_split(BINS), observed[order].tensor_split(BINS), strict=True)
    off = [float((hope.mean() - seen.mean()).abs()) for hope, seen in pairs if len(hope)]
    return sum(off) / len(off)
