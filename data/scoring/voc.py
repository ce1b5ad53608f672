"""PASCAL VOC average precision as py-faster-rcnn's voc_eval computes it, on records instead of
files.

Letters: N images, D detections, G ground-truth boxes, K classes. VOC devkit, section "Evaluation";
the protocol of the VOC tables in KL Loss and KL-RPN.

The devkit's IoU counts inclusive pixels (width = xmax - xmin + 1). The boxes here are continuous,
made by data/voc.py as x1 = xmin - 1, x2 = xmax, so that width = x2 - x1 is that very number and the
plain IoU is the devkit's. py-faster-rcnn accepts IoU > threshold, the devkit's Matlab code IoU >=
threshold; here it is the former.
"""

import math
from collections.abc import Sequence
from typing import TypedDict

import numpy as np
import torch
from torch import Tensor

from data.boxes import box_iou
from data.records import Detections, Target
from data.scoring.aligned import check_aligned

# 0, 0.1, ..., 1 with the rounding of the original: 0.6 is 0.6000000000000001 there, which a recall
# of 3 / 5 misses.
ELEVEN_RECALLS = np.arange(0.0, 1.1, 0.1)

MISSED, DIFFICULT = -1, -2  # what a detection met, if not the object with a number of 0 or more


class VocScores(TypedDict):
    """Percent; nan for a class without ground truth, which the mean leaves out."""

    mAP: float
    AP_per_class: list[float]


def evaluate_voc(
    detections: Sequence[Detections],
    targets: Sequence[Target],
    num_classes: int,
    *,
    iou_threshold: float = 0.5,
    eleven_point: bool = True,
) -> VocScores:
    """Mean average precision over the classes, in percent.

    Args:
        detections, targets: one entry per image, in the same order; original px. An object with
            ``Target.difficult`` is neither counted nor, where it is found, held against the
            detector; ``Target.crowd``, which VOC has not, is the same.
        num_classes: K.
        iou_threshold: a detection is right if its IoU with the nearest object is larger.
        eleven_point: VOC 2007's mean of 11 precisions; otherwise the area under the curve (VOC 2010
            and later).

    Returns:
        mAP and AP_per_class; entry k - 1 is class k.

    Raises:
        DataError: the two sequences or the labels do not fit.
    """
    check_aligned(detections, targets, num_classes)
    met = match_all(detections, targets, iou_threshold)
    scores = _concatenate([d.scores.double() for d in detections])
    labels = _concatenate([d.labels for d in detections])
    average = eleven_point_ap if eleven_point else area_ap
    per_class = []
    for label, objects in enumerate(count_objects(targets, num_classes), start=1):
        mine = labels == label
        recall, precision = recall_precision(scores[mine], met[mine], objects)
        per_class.append(100.0 * average(recall, precision) if objects else float("nan"))
    defined = [ap for ap in per_class if not math.isnan(ap)]
    mean = float(np.mean(defined)) if defined else float("nan")
    return {"mAP": mean, "AP_per_class": per_class}


def count_objects(targets: Sequence[Target], num_classes: int) -> list[int]:
    """How many objects of each class all images have together, not counting difficult ones and
    crowds.
    """
    labels = _concatenate([t.labels[~(t.difficult | t.crowd)] for t in targets]).astype(np.int64)
    counts: list[int] = np.bincount(labels, minlength=num_classes + 1)[1:].tolist()
    return counts


def _concatenate(columns: Sequence[Tensor]) -> np.ndarray:
    """The values of all images one after the other; of no image, none."""
    return torch.cat([column.cpu() for column in columns]).numpy() if columns else np.zeros(0)


def match_all(
    detections: Sequence[Detections], targets: Sequence[Target], iou_threshold: float
) -> np.ndarray:
    """What each detection of all images met: (sum of D,) i64, MISSED, DIFFICULT or the number of an
    object.

    Objects of all images are numbered 0, 1, ... in order. A detection meets the object of its class
    with the largest IoU, taken or not: whether another detection was there first is for
    ``recall_precision`` to say.
    """
    met, first = [np.zeros(0, dtype=np.int64)], 0
    for detected, target in zip(detections, targets, strict=True):
        met.append(_match(detected, target, iou_threshold, first).cpu().numpy())
        first += len(target.labels)
    return np.concatenate(met)


def _match(detected: Detections, target: Target, iou_threshold: float, first: int) -> Tensor:
    """What each detection (D,) of one image met, whose objects are numbered from ``first`` on."""
    if len(target.labels) == 0:
        return torch.full_like(detected.labels, MISSED)
    same = detected.labels[:, None] == target.labels
    overlap = box_iou(detected.boxes, target.boxes).masked_fill(~same, -1.0)
    iou, nearest = overlap.max(dim=1)
    ignored = target.difficult | target.crowd
    number = torch.where(ignored[nearest], DIFFICULT, first + nearest)
    return torch.where(iou > iou_threshold, number, MISSED)


def recall_precision(
    scores: np.ndarray, met: np.ndarray, objects: int
) -> tuple[np.ndarray, np.ndarray]:
    """The curve of one class, each (D',), best score first; detections that met a difficult object
    are left out.

    Args:
        scores, met: (D,) as ``match_all`` gives it. Of several detections that met one object the
            best scored is right and the others are wrong; of equal scores the earlier comes first.
        objects: how many objects, not counting difficult ones.
    """
    met = met[np.argsort(-scores, kind="stable")]
    met = met[met != DIFFICULT]
    _, first_visits = np.unique(met, return_index=True)
    right = np.zeros(len(met), dtype=bool)
    right[first_visits] = True
    right &= met != MISSED
    hits = np.cumsum(right)
    return hits / max(objects, 1), hits / np.arange(1, len(met) + 1)


def eleven_point_ap(recall: np.ndarray, precision: np.ndarray) -> float:
    """VOC 2007: the mean, over recalls 0, 0.1, ..., 1, of the best precision at that recall or a
    higher one.
    """
    return float(np.mean([precision[recall >= level].max(initial=0.0) for level in ELEVEN_RECALLS]))


def area_ap(recall: np.ndarray, precision: np.ndarray) -> float:
    """VOC 2010 and later: the area under the precision curve after making it fall monotonically."""
    envelope = np.maximum.accumulate(precision[::-1])[::-1]
    return float(np.sum(np.diff(recall, prepend=0.0) * envelope))
