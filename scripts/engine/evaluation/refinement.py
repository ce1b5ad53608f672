"""What happens to detections with the image at hand: IoU-Net's refinement, and their masks.

Post-processing is a pure function of candidates; these two are not. One pass over the test images
serves all rows of a network: the features of an image are computed once.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from data.formats.masks import Rle, encode_masks
from data.records import Batch, Dataset, Detections
from data.sampler import in_order
from experiments.records import Run
from models.detector import Detector, Features
from postprocess.masks import paste_masks
from postprocess.refine import Refinement, refine
from scripts.engine.environment import Environment, pick_device
from scripts.engine.places import RunPlace
from scripts.engine.processes import joined_lists
from scripts.engine.trained.proposals import ensure_proposals, part_of_split
from scripts.engine.trained.trained import trained_batches, trained_detector, trained_run


@dataclass(frozen=True, kw_only=True)
class RowDetections:
    """The detections of every test image, and their masks as RLEs if there is a mask head.

    unvoted: the same detections before the vote of variances, without masks; None if there is no
    vote or nobody asked.
    """

    detections: list[Detections]
    segments: list[list[Rle]] | None = None
    unvoted: list[Detections] | None = None


@dataclass(frozen=True, kw_only=True)
class RefinementTask:
    """The post-processed detections of every test image, and how to refine them, if at all."""

    detections: list[Detections]
    refinement: Refinement | None


def refine_and_segment(
    run: Run,
    place: RunPlace,
    dataset: Dataset,
    environment: Environment,
    tasks: Mapping[str, RefinementTask],
    *,
    split: str = "",
    with_masks: bool = True,
) -> dict[str, RowDetections]:
    """The detections after their refinement, with masks if the network makes them.

    Args:
        run: a trained run at the scale and on the data of the command.
        place: of ``run``.
        dataset: the images.
        environment: of the command.
        tasks: the detections in the order of ``dataset``, by any key.
        split: the name of the split if it is not the run's test split.
        with_masks: False: no masks, whatever the network makes.

    Returns:
        the final detections, by the same keys.
    """
    with_masks = with_masks and run.model.mask is not None
    if not with_masks and all(task.refinement is None for task in tasks.values()):
        return {key: RowDetections(detections=task.detections) for key, task in tasks.items()}
    trained = trained_run(run, place, dataset, unfinished=environment.unfinished)
    assert trained is not None
    device = pick_device(environment.device)
    detector = trained_detector(trained, device).requires_grad_(False)
    results = {key: no_detections(with_masks=with_masks) for key in tasks}
    proposals = ensure_proposals(trained.run, place, environment, dataset, part_of_split(split))
    batches = trained_batches(trained, dataset, environment, proposals=proposals)
    indices: list[int] = []
    for batch in batches:
        indices += batch.indices
        batch = batch.to(device)
        features = detector.features(batch)
        for key, task in tasks.items():
            images = [task.detections[index] for index in batch.indices]
            images = refine_images(detector, features, batch, images, task.refinement)
            add_images(results[key], detector, features, batch, images)
    places = joined_lists(indices)
    return {key: images_in_order(row, places) for key, row in results.items()}


def images_in_order(row: RowDetections, indices: Sequence[int]) -> RowDetections:
    """The detections of a row from all processes, in the order of the data set.

    Args:
        row: of the images of this process.
        indices: where each image of all processes belongs.
    """
    return RowDetections(
        detections=in_order(joined_lists(row.detections), indices),
        segments=None if row.segments is None else in_order(joined_lists(row.segments), indices),
        unvoted=None if row.unvoted is None else in_order(joined_lists(row.unvoted), indices),
    )


def no_detections(*, with_masks: bool) -> RowDetections:
    """The detections of no image."""
    return RowDetections(detections=[], segments=[] if with_masks else None)


def add_images(
    results: RowDetections,
    detector: Detector,
    features: Features,
    batch: Batch,
    detections: list[Detections],
) -> None:
    """Appends the detections of a batch, on the CPU, and their masks where these are kept."""
    if results.segments is not None:
        assert detector.mask is not None
        detections = detector.mask.masks(features, batch, detections)
        for image, size in zip(detections, batch.original_sizes, strict=True):
            results.segments.append(encoded_masks(image, size))
    results.detections.extend(replace(image, masks=None).to("cpu") for image in detections)


def refine_images(
    detector: Detector,
    features: Features,
    batch: Batch,
    detections: Sequence[Detections],
    refinement: Refinement | None,
) -> list[Detections]:
    """``refine_image`` for each image of a batch, on the device; None: they stay as they are."""
    images = [image.to(batch.images.device) for image in detections]
    if refinement is None:
        return images
    return [
        refine_image(detector, features, batch, index, image, refinement)
        for index, image in enumerate(images)
    ]


def refine_image(
    detector: Detector,
    features: Features,
    batch: Batch,
    index: int,
    image: Detections,
    refinement: Refinement,
) -> Detections:
    """The detections of image ``index``, the best ``most_boxes`` moved, best score first."""
    count = min(refinement.most_boxes, len(image.scores))
    order = torch.arange(len(image.scores), device=image.scores.device)
    best, rest = order[:count], order[count:]
    predicted_iou = iou_function(detector, features, batch, index, image.labels[best])
    boxes, iou = refine(image.boxes[best], predicted_iou, refinement)
    scores = image.scores
    if refinement.multiply_score:
        scores = torch.cat([scores[best] * iou.clamp(0, 1), scores[rest]])
    order = scores.argsort(descending=True, stable=True)
    moved = replace(image, boxes=torch.cat([boxes, image.boxes[rest]]), scores=scores)
    columns = {name: None if value is None else value[order] for name, value in vars(moved).items()}
    return Detections(**columns)  # type: ignore[arg-type]


def iou_function(
    detector: Detector, features: Features, batch: Batch, index: int, labels: Tensor
) -> Callable[[Tensor], Tensor]:
    """The IoU that the IoU head predicts for boxes of image ``index``, as a function of the boxes.

    Args:
        detector: with an IoU head.
        features: of the batch.
        batch: the images.
        index: which of them.
        labels: (D,) i64, the class of each box.
    """
    branch = detector.iou
    if branch is None:
        raise ValueError("This network has no IoU head; use a run whose name ends in _iou.")
    return lambda boxes: branch.predict(features, batch, index, boxes, labels)


def encoded_masks(image: Detections, size: tuple[int, int]) -> list[Rle]:
    """The masks of an image's detections, cut at 1/2, as RLEs of the image's size."""
    assert image.masks is not None
    return encode_masks(paste_masks(image.masks, image.boxes, size))
