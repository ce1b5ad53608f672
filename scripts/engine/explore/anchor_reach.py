"""Counts which training objects the anchors of a run reach; no network is trained or run."""

import torch

from data.records import Dataset, Target
from data.scoring.anchor_reach import ObjectReach, joined, reach_of
from data.transforms import padded_size
from experiments.records import Run
from models.matching import POSITIVE, iou_by_objects
from scripts.engine.explore.shares import (
    FeatureShapes,
    ImageCounts,
    Shares,
    image_counts,
    summarized,
    training_targets,
)


def count_reach(run: Run, dataset: Dataset, images: int | None) -> tuple[ObjectReach, Shares]:
    """The objects that training uses with what anchors make of them, and the run's shares.

    Args:
        run: with a first stage of its own; at its scale.
        dataset: of the training splits.
        images: how many, spread evenly over all; None: all.

    Raises:
        DataError: no counted image has an object to train on.
    """
    shapes, divisor = FeatureShapes(run), run.data.size_divisor
    reached: list[ObjectReach] = []
    counts: list[ImageCounts] = []
    for target, size in training_targets(dataset, run.data, images):
        reached.append(reach_of_image(shapes, target, size, divisor))
        counts.append(image_counts(shapes, target.boxes, size, divisor))
    return joined(reached), summarized(counts, run)


def reach_of_image(
    shapes: FeatureShapes, target: Target, size: tuple[int, int], divisor: int
) -> ObjectReach:
    """The objects of one image.

    Args:
        shapes: of the run.
        target: its objects, network px.
        size: (height, width), network px.
        divisor: images are padded to a multiple of it.
    """
    anchors = torch.cat(shapes.of(padded_size(size, divisor)))
    labels, index = shapes.rpn.labels(anchors, target.boxes, size)
    usable = shapes.rpn.usable(anchors, size)
    best = [(iou * usable).amax(dim=1) for _, iou in iou_by_objects(target.boxes, anchors)]
    return reach_of(
        target,
        torch.cat([torch.zeros(0), *best]),
        torch.bincount(index[labels == POSITIVE], minlength=len(target.labels))
        if len(target.labels)
        else index.new_zeros(0),
    )
