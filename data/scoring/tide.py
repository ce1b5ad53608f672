"""TIDE: what kind of error costs how much AP. Bolya, Foley, Hays and Hoffman, "TIDE: A General
Toolbox for Identifying Object Detection Errors", ECCV 2020, sections 2.2 and 2.3.

Letters: D detections, G ground-truth boxes, n detections and m objects of all images together,
K classes.

A detection is right if it takes an object of its class with IoU >= tf: best score first, each takes
the free object that it overlaps most. tf is 0.5 and tb is 0.1. Every other detection has exactly
one kind of error, the first of these that fits:

* Loc: the class is right, the place is not. tb <= IoU <= tf with the nearest object of its class.
* Cls: the place is right, the class is not. IoU >= tf with an object of another class.
* Dupe: IoU >= tf with an object of its class that a better scored detection has taken.
* Bkg: nothing is there. IoU <= tb with every object.
* Both: all others: an object of another class is near, and place and class are wrong.

Miss: an object that no detection takes and that no Cls or Loc error means.

dAP of a kind is the AP at IoU tf if all errors of that kind, and no others, are mended, minus the
AP as it is, and at least 0. Mending Cls or Loc makes the detection right, in the class of the
object that it means; if the object is taken, or a better scored Cls or Loc error means it as well,
the detection is removed. Both, Dupe and Bkg are removed. A missed object is no longer counted.
The kinds do not add up to 100 - AP, because errors hide each other.

FalsePos and FalseNeg are the paper's special errors: the AP without any wrong detection, and with
all objects that are not found not counted, minus the AP.

Crowd regions are no objects; a wrong detection in a crowd region of its class is left out.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray

from data.boxes import box_iou
from data.records import Detections, Target
from data.scoring.aligned import check_aligned
from data.scoring.calibration import match_detections
from data.scoring.crowds import in_crowd

FOREGROUND_IOU = 0.5  # tf
BACKGROUND_IOU = 0.1  # tb
MAX_DETECTIONS = 100  # of a class in an image, as in COCO
RECALLS = np.linspace(0.0, 1.0, 101)  # COCO's

Kind = Literal["Cls", "Loc", "Both", "Dupe", "Bkg", "Miss"]
KINDS: tuple[Kind, ...] = ("Cls", "Loc", "Both", "Dupe", "Bkg", "Miss")
RIGHT = "right"
NO_OBJECT = -1


@dataclass(frozen=True, kw_only=True)
class Outcomes:
    """What became of all detections and objects of a data set.

    scores, labels, outcome, meant (n,): outcome is RIGHT or a kind of error; meant is the number
    of the object that a right detection has taken, or of the free one that a Cls or Loc error
    means, else NO_OBJECT. object_labels, taken, counts (m,): of each object; recall is out of those
    that count.
    """

    scores: NDArray[np.float64]
    labels: NDArray[np.int64]
    outcome: NDArray[np.str_]
    meant: NDArray[np.int64]
    object_labels: NDArray[np.int64]
    taken: NDArray[np.bool_]
    counts: NDArray[np.bool_]

    @property
    def missed(self) -> NDArray[np.bool_]:
        """(m,): the objects with the error Miss."""
        meant = np.zeros_like(self.taken)
        meant[self.meant[self.meant != NO_OBJECT]] = True
        return ~self.taken & ~meant


def tide(
    detections: Sequence[Detections], targets: Sequence[Target], num_classes: int
) -> dict[str, dict[str, float]]:
    """The six kinds of error of a data set.

    Args:
        detections, targets: one entry per image, in the same order; original px.
        num_classes: K.

    Returns:
        "dAP": points of 100 by kind, and of FalsePos and FalseNeg; "count": how many errors of each
        kind there are; "AP": {"AP50": the AP that is improved}, nan without an object.

    Raises:
        DataError: the sequences or the labels do not fit.
    """
    check_aligned(detections, targets, num_classes)
    outcomes = join([image_outcomes(*pair) for pair in zip(detections, targets, strict=True)])
    base = mean_ap(outcomes, num_classes)
    counts: dict[str, float] = {k: int((outcomes.outcome == k).sum()) for k in KINDS}
    gains: dict[str, float] = {
        kind: max(mean_ap(mended(outcomes, kind), num_classes) - base, 0.0) for kind in KINDS
    }
    only_right = chosen(outcomes, outcomes.outcome == RIGHT)
    only_found = replace(outcomes, counts=outcomes.taken)
    return {
        "dAP": {
            **gains,
            "FalsePos": mean_ap(only_right, num_classes) - base,
            "FalseNeg": mean_ap(only_found, num_classes) - base,
        },
        "count": {**counts, "Miss": int(outcomes.missed.sum())},
        "AP": {"AP50": base},
    }


def image_outcomes(detections: Detections, target: Target) -> Outcomes:
    """The outcomes of one image, whose detections are ranked and cut to MAX_DETECTIONS a class."""
    detections = best_of_each_class(detections)
    objects = target.select(~target.crowd)
    row, column = (index.numpy() for index in match_detections(detections, objects, FOREGROUND_IOU))
    scores, labels = detections.scores.double().numpy(), detections.labels.numpy()
    overlap = box_iou(detections.boxes, objects.boxes).numpy()
    taken = np.zeros(len(objects.labels), dtype=bool)
    taken[column] = True
    outcome = np.full(len(scores), "Bkg", dtype="U5")
    meant = np.full(len(scores), NO_OBJECT)
    outcome[row], meant[row] = RIGHT, column
    same = labels[:, None] == objects.labels.numpy()
    wrong = outcome != RIGHT
    if len(taken):
        outcome[wrong], near = kinds_of_error(overlap[wrong], same[wrong], taken)
        meant[wrong] = np.where((near != NO_OBJECT) & ~taken[near], near, NO_OBJECT)
    outcomes = Outcomes(
        scores=scores,
        labels=labels,
        outcome=outcome,
        meant=meant,
        object_labels=objects.labels.numpy(),
        taken=taken,
        counts=np.ones_like(taken),
    )
    return chosen(outcomes, (outcome == RIGHT) | ~in_crowd(detections, target).numpy())


def best_of_each_class(detections: Detections) -> Detections:
    """The detections of one image by falling score, at most MAX_DETECTIONS of each class."""
    order = detections.scores.argsort(descending=True, stable=True)
    labels = detections.labels[order]
    rank = (labels[:, None] == labels).tril(diagonal=-1).sum(dim=1)
    order = order[rank < MAX_DETECTIONS]
    return Detections(
        boxes=detections.boxes[order].cpu(),
        scores=detections.scores[order].cpu(),
        labels=detections.labels[order].cpu(),
    )


def kinds_of_error(
    overlap: NDArray[np.float32], same: NDArray[np.bool_], taken: NDArray[np.bool_]
) -> tuple[NDArray[np.str_], NDArray[np.int64]]:
    """The kind of error of each wrong detection, and the object that a Cls or Loc error means.

    Args:
        overlap: (E, G) the IoU of E wrong detections with the objects of the image; G > 0.
        same: (E, G) which objects are of the detection's class.
        taken: (G,) which objects a detection has taken.
    """
    within, across = np.where(same, overlap, 0.0), np.where(same, 0.0, overlap)
    nearest = within.max(axis=1)
    kinds: dict[Kind, NDArray[np.bool_]] = {
        "Loc": (nearest >= BACKGROUND_IOU) & (nearest <= FOREGROUND_IOU),
        "Cls": across.max(axis=1) >= FOREGROUND_IOU,
        "Dupe": np.where(taken, within, 0.0).max(axis=1) >= FOREGROUND_IOU,
        "Bkg": overlap.max(axis=1) <= BACKGROUND_IOU,
    }
    meant = np.select(
        [kinds["Loc"], kinds["Cls"]], [within.argmax(axis=1), across.argmax(axis=1)], NO_OBJECT
    )
    return np.select(list(kinds.values()), list(kinds), "Both"), meant


def join(images: Sequence[Outcomes]) -> Outcomes:
    """The outcomes of all images; objects are numbered through."""
    firsts = np.cumsum([0] + [len(image.taken) for image in images])
    numbered = [
        replace(image, meant=np.where(image.meant == NO_OBJECT, NO_OBJECT, image.meant + first))
        for image, first in zip(images, firsts, strict=False)
    ]
    nothing = torch.zeros(0)
    none = image_outcomes(
        Detections(boxes=nothing.reshape(0, 4), scores=nothing, labels=nothing.long()),
        Target(boxes=nothing.reshape(0, 4), labels=nothing.long()),
    )
    parts = [none, *numbered]  # of no image, none
    names = Outcomes.__dataclass_fields__
    return Outcomes(**{n: np.concatenate([getattr(part, n) for part in parts]) for n in names})


def chosen(outcomes: Outcomes, keep: NDArray[np.bool_]) -> Outcomes:
    """The outcomes with the detections ``keep`` (n,) alone."""
    return replace(
        outcomes,
        scores=outcomes.scores[keep],
        labels=outcomes.labels[keep],
        outcome=outcomes.outcome[keep],
        meant=outcomes.meant[keep],
    )


def mended(outcomes: Outcomes, kind: Kind) -> Outcomes:
    """The outcomes after mending all errors of one kind, see the top of the file."""
    if kind == "Miss":
        return replace(outcomes, counts=~outcomes.missed)
    wrong = outcomes.outcome == kind
    if kind not in ("Cls", "Loc"):
        return chosen(outcomes, ~wrong)
    right = wrong & first_of_each_object(outcomes)
    labels = outcomes.labels.copy()
    labels[right] = outcomes.object_labels[outcomes.meant[right]]
    corrected = replace(outcomes, labels=labels, outcome=np.where(right, RIGHT, outcomes.outcome))
    return chosen(corrected, ~wrong | right)


def first_of_each_object(outcomes: Outcomes) -> NDArray[np.bool_]:
    """(n,): the best scored detection that means each object; of equal scores the first."""
    order = np.argsort(-outcomes.scores, kind="stable")
    order = order[outcomes.meant[order] != NO_OBJECT]
    _, places = np.unique(outcomes.meant[order], return_index=True)
    first = np.zeros(len(outcomes.meant), dtype=bool)
    first[order[places]] = True
    return first


def mean_ap(outcomes: Outcomes, num_classes: int) -> float:
    """The mean of the classes' AP in percent.

    A class takes part if the labels have an object of it, and still does if none of them is counted
    but there are detections; its AP is then 0.
    """
    values = []
    for label in range(1, num_classes + 1):
        of_class = outcomes.object_labels == label
        objects = int((of_class & outcomes.counts).sum())
        mine = outcomes.labels == label
        if of_class.any() and (objects or mine.any()):
            order = np.argsort(-outcomes.scores[mine], kind="stable")
            values.append(interpolated_ap(outcomes.outcome[mine][order] == RIGHT, objects))
    return float(np.mean(values)) if values else float("nan")


def interpolated_ap(right: NDArray[np.bool_], objects: int) -> float:
    """COCO's AP of one class in percent: the mean, over 101 recalls, of the best precision at that
    recall or a higher one.

    Args:
        right: (n,) of each detection, best score first.
        objects: how many there are; 0 gives 0.
    """
    if not objects:
        return 0.0
    hits = np.cumsum(right)
    precision = hits / np.arange(1, len(right) + 1)
    envelope = np.append(np.maximum.accumulate(precision[::-1])[::-1], 0.0)
    places = np.searchsorted(hits / objects, RECALLS, side="left")
    return 100.0 * float(envelope[places].mean())
