"""Scores a checkpoint, or detections that lie in a file, on labeled images."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from data.errors import DataError
from data.records import Dataset, Detections, Target
from data.scoring.analysis import Analysis, analyze
from data.scoring.coco import SegmentPair
from data.scoring.coco_evaluators import evaluator_with_version
from data.scoring.localization import localization
from postprocess.sigma_uses import expected_iou
from scripts.engine.detection.detection import load_detector
from scripts.engine.environment import pick_device
from scripts.engine.evaluation.refinement import RowDetections
from scripts.engine.evaluation.scoring import (
    Scores,
    check_labeled,
    order_of_ids,
    targets_of_metric,
    validation_scores,
    voc_scores,
)
from scripts.engine.places import EXPERIMENTS
from scripts.engine.score.data import LabeledFolder, open_labeled
from scripts.engine.score.errors import Errors, find_errors
from scripts.engine.score.files import write_detections
from scripts.engine.score.source import (
    RESULTS,
    NetworkOptions,
    from_file,
    from_network,
    scored_file,
)


@dataclass(frozen=True, kw_only=True)
class ScoreOptions:
    """The options of scripts.score.

    scored: a checkpoint, the folder of a run, or COCO results as JSON. folder: the labeled images.
    network: how a checkpoint is run. out: where the files go; None: the folder score-<split> beside
    ``scored``. confusion_score: least score of a detection in the confusion matrix. voc: also VOC's
    mAP.
    """

    scored: Path
    folder: LabeledFolder
    network: NetworkOptions
    out: Path | None = None
    confusion_score: float = 0.5
    voc: bool = False


@dataclass(frozen=True, kw_only=True)
class ScoreResult:
    """What was measured.

    out: where the files go. facts: what was scored on what, as plain values. notes: sentences about
    what was left out. scores: the numbers of ``validation_scores``. voc: those of VOC's metric, or
    None. analysis: all else. errors: what voting did, and the best and the worst images.
    localization: of detections with sigma.
    """

    out: Path
    facts: dict[str, Any]
    notes: Sequence[str]
    scores: Scores
    voc: Scores | None
    analysis: Analysis
    errors: Errors
    localization: dict[str, float] | None = None


def score_detections(options: ScoreOptions) -> ScoreResult:
    """Scores what the options name; writes the detections of a checkpoint as COCO results.

    Raises:
        ValueError: it cannot be scored; says what, and what to do.
    """
    file = scored_file(options.scored)
    loaded = None
    if file.suffix.lower() != RESULTS:
        loaded = load_detector(file, pick_device(options.network.device))
    dataset, split = open_labeled(options.folder, loaded.run if loaded else None)
    out = options.out or file.parent / f"score-{split.replace('/', '-')}"
    check_out(out, file)
    targets = [dataset.target(index) for index in range(len(dataset))]
    check_labeled(targets)
    if loaded is None:
        source = from_file(file, dataset, options.network)
    else:
        source = from_network(file, loaded, dataset, options.network)
        write_detections(out, source.row, dataset, options.folder.image_root)
    detections, classes = source.row.detections, dataset.classes
    counted = targets_of_metric(targets, "coco")  # difficult objects are crowds
    order = order_of_ids(dataset.image_ids)  # as in validation_scores, with the same numbers
    ranked = [detections[index] for index in order], [targets[index] for index in order]
    facts = {
        **source.facts,
        "data": options.folder.name,
        "split": split,
        "images": len(dataset),
        "objects": sum(int((~target.crowd).sum()) for target in counted),
        "detections": sum(len(image.scores) for image in detections),
        "annotations_left_out": len(dataset.skipped),
        "coco_evaluator": evaluator_with_version(),
    }
    return ScoreResult(
        out=out,
        facts=facts,
        notes=[*left_out(dataset), *source.notes],
        scores=validation_scores(
            detections,
            targets,
            image_ids=dataset.image_ids,
            classes=classes,
            segments=mask_pair(source.row, dataset),
        ),
        voc=voc_scores(*ranked, classes) if options.voc else None,
        analysis=analyze(
            ranked[0],
            targets_of_metric(ranked[1], "coco"),
            classes,
            confusion_score=options.confusion_score,
        ),
        errors=find_errors(source.row, dataset, counted, options.confusion_score),
        localization=fit_of_boxes(*ranked, len(classes)),
    )


def fit_of_boxes(
    detections: Sequence[Detections], targets: Sequence[Target], num_classes: int
) -> dict[str, float] | None:
    """Whether the IoU that sigma promises is the measured one; None if some image has no sigma."""
    expected = [
        expected_iou(image.boxes.float(), image.sigma.float())
        for image in detections
        if image.sigma is not None
    ]
    if len(expected) < len(detections):
        return None
    return localization(detections, targets_of_metric(targets, "coco"), expected, num_classes)


def check_out(out: Path, scored: Path) -> None:
    """Checks that the results replace neither committed files nor what is scored.

    Raises:
        DataError: they would.
    """
    if out.resolve().is_relative_to(EXPERIMENTS):
        raise DataError(
            f"--out {out} is in experiments/, whose files are committed; choose another folder."
        )
    if scored.suffix.lower() == RESULTS and out.resolve() == scored.resolve().parent:
        raise DataError(
            f"--out {out} is the folder of the results that are scored; choose another one."
        )


def left_out(dataset: Dataset) -> list[str]:
    """A sentence about the annotations that were left out, if any were."""
    if not dataset.skipped:
        return []
    first = dataset.skipped[0]
    return [f"left out: {len(dataset.skipped)} annotations without a usable box, such as: {first}"]


def mask_pair(row: RowDetections, dataset: Dataset) -> SegmentPair | None:
    """The masks of the detections and of the labels; None if either has none."""
    if row.segments is None or dataset.category_ids is None:
        return None
    return row.segments, [dataset.segments(index) for index in range(len(dataset))]
