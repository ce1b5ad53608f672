"""Gathers what scripts.explore shows of a data set and what training makes of it."""

from collections.abc import Sequence
from dataclasses import dataclass

from data.config import DataConfig
from data.errors import DataError
from data.loader import usable_images, used_images
from data.scoring.anchor_reach import ObjectReach
from scripts.engine.explore.anchor_reach import count_reach
from scripts.engine.explore.explored import Explored, ExploreOptions, chosen_images, open_explored
from scripts.engine.explore.shares import Shares
from scripts.engine.explore.training_pictures import TitledPicture, pictures_of
from scripts.engine.explore.training_sights import training_sight


@dataclass(frozen=True, kw_only=True)
class ShownImage:
    """One image: its file, its pictures, and the counts of its anchors, a line a group."""

    name: str
    pictures: Sequence[TitledPicture]
    anchor_groups: Sequence[str]
    anchor_counts: Sequence[Sequence[int]]


@dataclass(frozen=True, kw_only=True)
class Exploration:
    """Everything that is shown.

    counted: of how many images the counts are. unreadable: a sentence for each chosen image that
    cannot be read.
    """

    explored: Explored
    reach: ObjectReach
    shares: Shares
    facts: Sequence[tuple[str, str]]
    images: Sequence[ShownImage]
    unreadable: Sequence[str]


def explore(options: ExploreOptions) -> Exploration:
    """Counts the objects and looks at the chosen images; those that cannot be read are named.

    Raises:
        ValueError: data, network or options cannot be used.
    """
    explored = open_explored(options)
    dataset, config = explored.dataset, explored.run.data
    chosen = chosen_images(dataset, options.images, usable_images(dataset, config))
    reach, shares = count_reach(explored.run, dataset, options.counted)
    images, unreadable = [], []
    for index in chosen:
        try:
            images.append(shown_image(explored, index))
        except DataError as error:
            unreadable.append(str(error))
    return Exploration(
        explored=explored,
        reach=reach,
        shares=shares,
        facts=facts_of(explored, config),
        images=images,
        unreadable=unreadable,
    )


def shown_image(explored: Explored, index: int) -> ShownImage:
    """One image.

    Raises:
        DataError: it cannot be read.
    """
    sight = training_sight(explored, index)
    return ShownImage(
        name=sight.name,
        pictures=pictures_of(sight, explored.dataset.classes),
        anchor_groups=sight.anchors.names,
        anchor_counts=sight.anchors.counts(),
    )


def facts_of(explored: Explored, config: DataConfig) -> list[tuple[str, str]]:
    """What was looked at, and the settings that matter, in words."""
    rpn, roi = explored.run.model.rpn, explored.run.model.roi
    sizes = ", ".join(f"{size:g}" for size in rpn.anchor_sizes)
    ratios = ", ".join(f"{ratio:g}" for ratio in rpn.anchor_ratios)
    facts = [
        ("run", explored.name),
        ("images", used_images(explored.dataset, config)),
        ("found", "; ".join(explored.sentences)),
        ("in the network", f"short side {sides(config)} px, long side at most "
         f"{config.train_long_side or config.long_side or 'any'} px"),
        ("augmentation", ", ".join(augmentations(config)) or "none"),
        ("anchors", f"{sizes} px, height / width {ratios}; positive from IoU {rpn.positive_iou:g}, "
         f"negative below {rpn.negative_iou:g}; {rpn.anchors_per_image} sampled an image, at most "
         f"{100 * rpn.positive_share:g} % of them positive"),
    ]  # fmt: skip
    if explored.detector.roi is not None:
        rois = (
            f"{roi.rois_per_image} sampled an image, at most {100 * roi.positive_share:g} % of "
            f"them foreground (IoU from {roi.positive_iou:g}); drawn from the proposals of "
            f"{explored.network}, and the labels"
        )
        facts.append(("RoIs", rois))
    return [(term, text) for term, text in facts if text]


def sides(config: DataConfig) -> str:
    """The short sides of training images."""
    return " or ".join(map(str, config.train_short_sides or (config.short_side,)))


def augmentations(config: DataConfig) -> list[str]:
    """What training does to images, in words."""
    parts = ["mirrored with probability 1/2"] if config.flip else []
    if config.scale_jitter is not None:
        parts.append(f"size times {config.scale_jitter[0]:g} to {config.scale_jitter[1]:g}")
    if config.crop < 1:
        parts.append(f"a window of at least {config.crop:g} of each side from half of the images")
    if config.color:
        parts.append(f"colors changed by up to {100 * config.color:g} %")
    return parts
