"""Fits the sigmas of a network on labeled images, and measures them on others."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from data.errors import DataError
from data.holdout import number_of
from data.records import Dataset, Detections
from data.scoring.matched_sides import MatchedSides, matched_sides
from postprocess.error_quantiles import fit_quantiles, interval_at
from postprocess.recalibration import ONE_SIGMA, TWO_SIGMA, Aim, By, fit_scale
from postprocess.sigma_scale import scale_sigma
from scripts.engine.calibration.sigma_measures import (
    IntervalResult,
    Numbers,
    held_of,
    measured,
    numbers_of,
    parts_of,
)
from scripts.engine.calibration.unseen_images import check_apart, check_not_trained_on
from scripts.engine.detection.detection import LoadedDetector, choose_postprocess, load_detector
from scripts.engine.detection.in_dataset import detect_dataset
from scripts.engine.environment import pick_device
from scripts.engine.run_folder.checkpoint import checkpoint_of
from scripts.engine.run_folder.recalibration import Recalibration, keep_recalibration
from scripts.engine.score.classes import check_common_class, to_classes
from scripts.engine.score.data import LabeledFolder, open_labeled

LEVELS = (ONE_SIGMA, 0.8, 0.9, 0.95, TWO_SIGMA)  # of the intervals that are measured
PART_LEVEL = 0.9  # of the interval that is measured on each class and size


@dataclass(frozen=True, kw_only=True)
class CalibrateOptions:
    """The options of scripts.calibrate.

    checkpoint: of the network, or the folder of a run. folder: the images to fit on. report_split:
    those to measure on; None: every second one of the images is kept for it. by, aim: as in
    ``fit_scale``. device, workers: as everywhere. keep: whether the factors go into the checkpoint.
    """

    checkpoint: Path
    folder: LabeledFolder
    report_split: str | None = None
    by: By = "one"
    aim: Aim = "coverage"
    device: str = "auto"
    workers: int = 0
    keep: bool = True


@dataclass(frozen=True, kw_only=True)
class CalibrateResult:
    """What was fitted and measured.

    before, after: for "all" detections and for parts of them (a class, a size): see ``numbers_of``.
    held: of each part the share of sides in the interval of PART_LEVEL; empty if there is none.
    reported_on, images: where they were measured.
    """

    checkpoint: Path
    recalibration: Recalibration
    reported_on: str
    images: int
    before: dict[str, Numbers]
    after: dict[str, Numbers]
    held: dict[str, float]
    intervals: Sequence[IntervalResult]


@dataclass(frozen=True, kw_only=True)
class MatchedImages:
    """The matched detections of some images: what they are called, and how many they are."""

    name: str
    images: int
    sides: MatchedSides
    classes: Sequence[str]


def calibrate(options: CalibrateOptions) -> CalibrateResult:
    """Fits factors, keeps them in the checkpoint, and measures sigmas before and after.

    Raises:
        ValueError: the network has no sigma or learned from these images, or there is too little
            to fit on.
    """
    checkpoint = checkpoint_of(options.checkpoint)
    loaded = load_detector(checkpoint, pick_device(options.device), with_factors=False)
    check_has_sigma(loaded, checkpoint)
    fitted, reported = fit_and_report_images(loaded, checkpoint, options)
    recalibration = fit(fitted, options)
    sides = reported.sides
    if not len(sides.boxes):
        raise DataError(
            f"None of the detections on {reported.name} of {options.folder.name} means an object, "
            "so there is nothing to measure sigmas on; name other images with --report-split."
        )
    new_sigma = scale_sigma(sides.sigma, sides.boxes, recalibration.scale)
    quantiles = recalibration.quantiles
    fitted_levels = [level for level in LEVELS if 100 * level <= len(quantiles.holding)]
    intervals = {level: interval_at(quantiles, level) for level in fitted_levels}
    parts = parts_of(sides, reported.classes, recalibration.scale.edges)
    result = CalibrateResult(
        checkpoint=checkpoint,
        recalibration=recalibration,
        reported_on=reported.name,
        images=reported.images,
        before=numbers_of(sides, sides.sigma, parts),
        after=numbers_of(sides, new_sigma, parts),
        held=held_of(intervals[PART_LEVEL], sides, new_sigma, parts)
        if PART_LEVEL in intervals
        else {},
        intervals=[measured(interval, sides, new_sigma) for interval in intervals.values()],
    )
    if options.keep:
        keep_recalibration(checkpoint, recalibration)
    return result


def check_has_sigma(loaded: LoadedDetector, checkpoint: Path) -> None:
    """Checks that a network predicts log variances.

    Raises:
        ValueError: it does not.
    """
    if not loaded.run.model.roi.log_variance:
        raise ValueError(
            f"The network in {checkpoint} predicts no sigma; give one of a run with KL Loss: "
            "own/*, or a name that ends in _kl."
        )


def fit_and_report_images(
    loaded: LoadedDetector, checkpoint: Path, options: CalibrateOptions
) -> tuple[MatchedImages, MatchedImages]:
    """The images to fit on, and others to measure on.

    Raises:
        DataError: they are the same, or the network learned from them.
    """
    run = replace(loaded.run, model=replace(loaded.run.model, mask=None))  # boxes are enough
    dataset, split = open_labeled(options.folder, run)
    check_not_trained_on(loaded, checkpoint, dataset, split)
    if options.report_split is None:
        found = detect_all(loaded, dataset, options)
        first, second = halves(dataset)
        return (
            matched(f"half of {split}", dataset, found, first),
            matched(f"the other half of {split}", dataset, found, second),
        )
    folder = replace(options.folder, split=options.report_split)
    other, name = open_labeled(folder, run)
    check_not_trained_on(loaded, checkpoint, other, name)
    check_apart(dataset, other, name)
    return (
        matched(split, dataset, detect_all(loaded, dataset, options), range(len(dataset))),
        matched(name, other, detect_all(loaded, other, options), range(len(other))),
    )


def halves(dataset: Dataset) -> tuple[list[int], list[int]]:
    """Every second image of a data set, in an order that the names of the images decide, and the
    others.

    Raises:
        DataError: there is only one image.
    """
    if len(dataset) < 2:
        raise DataError("One image cannot be fitted on and measured on; give more labeled images.")
    names = [dataset.name(index) for index in range(len(dataset))]
    order = sorted(range(len(names)), key=lambda index: (number_of(names[index]), names[index]))
    return sorted(order[::2]), sorted(order[1::2])


def detect_all(
    loaded: LoadedDetector, dataset: Dataset, options: CalibrateOptions
) -> list[Detections]:
    """The detections of every image with the sigmas of the network, labels as in the data set."""
    check_common_class(loaded.classes, dataset.classes)
    row = detect_dataset(
        loaded.detector,
        loaded.run,
        dataset,
        choose_postprocess(loaded.run),
        device=pick_device(options.device),
        workers=options.workers,
    )
    return to_classes(row, loaded.classes, dataset.classes)[0].detections


def matched(
    name: str, dataset: Dataset, found: Sequence[Detections], indices: Sequence[int]
) -> MatchedImages:
    """The detections on some images of a data set that mean an object."""
    targets = [dataset.target(index) for index in indices]
    return MatchedImages(
        name=name,
        images=len(indices),
        sides=matched_sides([found[index] for index in indices], targets),
        classes=dataset.classes,
    )


def fit(fitted: MatchedImages, options: CalibrateOptions) -> Recalibration:
    """The factors, and the quantiles of the errors in the sigmas that they make.

    Raises:
        ValueError: there are too few matched detections.
    """
    sides = fitted.sides
    try:
        scale = fit_scale(sides.errors, sides.sigma, sides.boxes, by=options.by, aim=options.aim)
    except ValueError as error:
        raise ValueError(f"{fitted.name} of {options.folder.name}: {error}") from error
    sigma = scale_sigma(sides.sigma, sides.boxes, scale)
    return Recalibration(
        scale=scale,
        quantiles=fit_quantiles(sides.errors, sigma),
        by=options.by,
        aim=options.aim,
        fitted_on=f"{fitted.name} of {options.folder.name}",
        images=fitted.images,
        matched=len(sides.boxes),
    )
