"""Validation while a network trains: its scores, the best network so far, and when to stop.

Each validation is a line of metrics.jsonl. What is best and whether patience has ended follow from
these lines alone, so a training that was stopped goes on as if it had not been.
"""

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from data.errors import DataError
from data.formats.saved_proposals import SavedProposals
from data.records import Dataset, Detections, Target
from experiments.records import Run
from models.detector import Detector
from scripts.engine.detection.detection import choose_postprocess
from scripts.engine.detection.in_dataset import detect_dataset
from scripts.engine.evaluation.scoring import (
    Scores,
    has_objects,
    targets_of_metric,
    validation_scores,
)
from scripts.engine.files import json_safe, write_atomically

METRIC = "AP"  # that the best network has most of
Line = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Validation:
    """What a training is validated on, and how often.

    dataset: the images. every: updates between two validations. epoch: updates in which each
    training image is seen once. patience: validations without a better AP after which the training
    ends; None: never. workers: processes that read images. proposals: for a Fast R-CNN.
    """

    dataset: Dataset
    every: int
    epoch: int
    patience: int | None = None
    workers: int = 0
    proposals: SavedProposals | None = None

    def is_due(self, done: int, total: int) -> bool:
        """Whether the network is validated after ``done`` of ``total`` updates."""
        return done % self.every == 0 or done == total


@dataclass(frozen=True, kw_only=True)
class Validated:
    """What a validation found: its numbers, and the detections and objects of each image, original
    px, difficult objects as crowds.
    """

    scores: Scores
    detections: list[Detections]
    targets: list[Target]


def check_has_objects(dataset: Dataset, split: str) -> None:
    """Checks that there is something to validate on, before the first update is made.

    Raises:
        DataError: no image has an object that counts.
    """
    if not has_objects(dataset.target(index) for index in range(len(dataset))):
        raise DataError(
            f"None of the {len(dataset)} images to validate on ({split}) has a labeled object that "
            "is no crowd and not difficult; label some, or name another split with --splits "
            "TRAIN:VALIDATION."
        )


def validate(
    detector: Detector, run: Run, validation: Validation, device: torch.device
) -> Validated:
    """The numbers of ``scripts.score`` for the network as it is; the training goes on unchanged.

    Args:
        detector: in training mode, and so afterwards.
        run: the network's.
        validation: the images.
        device: where the network is.
    """
    dataset = validation.dataset
    detector.eval()
    try:
        row = detect_dataset(
            detector,
            run,
            dataset,
            choose_postprocess(run),
            device=device,
            workers=validation.workers,
            proposals=validation.proposals,
        )
    finally:
        detector.train()
    segments = None
    if row.segments is not None and dataset.category_ids is not None:
        segments = row.segments, [dataset.segments(index) for index in range(len(dataset))]
    targets = [dataset.target(index) for index in range(len(dataset))]
    scores = validation_scores(
        row.detections,
        targets,
        image_ids=dataset.image_ids,
        classes=dataset.classes,
        segments=segments,
    )
    return Validated(
        scores=scores,
        detections=row.detections,
        targets=targets_of_metric(targets, "coco"),
    )


def metric_lines(path: Path, until: int) -> list[Line]:
    """The validations up to an update; later ones, made after the last checkpoint, are made
    again.

    Args:
        path: of metrics.jsonl.
        until: the update from which the training goes on.

    Raises:
        ValueError: the file is damaged.
    """
    if not path.is_file():
        return []
    try:
        lines = [json.loads(line) for line in path.read_text().splitlines() if line.strip()]
        return [line for line in lines if line["updates"] <= until]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ValueError(
            f"The file {path} is damaged ({error}); put a whole copy of it there, or delete it to "
            "go on without the earlier validations."
        ) from error


def write_lines(path: Path, lines: Sequence[Line]) -> None:
    """Writes metrics.jsonl: one JSON object a line; NaN becomes null."""
    write_atomically(path, "".join(json.dumps(json_safe(line)) + "\n" for line in lines))


def best_line(lines: Sequence[Line]) -> Line | None:
    """The validation with the highest AP, the first of equals; None without any.

    An AP that is not finite is none: it is null in the file.
    """
    known = [line for line in lines if line[METRIC] is not None and math.isfinite(line[METRIC])]
    return max(known, key=lambda line: line[METRIC], default=None)


def is_out_of_patience(lines: Sequence[Line], patience: int | None) -> bool:
    """Whether so many validations have passed since the best one."""
    best = best_line(lines)
    if patience is None or best is None:
        return False
    return len(lines) - 1 - list(lines).index(best) >= patience
