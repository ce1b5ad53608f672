"""The detections that scripts.score scores: of a checkpoint's network, or from a file."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from data.errors import DataError
from data.formats.coco_results import read_results
from data.records import Dataset
from postprocess.pipeline import Suppression
from scripts.engine.detection.detection import LoadedDetector, choose_postprocess
from scripts.engine.detection.in_dataset import detect_dataset
from scripts.engine.environment import pick_device
from scripts.engine.evaluation.refinement import RowDetections
from scripts.engine.run_folder.checkpoint import checkpoint_of
from scripts.engine.run_folder.recalibration import recalibrated
from scripts.engine.score.classes import check_common_class, to_classes

RESULTS = ".json"  # how the name of a file with detections ends


@dataclass(frozen=True, kw_only=True)
class NetworkOptions:
    """How a network is run. device: "auto", "cpu" or "cuda". workers: processes that read images.
    least_score: of a candidate; None: that of the papers' tables. nms_iou, sigma_t, suppression: as
    in scripts.detect.
    """

    device: str = "auto"
    workers: int = 0
    least_score: float | None = None
    nms_iou: float | None = None
    sigma_t: float | None = None
    suppression: Suppression = "hard"


@dataclass(frozen=True, kw_only=True)
class SourceDetections:
    """Detections whose labels are those of the data set they are on.

    facts: where they come from, as plain values. notes: sentences about what was left out.
    """

    row: RowDetections
    facts: dict[str, Any]
    notes: Sequence[str]


def scored_file(path: Path) -> Path:
    """The file that is meant: of a run's folder best.pt, else its newest checkpoint.

    Raises:
        DataError: there is none.
    """
    if not path.exists():
        raise DataError(
            f"{path} does not exist; give a checkpoint, the folder of a run, or COCO results."
        )
    return checkpoint_of(path)


def from_file(file: Path, dataset: Dataset, options: NetworkOptions) -> SourceDetections:
    """The detections of a results file on the images of a data set.

    Raises:
        DataError: it cannot be used, or an option asks for what only a network can do.
    """
    given = (options.least_score, options.nms_iou, options.sigma_t, options.suppression)
    if given != (None, None, None, "hard"):
        raise DataError(
            f"{file} holds detections, which are scored as they are; --score, --nms-iou, --sigma-t "
            "and --suppression want a checkpoint."
        )
    category_ids = dataset.category_ids or range(1, len(dataset.classes) + 1)
    results = read_results(file, dataset.image_ids, category_ids)
    notes = []
    if results.left_out:
        notes.append(
            f"left out: {results.left_out} detections on images that the data do not have (the "
            f"first: {results.first_left_out})"
        )
    entries = sum(len(image.scores) for image in results.detections) + results.left_out
    if 0 < results.without_sigma < entries:
        notes.append(
            f"sigma is not scored: {results.without_sigma} of {entries} detections lack it"
        )
    beyond = sum(int(((i.scores < 0) | (i.scores > 1)).sum()) for i in results.detections)
    if beyond:
        notes.append(
            f"{beyond} scores lie outside 0 to 1, where AP is right, and the calibration of scores,"
            " --confusion-score and the quality of images mean nothing"
        )
    empty = sum(len(image.scores) == 0 for image in results.detections)
    if empty:
        notes.append(f"{empty} of {len(dataset)} images have no detection in the file")
    return SourceDetections(
        row=RowDetections(detections=results.detections),
        facts={"scored": str(file), "kind": "COCO results"},
        notes=notes,
    )


def from_network(
    checkpoint: Path, loaded: LoadedDetector, dataset: Dataset, options: NetworkOptions
) -> SourceDetections:
    """The detections of a checkpoint's network on every image of a data set.

    Raises:
        ValueError: the data or an option cannot be used.
    """
    run = loaded.run
    check_common_class(loaded.classes, dataset.classes)
    config = choose_postprocess(run, options.sigma_t, options.suppression, nms_iou=options.nms_iou)
    if options.least_score is not None:
        config = replace(config, score_threshold=options.least_score)
    row = detect_dataset(
        loaded.detector,
        run,
        dataset,
        config,
        device=pick_device(options.device),
        workers=options.workers,
        with_unvoted=True,
    )
    found, unvoted = (
        None if images is None else [recalibrated(image, loaded.recalibration) for image in images]
        for images in (row.detections, row.unvoted)
    )
    assert found is not None
    row = replace(row, detections=found, unvoted=unvoted)
    row, notes = to_classes(row, loaded.classes, dataset.classes)
    if loaded.recalibration is not None:
        notes.append(f"sigma as recalibrated on {loaded.recalibration.fitted_on}")
    facts = {
        "scored": str(checkpoint),
        "kind": "checkpoint",
        "run": run.name,
        "updates": loaded.updates,
        "of_updates": run.train.iterations,
        "postprocess": asdict(config),
    }
    return SourceDetections(row=row, facts=facts, notes=notes)
