"""Fits the sigmas of a network on labeled images, and measures them on others."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from data.errors import DataError
from data.holdout import number_of
from data.records import Dataset, Detections
from data.scoring.calibration import calibration, ence
from data.scoring.matched_sides import MatchedSides, matched_sides
from postprocess.intervals import holding_boxes, holding_factor, intervals, side_factors
from postprocess.recalibration import Aim, By, fit_scale, size_edges
from postprocess.sigma_scale import box_sizes, scale_sigma, size_bins
from scripts.engine.checkpoint import checkpoint_of
from scripts.engine.dataset_detections import detect_dataset
from scripts.engine.detection import LoadedDetector, choose_postprocess, load_detector
from scripts.engine.environment import pick_device
from scripts.engine.recalibration import Interval, Recalibration, keep_recalibration
from scripts.engine.score_classes import check_common_class, to_classes
from scripts.engine.score_data import LabeledFolder, open_labeled

LEVELS = (0.8, 0.9, 0.95)  # of intervals
FEWEST = 10  # matched detections of a class or size that has a line of its own
SIZE_NAMES = ("small third", "middle third", "large third")
Numbers = dict[str, float]


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
class IntervalResult:
    """An interval, and what it did on images that it was not fitted on.

    held: the share of labeled sides within it, 0..1. holds: the share of labeled boxes inside the
    box that is to hold them. width: its mean width in px. gaussian_width: that of a Gaussian with
    the recalibrated sigmas.
    """

    interval: Interval
    held: float
    holds: float
    width: float
    gaussian_width: float


@dataclass(frozen=True, kw_only=True)
class CalibrateResult:
    """What was fitted and measured.

    before, after: for "all" detections and for parts of them (a class, a size): see ``numbers_of``.
    reported_on, images: where they were measured.
    """

    checkpoint: Path
    recalibration: Recalibration
    reported_on: str
    images: int
    before: dict[str, Numbers]
    after: dict[str, Numbers]
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
    loaded = load_detector(checkpoint, pick_device(options.device))
    check_has_sigma(loaded, checkpoint)
    fitted, reported = fit_and_report_images(loaded, options)
    recalibration = fit(fitted, options)
    if options.keep:
        keep_recalibration(checkpoint, recalibration)
    sides = reported.sides
    new_sigma = scale_sigma(sides.sigma, sides.boxes, recalibration.scale)
    parts = parts_of(sides, reported.classes)
    return CalibrateResult(
        checkpoint=checkpoint,
        recalibration=recalibration,
        reported_on=reported.name,
        images=reported.images,
        before=numbers_of(sides, sides.sigma, parts),
        after=numbers_of(sides, new_sigma, parts),
        intervals=[measured(one, sides, new_sigma) for one in recalibration.intervals],
    )


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


def check_not_trained_on(loaded: LoadedDetector, split: str) -> None:
    """Checks that a network did not learn from a split: its sigmas are too narrow there already.

    Raises:
        DataError: it did.
    """
    if split in loaded.run.data.train:
        raise DataError(
            f"The network learned from {split}, where its errors are smaller than elsewhere; name "
            "labeled images that it has not seen with --split."
        )


def fit_and_report_images(
    loaded: LoadedDetector, options: CalibrateOptions
) -> tuple[MatchedImages, MatchedImages]:
    """The images to fit on, and others to measure on.

    Raises:
        DataError: they are the same, or the network learned from them.
    """
    dataset, split = open_labeled(options.folder, loaded.run)
    check_not_trained_on(loaded, split)
    if options.report_split is None:
        found = detect_all(loaded, dataset, options)
        first, second = halves(dataset)
        return (
            matched(f"half of {split}", dataset, found, first),
            matched(f"the other half of {split}", dataset, found, second),
        )
    folder = replace(options.folder, split=options.report_split)
    other, name = open_labeled(folder, loaded.run)
    check_not_trained_on(loaded, name)
    if name == split:
        raise DataError(f"--report-split {name} is what is fitted on; name other images.")
    return (
        matched(split, dataset, detect_all(loaded, dataset, options), range(len(dataset))),
        matched(name, other, detect_all(loaded, other, options), range(len(other))),
    )


def halves(dataset: Dataset) -> tuple[list[int], list[int]]:
    """Every second image of a data set, in an order that the names of the images decide, and the
    others.
    """
    names = [str(image) for image in dataset.image_ids]
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
    """The factors, and intervals in the sigmas that they make.

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
        intervals=tuple(
            Interval(
                level=level,
                sides=side_factors(sides.errors, sigma, level),
                holding=holding_factor(sides.errors, sigma, level),
            )
            for level in LEVELS
        ),
        by=options.by,
        aim=options.aim,
        fitted_on=f"{fitted.name} of {options.folder.name}",
        images=fitted.images,
        matched=len(sides.boxes),
    )


def parts_of(sides: MatchedSides, classes: Sequence[str]) -> dict[str, Tensor]:
    """Masks (n,) of the detections that have lines of their own: all, each class, each size."""
    everything = torch.ones(len(sides.labels), dtype=torch.bool)
    sizes = size_bins(sides.boxes, size_edges(box_sizes(sides.boxes)))
    parts = {"all": everything}
    parts |= {name: sizes == index for index, name in enumerate(SIZE_NAMES)}
    parts |= {f"class {name}": sides.labels == k for k, name in enumerate(classes, start=1)}
    return {name: mask for name, mask in parts.items() if name == "all" or mask.sum() >= FEWEST}


def numbers_of(sides: MatchedSides, sigma: Tensor, parts: dict[str, Tensor]) -> dict[str, Numbers]:
    """Of each part the numbers of ``calibration``, ence, and where the labels' own noise is known
    true_ratio, the median of ``sigma`` (n, 4) over the noise's.
    """
    numbers = {}
    for name, mask in parts.items():
        errors, part = sides.errors[mask], sigma[mask]
        numbers[name] = {**calibration(errors, part), "ence": ence(errors, part)}
        if sides.true_sigma is not None:
            numbers[name]["true_ratio"] = float((part / sides.true_sigma[mask]).median())
    return numbers


def measured(interval: Interval, sides: MatchedSides, sigma: Tensor) -> IntervalResult:
    """What an interval does on other images; ``sigma`` (n, 4) px is the recalibrated one."""
    ends = intervals(sides.boxes, sigma, interval.sides)
    inside = (ends[..., 0] <= sides.objects) & (sides.objects <= ends[..., 1])
    outer = holding_boxes(sides.boxes, sigma, interval.holding)
    holds = (outer[:, :2] <= sides.objects[:, :2]) & (sides.objects[:, 2:] <= outer[:, 2:])
    z = torch.special.ndtri(torch.tensor((1 + interval.level) / 2, dtype=torch.float64))
    return IntervalResult(
        interval=interval,
        held=float(inside.double().mean()),
        holds=float(holds.all(dim=1).double().mean()),
        width=float((ends[..., 1] - ends[..., 0]).mean()),
        gaussian_width=float(2 * z * sigma.double().mean()),
    )
