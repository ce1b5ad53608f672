"""All that is measured beside the AP to say what a detector does well and badly.

Letters: K classes, T IoU thresholds, R recalls.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from data.records import Detections, Target
from data.scoring.coco import coco_tables, summarize_per_class
from data.scoring.confusion import confusion_matrix
from data.scoring.reliability import (
    ScoreReliability,
    SigmaReliability,
    score_reliability,
    sigma_reliability,
)
from data.scoring.tide import tide


@dataclass(frozen=True, kw_only=True)
class Analysis:
    """What detections do well and badly on labeled images.

    classes: K names. objects: how many of each the labels have, crowd regions not counted.
    per_class: the numbers of ``evaluate_coco`` of each class alone. precision (T, R, K): COCO's, at
    IoU .50, .55, ..., .95 and recall 0, .01, ..., 1; 0..1, -1 for a class without objects.
    confusion (K + 1, K + 1): ``confusion_matrix`` of the detections with at least
    ``confusion_score``. tide: the result of ``tide``. score_reliability, sigma_reliability: the
    points of both diagrams; None without sigma.
    """

    classes: tuple[str, ...]
    objects: tuple[int, ...]
    per_class: list[dict[str, float]]
    precision: NDArray[np.float64]
    confusion: Tensor
    confusion_score: float
    tide: dict[str, dict[str, float]]
    score_reliability: ScoreReliability
    sigma_reliability: SigmaReliability | None


def analyze(
    detections: Sequence[Detections],
    targets: Sequence[Target],
    classes: Sequence[str],
    *,
    confusion_score: float,
) -> Analysis:
    """The analysis of a data set.

    Args:
        detections, targets: one entry per image, in the same order; original px.
        classes: the names of the labels 1..K.
        confusion_score: least score of a detection that counts as a confusion.

    Raises:
        DataError: the sequences or the labels do not fit.
    """
    count = len(classes)
    precision, recall = coco_tables(detections, targets, count)
    labels = [target.labels[~target.crowd] for target in targets]
    return Analysis(
        classes=tuple(classes),
        objects=tuple(
            sum(int((each == label).sum()) for each in labels) for label in range(1, count + 1)
        ),
        per_class=summarize_per_class(precision, recall),
        precision=precision[..., 0, -1],
        confusion=confusion_matrix(detections, targets, count, least_score=confusion_score),
        confusion_score=confusion_score,
        tide=tide(detections, targets, count),
        score_reliability=score_reliability(detections, targets),
        sigma_reliability=sigma_reliability(detections, targets),
    )
