"""Where a detector errs: what voting did to its boxes, and its best and worst images, drawn."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from PIL import Image

from data.errors import DataError
from data.records import Dataset, Detections, Target
from data.scoring.box_moves import find_moves
from data.scoring.image_quality import ImageQuality, best_and_worst, image_qualities
from data.scoring.side_moves import moves_as_json
from scripts.engine.detection.drawing import Color, tinted_overlay
from scripts.engine.detection.files import detections_as_lines
from scripts.engine.evaluation.refinement import RowDetections
from scripts.engine.tensorboard.sight_pictures import WHITE, at_one_size, outlined, target_lines

SHOWN = 6  # of the best and of the worst images
LONGER_SIDE = 480  # px of each picture
GREEN, RED, GRAY = (40, 230, 40), (255, 70, 70), (170, 170, 170)  # right, wrong, not counted


@dataclass(frozen=True, kw_only=True)
class DrawnImage:
    """A best or a worst image.

    index: its place in the data set. pictures: with their captions; none if it cannot be read,
    which unreadable says.
    """

    index: int
    pictures: Sequence[tuple[Image.Image, str]]
    unreadable: str = ""


@dataclass(frozen=True, kw_only=True)
class Errors:
    """What went wrong.

    names, qualities: of every image. voting: ``moves_as_json``, or None without a vote. best,
    worst: the extreme ones first. least_score: of a detection that counts.
    """

    names: Sequence[str]
    qualities: Sequence[ImageQuality]
    voting: dict[str, list[dict[str, Any]]] | None
    best: Sequence[DrawnImage]
    worst: Sequence[DrawnImage]
    least_score: float


def find_errors(
    row: RowDetections, dataset: Dataset, targets: Sequence[Target], least_score: float
) -> Errors:
    """The errors of detections.

    Args:
        row: of every image, with what they were before a vote.
        dataset: the images.
        targets: of the same images, difficult objects as crowds.
        least_score: of a detection that counts in the quality of an image.
    """
    qualities = image_qualities(row.detections, targets, least_score)
    best, worst = (
        [drawn_image(row, dataset, targets, qualities, place) for place in places]
        for places in best_and_worst(qualities, SHOWN)
    )
    return Errors(
        names=[dataset.name(index) for index in range(len(dataset))],
        qualities=qualities,
        voting=voting_moves(row, targets),
        best=best,
        worst=worst,
        least_score=least_score,
    )


def voting_moves(
    row: RowDetections, targets: Sequence[Target]
) -> dict[str, list[dict[str, Any]]] | None:
    """How the vote moved the sides of detections that mean an object; None without a vote."""
    if row.unvoted is None:
        return None
    moves = find_moves(row.unvoted, row.detections, targets)
    sigma = []
    for image, detection in zip(moves.image.tolist(), moves.detection.tolist(), strict=True):
        of_image = row.detections[image].sigma
        assert of_image is not None  # a network that votes has it
        sigma.append(of_image[detection])
    return moves_as_json(moves, torch.stack(sigma) if sigma else torch.zeros(0, 4))


def drawn_image(
    row: RowDetections,
    dataset: Dataset,
    targets: Sequence[Target],
    qualities: Sequence[ImageQuality],
    index: int,
) -> DrawnImage:
    """The labels and the detections of an image, one picture each."""
    try:
        image = dataset[index].image
    except DataError as error:
        return DrawnImage(index=index, pictures=(), unreadable=str(error))
    ground, factor = at_one_size(image, LONGER_SIDE)
    quality, detections = qualities[index], row.detections[index]
    truth = target_lines(targets[index], dataset.classes, factor)
    pictures = [(tinted_overlay(ground, [*zip(truth, truth_tints(quality), strict=True)]),
                 truth_caption(quality, targets[index]))]  # fmt: skip
    counted = quality.right | quality.wrong
    shown = detections.select(counted)
    if row.unvoted is not None:
        ground = outlined(ground, row.unvoted[index].boxes[counted] * factor, WHITE)
    tints = [GREEN if right else RED for right in quality.right[counted].tolist()]
    lines = detections_as_lines(enlarged(shown, factor), dataset.classes, 0.0, (0, 0))
    picture = tinted_overlay(ground, [*zip(lines, tints, strict=True)])
    return DrawnImage(
        index=index, pictures=[*pictures, (picture, detections_caption(quality, shown, row))]
    )


def enlarged(detections: Detections, factor: float) -> Detections:
    """The detections without masks in an image that is larger by ``factor``."""
    sigma = detections.sigma
    return Detections(
        boxes=detections.boxes * factor,
        scores=detections.scores,
        labels=detections.labels,
        sigma=None if sigma is None else sigma * factor,
    )


def truth_tints(quality: ImageQuality) -> Iterator[Color]:
    """The color of each object."""
    for found, missed in zip(quality.found.tolist(), quality.missed.tolist(), strict=True):
        yield GREEN if found else RED if missed else GRAY


def truth_caption(quality: ImageQuality, target: Target) -> str:
    """What the picture of the labels shows."""
    bands = "" if target.sigma_true is None else "; bands: the true sigma of the labels"
    uncounted = len(quality.found) - quality.objects
    gray = f"; gray: {uncounted} crowd or difficult" if uncounted else ""
    return (
        f"Labels: {int(quality.found.sum())} found (green), {int(quality.missed.sum())} missed "
        f"(red){gray}{bands}."
    )


def detections_caption(quality: ImageQuality, shown: Detections, row: RowDetections) -> str:
    """What the picture of the detections shows."""
    parts = [
        f"Detections: {int(quality.right.sum())} right (green), {int(quality.wrong.sum())} wrong "
        "(red)"
    ]
    if shown.sigma is not None:
        parts.append("bands: one sigma")
    if row.unvoted is not None:
        parts.append("white: before voting")
    return f"{'; '.join(parts)}."
