"""The page of scripts.explore: what a data set holds, and what training makes of it."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

from data.scoring.anchor_reach import (
    ObjectReach,
    Unreached,
    octave_edges,
    unreached,
    unreached_by_class,
    unreached_by_side,
)
from scripts.reports.page.plots import Labels, bar_plot, histogram, jpeg
from scripts.reports.page.rendered import SectionsPage, rendered, write_html
from scripts.reports.page.views import Part, PictureView, Section, TableView, anchor, plain
from scripts.reports.results import Cell
from scripts.reports.shown import Grid, Item, Shown

SHOWN_CLASSES = 25  # in the plot: those with the most objects; the table has all
SOURCE = "labels"  # where the counts are from
ANCHOR_COLUMNS = (
    "inside the image",
    "positive",
    "of these sampled",
    "negative, sampled",
    "ignored: overlap",
    "crossing the boundary",
)
REACH_NOTE = (
    "**below**: objects that no anchor overlaps enough to be positive by the threshold. "
    "**without**: objects that have no positive anchor at all. The anchors that overlap an object "
    "most are positive too (low-quality matches), but each anchor learns the object that it "
    "overlaps most itself, and of two objects in one place that is one."
)


@dataclass(frozen=True, kw_only=True)
class ImageView:
    """One image: its file, its pictures with their captions, its anchors by level or size."""

    name: str
    pictures: Sequence[tuple[Image.Image, str]]
    anchor_groups: Sequence[str]
    anchor_counts: Sequence[Sequence[int]]


@dataclass(frozen=True, kw_only=True)
class ExploreReport:
    """What is shown.

    data: what the images are called. facts: (term, text). classes: names of the labels 1..K.
    reach: the objects, of ``counted`` images. positives: positive anchors an image among the
    sampled; percent: their share of the sampled. anchor_sizes, anchor_ratios: of the run.
    positive_iou: from which an anchor is positive. unreadable: a sentence for each image that is
    not shown.
    """

    data: str
    facts: Sequence[tuple[str, str]]
    classes: Sequence[str]
    reach: ObjectReach
    positives: float
    percent: float
    anchor_sizes: Sequence[float]
    anchor_ratios: Sequence[float]
    positive_iou: float
    images: Sequence[ImageView]
    unreadable: Sequence[str]


def write_explore(report: ExploreReport, path: Path) -> str:
    """Writes the page; returns what is to be printed."""
    size = write_html(path, rendered("sections.html", page_of(report)))
    lines = [f"not shown: {sentence}" for sentence in report.unreadable]
    return "\n".join(
        [
            *lines,
            reach_sentence(report),
            f"images shown: {len(report.images)}, {size:.1f} MB -> {path}",
        ]
    )


def page_of(report: ExploreReport) -> SectionsPage:
    """The page."""
    start = (
        "This page shows what a training is fed with: the labels, the images as the network sees "
        "them, the anchors and RoIs that it learns from, and which objects it can hardly learn."
    )
    return SectionsPage(
        title=f"Explored: {report.data}",
        start=plain(start, reach_sentence(report)),
        sections=[settings(report), histograms(report), reach_section(report), pictures(report)],
        warnings=report.unreadable,
        warned="These images cannot be read, so they are missing below.",
    )


def settings(report: ExploreReport) -> Section:
    """What was looked at."""
    part = Part(anchor="facts", title="", facts=report.facts)
    return Section(anchor="what", title="What was looked at", parts=[part])


def reach_sentence(report: ExploreReport) -> str:
    """How many objects no anchor reaches."""
    everything = torch.ones_like(report.reach.labels, dtype=torch.bool)
    total = unreached(report.reach, everything, "all", report.positive_iou)
    count = max(1, total.objects)
    return (
        f"Of {total.objects:,} objects in {len(report.reach.per_image):,} training images "
        f"{100 * total.below / count:.1f} % are reached by no anchor at IoU "
        f"{report.positive_iou:g}, and {100 * total.without / count:.1f} % have no positive anchor "
        f"even with low-quality matches. {report.positives:.1f} sampled anchors an image are "
        f"positive, {report.percent:.1f} % of the sampled."
    )


def histograms(report: ExploreReport) -> Section:
    """Classes, sizes, shapes, and objects an image."""
    reach = report.reach
    part = Part(
        anchor="objects",
        title="",
        pictures=[
            octave_plot(
                reach.sides,
                Labels(title="Size of the objects", x="sqrt(width x height), px", y="objects"),
                "Dashed: the sizes of the anchors.",
                report.anchor_sizes,
            ),
            octave_plot(
                reach.ratios,
                Labels(title="Shape of the objects", x="height / width", y="objects"),
                "Dashed: the shapes of the anchors.",
                report.anchor_ratios,
            ),
            per_image_plot(reach.per_image),
            class_plot(report),
        ],
    )
    text = "Objects that training uses; sizes are those in the network without size augmentation."
    return Section(anchor="histograms", title="The objects", text=plain(text), parts=[part])


def class_plot(report: ExploreReport) -> PictureView:
    """How many objects each class has; the classes without any are named."""
    labels = report.reach.labels
    counts = torch.bincount(labels, minlength=len(report.classes) + 1)[1:].tolist()
    order = sorted(range(len(counts)), key=lambda k: -counts[k])[:SHOWN_CLASSES]
    more = len(counts) - len(order)
    title = f"The {len(order)} most frequent classes" if more > 0 else "Classes"
    empty = [name for name, count in zip(report.classes, counts, strict=True) if not count]
    none = f" Without any: {', '.join(empty)}." if empty else ""
    return bar_plot(
        {report.classes[k]: [Cell(mean=float(counts[k]), spread=None)] for k in order},
        [f"{counts[k]:,}" for k in order],
        ["objects"],
        Labels(title=title, x="objects"),
        f"Objects of each class.{none}",
    )


def octave_plot(
    values: Tensor, labels: Labels, caption: str, marks: Sequence[float]
) -> PictureView:
    """A histogram of positive values whose bins grow by a factor."""
    known = values[values.isfinite() & (values > 0)]
    edges = octave_edges(known)
    counts = torch.histogram(known.float(), torch.tensor(edges)).hist.tolist()
    return histogram(edges, counts, labels, caption, marks)


def per_image_plot(per_image: Tensor) -> PictureView:
    """How many objects an image has."""
    counts = torch.bincount(per_image).tolist()
    edges = [place - 0.5 for place in range(len(counts) + 1)]
    mean = float(per_image.double().mean())
    labels = Labels(title="Objects an image", x="objects", y="images")
    return histogram(edges, counts, labels, f"{mean:.1f} in the mean.")


def reach_section(report: ExploreReport) -> Section:
    """Which objects no anchor reaches, by size and by class."""
    iou = report.positive_iou
    tables = [
        TableView(
            caption="By size, sqrt(width x height) in the network",
            grid=reach_grid("size", unreached_by_side(report.reach, iou)),
        ),
        TableView(
            caption="By class",
            grid=reach_grid("class", unreached_by_class(report.reach, report.classes, iou)),
        ),
    ]
    return Section(
        anchor="reach",
        title="Objects that no anchor reaches",
        text=plain(REACH_NOTE),
        tables=tables,
    )


def reach_grid(heading: str, kinds: Sequence[Unreached]) -> Grid:
    """One line a kind of object."""
    header = [heading, "objects", "below, %", "without, %", "below", "without"]
    lines: list[list[Item]] = [
        [
            kind.name,
            number(kind.objects),
            number(100 * kind.below / kind.objects, 1),
            number(100 * kind.without / kind.objects, 1),
            number(kind.below),
            number(kind.without),
        ]
        for kind in kinds
    ]
    return Grid(header=header, lines=lines)


def number(value: float, digits: int = 0) -> Shown:
    """A number that was counted."""
    cell = Cell(mean=value, spread=None, origin=SOURCE)
    return Shown(text=f"{value:,.{digits}f}", cell=cell)


def pictures(report: ExploreReport) -> Section:
    """The images, one part each."""
    text = (
        "The versions, anchors and RoIs are drawn as training draws them. White boxes are objects; "
        "the other colors are explained below each picture."
    )
    parts = [image_part(place, image) for place, image in enumerate(report.images, start=1)]
    return Section(anchor="images", title="Images", text=plain(text), parts=parts)


def image_part(place: int, image: ImageView) -> Part:
    """One image."""
    grid = Grid(
        header=["anchors", *ANCHOR_COLUMNS],
        lines=[
            [name, *map(number, counts)]
            for name, counts in zip(image.anchor_groups, image.anchor_counts, strict=True)
        ],
    )
    return Part(
        anchor=anchor("image", str(place)),
        title=image.name,
        pictures=[
            jpeg(picture, f"{image.name}: {caption}", caption)
            for picture, caption in image.pictures
        ],
        tables=[TableView(caption="The anchors of version 1", grid=grid, closed=True)],
        listed=image.name,
    )
