"""How far a step of post-processing moves boxes, and whether towards their objects (KL Loss Figure
5, var voting).

Letters: D detections of one image, n moves: detections that mean the same object before and after
the step. The step changes boxes only: not which are selected, nor their order, nor their scores.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from data.boxes import box_iou
from data.records import Detections, Target
from data.scoring.aligned import check_aligned
from data.scoring.calibration import match_detections

SCORE = 0.5  # least score of a detection that counts
IOU = 0.5  # least IoU of a detection with the object that it means
STILL = 0.01  # px: a side that moves no further has not moved


@dataclass(frozen=True, kw_only=True)
class Moves:
    """The moves of a data set, in the order of its images and then best score first, on the CPU.

    image, detection (n,) i64: which image, and which of its detections; before, after, labeled (n,
    4) px: the box before and after, and its object's label; clean (n, 4) px: where the object
    really is, or None if that is not known; matched: how many detections mean an object before and
    after, which may be a few more than n.
    """

    image: Tensor
    detection: Tensor
    before: Tensor
    after: Tensor
    labeled: Tensor
    clean: Tensor | None
    matched: tuple[int, int]

    @property
    def truth(self) -> Tensor:
        """(n, 4) px: the clean boxes where they are known, else the labels."""
        return self.labeled if self.clean is None else self.clean


def matched_objects(detections: Detections, target: Target) -> Tensor:
    """The object (D,) i64 that each detection means, -1 for none: class right, IoU >= IOU, score >=
    SCORE.
    """
    rows, columns = match_detections(detections, target, IOU)
    objects = torch.full_like(detections.labels, -1)
    objects[rows] = columns
    return objects.where(detections.scores >= SCORE, -1)


def check_same_selection(before: Sequence[Detections], after: Sequence[Detections]) -> None:
    """Stops unless the detections of each image pair up one to one.

    Args:
        before, after: one entry per image, in the same order.

    Raises:
        ValueError: they do not; names the image by its position.
    """
    for index, (old, new) in enumerate(zip(before, after, strict=True)):
        if not (torch.equal(old.labels, new.labels) and torch.equal(old.scores, new.scores)):
            raise ValueError(
                f"Image {index} has other detections after the step ({len(new.scores)}) than"
                f" before ({len(old.scores)}); compare rows that differ in sigma_t only, which"
                " changes boxes and nothing else."
            )


def find_moves(
    before: Sequence[Detections], after: Sequence[Detections], targets: Sequence[Target]
) -> Moves:
    """Pairs each detection before the step with the same one after it, where both mean the same
    object.

    That an object is asked for on both sides keeps the choice fair: neither side is shown at its
    best alone.

    Args:
        before, after, targets: one entry per image, in the same order.

    Raises:
        DataError: the sequences do not fit.
        ValueError: as in ``check_same_selection``.
    """
    check_aligned(before, targets)
    check_aligned(after, targets)
    check_same_selection(before, after)
    images, rows, quadruples, matched = [], [], [], [0, 0]
    for index, (old, new, target) in enumerate(zip(before, after, targets, strict=True)):
        objects, later = matched_objects(old, target), matched_objects(new, target)
        matched = [matched[0] + int((objects >= 0).sum()), matched[1] + int((later >= 0).sum())]
        kept = ((objects == later) & (objects >= 0)).nonzero()[:, 0]
        clean = target.boxes if target.clean_boxes is None else target.clean_boxes
        images.append(torch.full_like(kept, index))
        rows.append(kept)
        quadruples.append(
            torch.stack(
                [
                    old.boxes[kept],
                    new.boxes[kept],
                    target.boxes[objects[kept]],
                    clean[objects[kept]],
                ]
            )
        )
    none = torch.zeros(0, dtype=torch.int64)
    boxes = torch.cat([torch.zeros(4, 0, 4), *(part.cpu() for part in quadruples)], dim=1)
    all_clean = all(target.clean_boxes is not None for target in targets)
    image, detection = (
        torch.cat([none, *(part.cpu() for part in parts)]) for parts in (images, rows)
    )
    return Moves(
        image=image,
        detection=detection,
        before=boxes[0],
        after=boxes[1],
        labeled=boxes[2],
        clean=boxes[3] if all_clean else None,
        matched=(matched[0], matched[1]),
    )


def paired_iou(first: Tensor, second: Tensor) -> Tensor:
    """IoU (n,) of each box of (n, 4) with the one in the same line of (n, 4)."""
    return box_iou(first[:, None], second[:, None])[:, 0, 0]


def box_errors(boxes: Tensor, truth: Tensor) -> dict[str, float]:
    """Mean IoU (percent) and mean |side - true side| (px) of boxes (n, 4) and truth (n, 4); nan of
    nothing.
    """
    return {
        "iou": 100.0 * float(paired_iou(boxes, truth).mean()),
        "distance": float((boxes - truth).abs().mean()),
    }


def percent_closer(before: Tensor, after: Tensor, truth: Tensor) -> float:
    """Percent of the sides that moved (by more than STILL) which came nearer to the truth; all (n,
    4) px.
    """
    nearer = (after - truth).abs() < (before - truth).abs()
    return 100.0 * float(nearer[(after - before).abs() > STILL].double().mean())


def move_numbers(
    moves: Moves,
) -> tuple[dict[str, float | dict[str, float]], dict[str, float | dict[str, float]]]:
    """What the step did, as one record for before and one for after.

    Returns:
        in both n (detections that mean an object), pairs (moves), iou (percent), distance (px), all
        but the first two over the moves and against the labels; after also movement (px, mean over
        all sides), moved (percent of the sides) and toward (percent of those). With clean boxes
        "clean" holds iou, distance and toward against them. nan where there is nothing to average.
    """
    step = (moves.after - moves.before).abs()
    before: dict[str, float | dict[str, float]] = {"n": moves.matched[0], "pairs": len(moves.image)}
    after: dict[str, float | dict[str, float]] = {"n": moves.matched[1], "pairs": len(moves.image)}
    before |= box_errors(moves.before, moves.labeled)
    after |= box_errors(moves.after, moves.labeled)
    after |= {
        "movement": float(step.mean()),
        "moved": 100.0 * float((step > STILL).double().mean()),
        "toward": percent_closer(moves.before, moves.after, moves.labeled),
    }
    if moves.clean is not None:
        before["clean"] = box_errors(moves.before, moves.clean)
        after["clean"] = {
            **box_errors(moves.after, moves.clean),
            "toward": percent_closer(moves.before, moves.after, moves.clean),
        }
    return before, after
