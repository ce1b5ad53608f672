"""What a run's first stage is trained on, counted from the labels of its training images.

No network is trained or run: anchors, labels and sizes are all there is to it.
"""

import statistics
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from data.config import DataConfig
from data.errors import DataError
from data.loader import usable_images
from data.reader import training_target
from data.records import Dataset, Target
from data.sampler import spread_evenly
from data.transforms import padded_size, resized_size, scale_target
from experiments.records import Run
from models.build import build_backbone
from models.build_rpn import build_rpn
from models.matching import NEGATIVE, POSITIVE
from models.rpn import RegionProposalNetwork
from scripts.engine.environment import Environment, open_dataset, scaled_run
from scripts.engine.places import find_run


@dataclass(frozen=True, kw_only=True)
class ImageCounts:
    """One training image: objects, and its anchors before any is sampled.

    positives: of each level, fine to coarse. sides: sqrt(width * height) of each object, network
    px.
    """

    positives: tuple[int, ...]
    negatives: int
    sides: tuple[float, ...]


@dataclass(frozen=True, kw_only=True)
class Shares:
    """The counts of all images together.

    sampled: anchors an image that are trained on. positive: of these, positive ones (at most
    ``positive_share`` of them), the mean over images. positive_share: ``positive`` / ``sampled``,
    percent. without: images in which no anchor is positive, percent. levels: positive anchors an
    image of each level before sampling. side_quartiles: of the objects' sides, network px.
    """

    images: int
    objects: float
    anchors: float
    sampled: float
    positive: float
    positive_share: float
    without: float
    levels: tuple[float, ...]
    anchor_sizes: tuple[float, ...]
    side_quartiles: tuple[float, float, float]


def count_shares(name: str, environment: Environment, images: int | None) -> Shares:
    """The shares of the run "paper/run" at the scale and on the data of the command.

    Args:
        name: of a run with a first stage of its own.
        environment: of the command.
        images: how many training images, spread evenly over all; None: all.

    Raises:
        ValueError: a run without a first stage, or images without a single object (DataError).
    """
    run = scaled_run(find_run(name), environment)
    if run.model.rpn.kind == "saved":
        raise ValueError(f"{name} learns from saved proposals; it has no anchors to count.")
    dataset = open_dataset(run, environment, run.data.train)
    shapes = FeatureShapes(run)
    counts = [
        image_counts(shapes, target.boxes, size, run.data.size_divisor)
        for target, size in training_targets(dataset, run.data, images)
    ]
    return summarized(counts, run)


def training_targets(
    dataset: Dataset, config: DataConfig, images: int | None
) -> Iterator[tuple[Target, tuple[int, int]]]:
    """What training uses of each image at the config's short side, without opening the image.

    Args:
        dataset: of the training splits.
        config: sizes, and which annotations count.
        images: how many, spread evenly over all that are used; None: all.

    Yields:
        the target in network px, and the image's (height, width) without padding.
    """
    usable = usable_images(dataset, config)
    long_side = config.train_long_side or config.long_side
    for index in spread_evenly(usable, len(usable) if images is None else images):
        original = dataset.sizes[index]
        network = resized_size(original, config.short_side, long_side)
        target = training_target(dataset.target(index), config)
        yield scale_target(target, original, network), network


class FeatureShapes:
    """The anchors of a run for images of any size; the backbone is run without data."""

    def __init__(self, run: Run) -> None:
        with torch.device("meta"):
            self.backbone = build_backbone(
                run.model.backbone, conv5_head=run.model.roi.head == "conv5"
            ).eval()
        rpn = build_rpn(run.model.rpn, 1, self.backbone.strides)
        assert isinstance(rpn, RegionProposalNetwork)
        self.rpn = rpn
        self.anchors: dict[tuple[int, int], tuple[Tensor, ...]] = {}

    def of(self, size: tuple[int, int]) -> tuple[Tensor, ...]:
        """The anchors (A, 4) of each level of an image padded to (height, width) px."""
        if size not in self.anchors:
            with torch.device("meta"), torch.no_grad():
                maps = self.backbone(torch.empty(1, 3, *size))
            features = [torch.empty(1, 1, *level.shape[-2:]) for level in maps]
            self.anchors[size] = self.rpn.anchors(features, size)
        return self.anchors[size]


def image_counts(
    shapes: FeatureShapes, boxes: Tensor, size: tuple[int, int], divisor: int
) -> ImageCounts:
    """The counts of one image.

    Args:
        shapes: of the run.
        boxes: its objects (G, 4), network px.
        size: (height, width), network px.
        divisor: images are padded to a multiple of it.
    """
    levels = shapes.of(padded_size(size, divisor))
    labels, _ = shapes.rpn.labels(torch.cat(levels), boxes, size)
    positives = [int((part == POSITIVE).sum()) for part in labels.split([*map(len, levels)])]
    sides = (boxes[:, 2:] - boxes[:, :2]).prod(1).sqrt()
    return ImageCounts(
        positives=tuple(positives),
        negatives=int((labels == NEGATIVE).sum()),
        sides=tuple(sides.tolist()),
    )


def summarized(counts: list[ImageCounts], run: Run) -> Shares:
    """The means over images.

    Raises:
        DataError: they are without objects.
    """
    if not any(image.sides for image in counts):
        raise DataError(
            f"The {len(counts)} counted training images of {run.name} have no objects to count;"
            " count more images, or leave those without objects out."
        )
    rpn = run.model.rpn
    most = int(rpn.anchors_per_image * rpn.positive_share)
    positive = [min(most, sum(image.positives)) for image in counts]
    sampled = [
        min(rpn.anchors_per_image, taken + image.negatives)
        for taken, image in zip(positive, counts, strict=True)
    ]
    sides = [side for image in counts for side in image.sides]
    first, median, third = statistics.quantiles(sides, n=4) if len(sides) > 1 else sides * 3
    return Shares(
        images=len(counts),
        objects=len(sides) / len(counts),
        anchors=statistics.fmean(sum(image.positives) + image.negatives for image in counts),
        sampled=statistics.fmean(sampled),
        positive=statistics.fmean(positive),
        positive_share=100 * sum(positive) / sum(sampled),
        without=100 * positive.count(0) / len(counts),
        levels=tuple(map(statistics.fmean, zip(*[c.positives for c in counts], strict=True))),
        anchor_sizes=rpn.anchor_sizes,
        side_quartiles=(first, median, third),
    )  # fmt: skip
