"""All numbers of one row of a table, from its detections and the labels of the test set."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from data.formats.masks import Rle
from data.records import Dataset, Detections, Target
from data.scoring.calibration import evaluate_calibration
from data.scoring.coco import coco_tables, evaluate_coco, summarize, summarize_per_class
from data.scoring.voc import evaluate_voc
from experiments.records import Run
from scripts.engine.environment import Environment, open_dataset
from scripts.engine.refinement import RowDetections

MASK_COLUMNS = ("AP", "AP50", "AP75", "APS", "APM", "APL")
VOC_COLUMNS = (("mAP75", 0.75, True), ("mAP90", 0.9, True), ("mAP_area", 0.5, False))

Scores = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class LabeledDataset:
    """A data set to score on.

    targets: of each image, or of the first ones. segments: the masks of the targets as RLEs, for
    mask AP; None where none are scored.
    """

    dataset: Dataset
    targets: list[Target]
    segments: list[list[Rle]] | None = None


class LabeledDatasets:
    """The test sets of runs, opened when they are first asked for.

    Args:
        environment: where the data are.
        images: how many images, from the first, get their targets; None: all.
    """

    def __init__(self, environment: Environment, images: int | None = None) -> None:
        self.environment, self.images = environment, images
        self.opened: dict[tuple[str, str, bool], LabeledDataset] = {}

    def of(self, run: Run) -> LabeledDataset:
        """The test set of a run at its scale."""
        key = (run.data.layout, run.data.test, run.model.mask is not None)
        if key not in self.opened:
            dataset = open_dataset(run, self.environment, run.data.test)
            count = len(dataset) if self.images is None else min(self.images, len(dataset))
            segments = None
            if run.model.mask is not None:
                segments = [dataset.segments(i) for i in range(count)]
            self.opened[key] = LabeledDataset(
                dataset=dataset,
                targets=[dataset.target(i) for i in range(count)],
                segments=segments,
            )
        return self.opened[key]


def score(row: RowDetections, labeled: LabeledDataset, metric: str) -> Scores:
    """All numbers of one row.

    Args:
        row: the detections of every image and, from a network with a mask head, their masks.
        labeled: the same images with their targets.
        metric: "coco" or "voc".

    Returns:
        AP in its forms, "per_class", mask AP ("mask_AP", ...) where there are masks, calibration
        and, with "coco" where the clean boxes are known, AP against these under "clean".

    Raises:
        ValueError: if there is no such metric, or no object to find.
    """
    if metric not in SCORERS:
        raise ValueError(f"There is no metric {metric!r} of detections; use one of {[*SCORERS]}.")
    targets = labeled.targets
    if not any(len(target.labels) for target in targets):
        raise ValueError(
            f"None of the {len(targets)} test images has an object, so no detection can be right; "
            "choose another test split or label its images."
        )
    if metric == "coco":
        targets = [without_difficult(target) for target in targets]
    classes = labeled.dataset.classes
    scores = SCORERS[metric](row.detections, targets, classes)
    if row.segments is not None and labeled.segments is not None:
        segments = (row.segments, labeled.segments)
        masks = evaluate_coco(row.detections, targets, len(classes), segments)
        scores |= {f"mask_{name}": masks[name] for name in MASK_COLUMNS}
    scores |= evaluate_calibration(row.detections, targets)
    clean = clean_targets(targets)
    if metric == "coco" and clean is not None:
        scores["clean"] = evaluate_coco(row.detections, clean, len(classes))
    return scores


def without_difficult(target: Target) -> Target:
    """The target with its difficult objects as crowds, which COCO ignores in the same way."""
    return replace(target, crowd=target.crowd | target.difficult)


def clean_targets(targets: Sequence[Target]) -> list[Target] | None:
    """The objects with their clean boxes; None if those of some image are not known."""
    clean = []
    for target in targets:
        if target.clean_boxes is None:
            return None
        clean.append(Target(boxes=target.clean_boxes, labels=target.labels))
    return clean


def coco_scores(
    detections: Sequence[Detections], targets: Sequence[Target], classes: Sequence[str]
) -> Scores:
    """AP and AR of COCO, and the AP of each class."""
    tables = coco_tables(detections, targets, len(classes))
    per_class = [line["AP"] for line in summarize_per_class(*tables)]
    return {**summarize(*tables), "per_class": dict(zip(classes, per_class, strict=True))}


def voc_scores(
    detections: Sequence[Detections], targets: Sequence[Target], classes: Sequence[str]
) -> Scores:
    """mAP of VOC 2007, at higher overlaps, and by area, and the AP of each class."""
    voc = evaluate_voc(detections, targets, len(classes))
    per_class = dict(zip(classes, voc["AP_per_class"], strict=True))
    scores: Scores = {"mAP": voc["mAP"], "per_class": per_class}
    for name, iou, eleven_point in VOC_COLUMNS:
        at_iou = evaluate_voc(
            detections, targets, len(classes), iou_threshold=iou, eleven_point=eleven_point
        )
        scores[name] = at_iou["mAP"]
    return scores


SCORERS: dict[str, Callable[[Sequence[Detections], Sequence[Target], Sequence[str]], Scores]]
SCORERS = {"coco": coco_scores, "voc": voc_scores}  # by Table.metric
