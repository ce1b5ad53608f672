"""Which class is taken for which: the confusion matrix of detections, with background.

Letters: N images, D detections, G ground-truth boxes, K classes.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from data.boxes import box_iou
from data.records import Detections, Target
from data.scoring.aligned import check_aligned
from data.scoring.crowds import in_crowd
from data.scoring.turns import NOTHING, take_in_turn

BACKGROUND = 0  # row: nothing was there; column: nothing was found


def confusion_matrix(
    detections: Sequence[Detections],
    targets: Sequence[Target],
    num_classes: int,
    *,
    least_score: float,
    iou: float = 0.5,
) -> Tensor:
    """How often an object of one class is detected as another.

    Classes play no part in who meets whom: best score first, each detection takes the free object
    that it overlaps most, of whatever class, if the IoU is at least ``iou``. Of equal overlaps an
    object of its own class goes first.

    Args:
        detections, targets: one entry per image, in the same order; original px. Crowd regions are
            no objects, and a detection of their class in one that takes no object is left out.
        num_classes: K.
        least_score: of the detections that count.
        iou: 0..1.

    Returns:
        (K + 1, K + 1) i64. Row: the label; column: the detection. Entry [a, b] counts objects of
        class a that a detection of class b took; [0, b] detections of b that took nothing, [a, 0]
        objects of a that no detection took.

    Raises:
        DataError: the sequences or the labels do not fit.

    Law: row a > 0 adds up to the objects of class a.
    """
    check_aligned(detections, targets, num_classes)
    cells = [torch.zeros(0, dtype=torch.int64)]
    for detected, target in zip(detections, targets, strict=True):
        labels, classes = image_pairs(at_least(detected, least_score), target, iou)
        cells.append((labels * (num_classes + 1) + classes).cpu())
    counts = torch.bincount(torch.cat(cells), minlength=(num_classes + 1) ** 2)
    return counts.reshape(num_classes + 1, num_classes + 1)


def at_least(detections: Detections, score: float) -> Detections:
    """The detections of one image with at least that score."""
    keep = detections.scores >= score
    return Detections(
        boxes=detections.boxes[keep], scores=detections.scores[keep], labels=detections.labels[keep]
    )


def image_pairs(detections: Detections, target: Target, iou: float) -> tuple[Tensor, Tensor]:
    """Label and detected class, each (n,) i64, of everything in one image; BACKGROUND for
    nothing.
    """
    order = detections.scores.argsort(descending=True, stable=True)
    detections = detections.select(order)
    objects = target.select(~target.crowd)
    ignored = in_crowd(detections, target)
    overlap = box_iou(detections.boxes, objects.boxes)
    # a tie goes to the object of the detection's own class
    same = detections.labels[:, None] == objects.labels
    preference = overlap + torch.finfo(overlap.dtype).eps * same
    column = take_in_turn(preference.where(overlap >= iou, NOTHING))
    right = column != NOTHING
    free = torch.ones_like(objects.crowd)
    free[column[right]] = False
    wrong = detections.labels[~right & ~ignored]
    missed = objects.labels[free]
    labels = (objects.labels[column[right]], torch.full_like(wrong, BACKGROUND), missed)
    classes = (detections.labels[right], wrong, torch.full_like(missed, BACKGROUND))
    return torch.cat(labels), torch.cat(classes)


def most_confused(matrix: Tensor, count: int) -> list[tuple[int, int, int]]:
    """The most frequent confusions of two classes, background left out.

    Args:
        matrix: of ``confusion_matrix``.
        count: how many at most.

    Returns:
        (label, detected class, how often), most frequent first.
    """
    wrong = matrix.clone().fill_diagonal_(0)
    wrong[BACKGROUND, :] = wrong[:, BACKGROUND] = 0
    order = wrong.flatten().argsort(descending=True, stable=True)[:count].tolist()
    size = len(matrix)
    pairs = [(place // size, place % size) for place in order]
    return [(a, b, int(wrong[a, b])) for a, b in pairs if wrong[a, b]]
