"""All numbers of one row of a table, from its detections and the labels of the test set."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from data.errors import DataError
from data.formats.masks import Rle
from data.records import Dataset, Detections, ImageId, Target
from data.scoring.calibration import evaluate_calibration
from data.scoring.coco import (
    SegmentPair,
    coco_tables,
    evaluate_coco,
    summarize,
    summarize_per_class,
)
from data.scoring.voc import evaluate_voc
from experiments.records import Run
from scripts.engine.data_identity import scored_digest, text_digest
from scripts.engine.environment import Environment, open_dataset
from scripts.engine.evaluation.refinement import RowDetections

MASK_COLUMNS = ("AP", "AP50", "AP75", "APS", "APM", "APL")
VOC_COLUMNS = (("mAP75", 0.75, True), ("mAP90", 0.9, True), ("mAP_area", 0.5, False))

Scores = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class LabeledDataset:
    """A data set to score on.

    targets: of each image, or of the first ones. segments: the masks of the targets as RLEs, for
    mask AP; None where none are scored. name: of layout and split.
    """

    dataset: Dataset
    targets: list[Target]
    segments: list[list[Rle]] | None = None
    name: str = "test"

    @cached_property
    def identity(self) -> dict[str, str]:
        """{name: hash of what scores depend on}; the masks are a test set of their own."""
        name = self.name
        if len(self.targets) < len(self.dataset):
            name = f"{name}, first {len(self.targets)} images"
        digests = {name: scored_digest(self.dataset, self.targets)}
        if self.segments is not None:
            digests[f"masks of {name}"] = text_digest(repr(self.segments))[:12]
        return digests


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
                name=f"{run.data.layout} {run.data.test}",
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
    classes, image_ids = labeled.dataset.classes, labeled.dataset.image_ids[: len(labeled.targets)]
    segments = None
    if row.segments is not None and labeled.segments is not None:
        segments = (row.segments, labeled.segments)
    scores = validation_scores(
        row.detections,
        labeled.targets,
        image_ids=image_ids,
        classes=classes,
        metric=metric,
        segments=segments,
    )
    clean = clean_targets(targets_of_metric(labeled.targets, metric))
    if metric == "coco" and clean is not None:
        order = order_of_ids(image_ids)
        ranked = [row.detections[index] for index in order], [clean[index] for index in order]
        scores["clean"] = evaluate_coco(*ranked, len(classes))
    return scores


def validation_scores(
    detections: Sequence[Detections],
    targets: Sequence[Target],
    *,
    image_ids: Sequence[ImageId],
    classes: Sequence[str],
    metric: str = "coco",
    segments: SegmentPair | None = None,
) -> Scores:
    """The numbers of detections on labeled images: AP in its forms, by class, and calibration.

    A table, a validation during a training and scripts.score call this function, so their numbers
    are the same.

    Args:
        detections, targets: one entry per image, in the same order; original px.
        image_ids: of the same images. Of equal scores COCO ranks the one in the image with the
            smaller id first.
        classes: the names of the labels 1..K.
        metric: "coco" or "voc".
        segments: the masks of the detections and of the targets, of a network with a mask head.

    Returns:
        percent: "coco": AP, AP50, ..., AP95, APS, APM, APL, AR1, ...; "voc": mAP, mAP75, mAP90,
        mAP_area; both: "per_class", "mask_AP", ... where there are masks, and the keys of
        ``evaluate_calibration``.

    Raises:
        ValueError: there is no such metric, no image, no object, or the arguments do not fit.
    """
    targets = targets_of_metric(targets, metric)
    check_labeled(targets)
    order = order_of_ids(image_ids)
    ranked = [detections[index] for index in order], [targets[index] for index in order]
    scores = SCORERS[metric](*ranked, classes)
    if segments is not None:
        pair = [segments[0][index] for index in order], [segments[1][index] for index in order]
        scores |= mask_scores(*ranked, classes, pair)
    return {**scores, **evaluate_calibration(*ranked)}


def check_labeled(targets: Sequence[Target]) -> None:
    """Checks that there is an object to score on.

    Raises:
        DataError: there is none.
    """
    if not has_objects(targets):
        raise DataError(
            f"There is nothing to score on: the {len(targets)} images have no labeled object that "
            "is no crowd and not difficult; choose a split with labels."
        )


def has_objects(targets: Iterable[Target]) -> bool:
    """Whether there is an object to find: COCO's rules ignore crowds and difficult ones, and VOC,
    whose rules ignore difficult ones, has no crowds.
    """
    return any(bool((~(target.crowd | target.difficult)).any()) for target in targets)


def mask_scores(
    detections: Sequence[Detections],
    targets: Sequence[Target],
    classes: Sequence[str],
    segments: SegmentPair,
) -> Scores:
    """AP of COCO with the IoUs of masks, as "mask_AP" and so on."""
    masks = evaluate_coco(detections, targets, len(classes), segments)
    return {f"mask_{name}": masks[name] for name in MASK_COLUMNS}


def order_of_ids(image_ids: Sequence[ImageId]) -> list[int]:
    """The images in the order in which COCO evaluates them: by id, if all are numbers or all names.

    Numbers and names together have no order; such images stay as they are.
    """
    kinds = {type(image_id) for image_id in image_ids}
    places = range(len(image_ids))
    return sorted(places, key=lambda place: image_ids[place]) if len(kinds) == 1 else list(places)


def targets_of_metric(targets: Sequence[Target], metric: str) -> list[Target]:
    """The targets as the rules of a metric see them.

    Raises:
        ValueError: if there is no such metric.
    """
    if metric not in SCORERS:
        raise ValueError(f"There is no metric {metric!r} of detections; use one of {[*SCORERS]}.")
    return [without_difficult(target) if metric == "coco" else target for target in targets]


def without_difficult(target: Target) -> Target:
    """The target with its difficult objects as crowds, which COCO ignores in the same way."""
    return replace(target, crowd=target.crowd | target.difficult)


def clean_targets(targets: Sequence[Target]) -> list[Target] | None:
    """The objects with their clean boxes; None if those of some image are not known.

    The area of an object is that of its clean box.
    """
    clean = []
    for target in targets:
        if target.clean_boxes is None:
            return None
        clean.append(
            Target(
                boxes=target.clean_boxes,
                labels=target.labels,
                crowd=target.crowd,
                difficult=target.difficult,
            )
        )
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
