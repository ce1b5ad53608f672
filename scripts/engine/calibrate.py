"""Fits the sigmas of a network on labeled images, and measures them on others."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

import torch
from torch import Tensor

from data.errors import DataError
from data.holdout import number_of
from data.records import Dataset, Detections
from data.scoring.calibration import calibration, ence
from data.scoring.matched_sides import MatchedSides, matched_sides
from postprocess.error_quantiles import Interval, fit_quantiles, interval_at
from postprocess.intervals import holding_boxes, intervals
from postprocess.recalibration import ONE_SIGMA, TWO_SIGMA, Aim, By, fit_scale, size_edges
from postprocess.sigma_scale import box_sizes, scale_sigma, size_bins
from scripts.engine.checkpoint import checkpoint_of
from scripts.engine.dataset_detections import detect_dataset
from scripts.engine.detection import LoadedDetector, choose_postprocess, load_detector
from scripts.engine.environment import pick_device
from scripts.engine.files import read_json
from scripts.engine.own_data import HELD_BACK
from scripts.engine.places import TRAINED_IMAGES
from scripts.engine.recalibration import Recalibration, keep_recalibration
from scripts.engine.score_classes import check_common_class, to_classes
from scripts.engine.score_data import LabeledFolder, open_labeled

LEVELS = (ONE_SIGMA, 0.8, 0.9, 0.95, TWO_SIGMA)  # of the intervals that are measured
FEWEST = 10  # matched detections of a class or size that has a line of its own
SAME_IMAGES = "the training, run again, writes it anew"
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
    parts = parts_of(sides, reported.classes, recalibration.scale.edges)
    result = CalibrateResult(
        checkpoint=checkpoint,
        recalibration=recalibration,
        reported_on=reported.name,
        images=reported.images,
        before=numbers_of(sides, sides.sigma, parts),
        after=numbers_of(sides, new_sigma, parts),
        intervals=[
            measured(interval_at(quantiles, level), sides, new_sigma)
            for level in LEVELS
            if 100 * level <= len(quantiles.holding)
        ],
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


def check_not_trained_on(
    loaded: LoadedDetector, checkpoint: Path, dataset: Dataset, split: str
) -> None:
    """Checks that a network did not learn from these images: its sigmas fit them already.

    A run on data of one's own knows its images by name. Of others the name of the split decides,
    without its year; trainval holds train and val.

    Raises:
        DataError: it did.
    """
    known = checkpoint.parent / TRAINED_IMAGES
    names = read_json(known, SAME_IMAGES).get("names") if known.is_file() else None
    if names is not None:
        shared = {dataset.name(index) for index in range(len(dataset))} & set(names)
        count = f"{len(shared)} of the {len(dataset)} images of {split}" if shared else ""
    else:
        learned = {part for name in loaded.run.data.train for part in parts_of_split(name)}
        held = split == HELD_BACK and loaded.run.data.test != HELD_BACK
        count = split if held or learned & parts_of_split(split) else ""
    if count:
        raise DataError(
            f"The network learned from {count}, where its errors are smaller than elsewhere; name "
            "labeled images that it has not seen with --split."
        )


def parts_of_split(name: str) -> set[str]:
    """The splits that a split holds: "2007_trainval" is train and val."""
    plain = re.sub(r"^\d{4}_", "", name)
    return {"train", "val"} if plain == "trainval" else {plain}


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
    if name == split:
        raise DataError(f"--report-split {name} is what is fitted on; name other images.")
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


def parts_of(
    sides: MatchedSides, classes: Sequence[str], edges: Sequence[float]
) -> dict[str, Tensor]:
    """Masks (n,) of the detections that have lines of their own: all, each size, each class.

    Args:
        sides: the detections.
        classes: label k is ``classes[k - 1]``.
        edges: px between the sizes; without any those of thirds.
    """
    between = torch.tensor(edges) if edges else size_edges(box_sizes(sides.boxes))
    sizes = size_bins(sides.boxes, between)
    parts = {"all": torch.ones(len(sides.labels), dtype=torch.bool)}
    for index, name in enumerate(size_names(between.tolist())):
        parts[name] = sizes == index
    parts |= {f"class {name}": sides.labels == k for k, name in enumerate(classes, start=1)}
    return {name: mask for name, mask in parts.items() if name == "all" or mask.sum() >= FEWEST}


def size_names(edges: Sequence[float]) -> list[str]:
    """What the sizes between edges px are called; none without an edge."""
    if not edges:
        return []
    middle = [f"{low:.0f} to {high:.0f} px" for low, high in pairwise(edges)]
    return [f"below {edges[0]:.0f} px", *middle, f"from {edges[-1]:.0f} px"]


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
