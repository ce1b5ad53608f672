"""Draws what training makes of an image: labels, versions, anchors, RoIs, a picture each."""

from collections.abc import Sequence
from dataclasses import dataclass

from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from scripts.engine.detection.drawing import Color, color, tinted_overlay
from scripts.engine.explore.training_sights import AnchorSight, RoISight, TrainingSight, Version
from scripts.engine.tensorboard.sight_pictures import (
    GREEN,
    ORANGE,
    WHITE,
    at_one_size,
    outlined,
    picture_of_image,
    target_lines,
)

LONGER_SIDE = 480  # px of each picture: the width of a phone, at which text is readable
GRAY: Color = (170, 170, 170)
GROUND: Color = (40, 44, 52)  # of a legend: dark, so that white marks are seen
RED: Color = (255, 70, 70)
DARKER = 0.5
LEGEND_FONT, LEGEND_LINE, MARK = 12, 18, 10  # px


@dataclass(frozen=True, kw_only=True)
class TitledPicture:
    """A picture, and what it shows."""

    picture: Image.Image
    caption: str


def pictures_of(sight: TrainingSight, classes: Sequence[str]) -> list[TitledPicture]:
    """All pictures of an image, in the order in which training makes them.

    Args:
        sight: of the image.
        classes: the names of the labels 1..K.
    """
    first = sight.versions[0]
    pictures = [truth_picture(sight, classes)]
    pictures += [
        version_picture(version, number, classes)
        for number, version in enumerate(sight.versions, start=1)
    ]
    pictures += [sampled_picture(first, sight.anchors), ignored_picture(first, sight.anchors)]
    if sight.rois is not None:
        pictures.append(roi_picture(first, sight.rois))
    return pictures


def truth_picture(sight: TrainingSight, classes: Sequence[str]) -> TitledPicture:
    """The labels in the image as it is stored; those that are not trained on are gray."""
    target = sight.sample.target
    image, factor = at_one_size(sight.sample.image, LONGER_SIDE)
    marks = zip(target.crowd.tolist(), target.difficult.tolist(), strict=True)
    lines, tints = target_lines(target, classes, factor), []
    for line, mark, trained, label in zip(
        lines, marks, sight.trained.tolist(), target.labels.tolist(), strict=True
    ):
        line["class"] = ", ".join([line["class"], *kinds(*mark, trained=trained)])
        tints.append(color(label - 1) if trained else GRAY)
    bands = "" if target.sigma_true is None else "; bands: the true sigma of each side's label"
    unused = int((~sight.trained).sum())
    gray = f"; gray: {unused} not trained on" if unused else ""
    height, width = sight.sample.image.shape[-2:]
    caption = f"Labels, {width} x {height} px{gray}{bands}."
    return TitledPicture(
        picture=tinted_overlay(image, [*zip(lines, tints, strict=True)]), caption=caption
    )


def kinds(crowd: bool, difficult: bool, *, trained: bool) -> list[str]:
    """What is special about an object."""
    named = [name for name, holds in (("crowd", crowd), ("difficult", difficult)) if holds]
    return named if trained else [*named, "ignored"]


def version_picture(version: Version, number: int, classes: Sequence[str]) -> TitledPicture:
    """A version that the network is trained on, with its targets."""
    image, factor = at_one_size(version.image, LONGER_SIDE)
    lines = target_lines(version.target, classes, factor)
    tints = [color(label - 1) for label in version.target.labels.tolist()]
    height, width = version.image.shape[-2:]
    mirrored = ", mirrored" if version.mirrored else ""
    return TitledPicture(
        picture=tinted_overlay(image, [*zip(lines, tints, strict=True)]),
        caption=f"Version {number} in training: {width} x {height} px{mirrored}.",
    )


def sampled_picture(version: Version, anchors: AnchorSight) -> TitledPicture:
    """The sampled anchors: positive ones in the color of their group, negative ones in gray."""
    image, factor = ground_of(version)
    drawn = outlined(image, anchors.boxes[anchors.negative] * factor, GRAY)
    drawn = outlined(drawn, version.target.boxes * factor, WHITE, width=2)
    legend: list[tuple[str, Color]] = []
    for k, name in enumerate(anchors.names):
        chosen = anchors.positive & (anchors.group == k)
        drawn = outlined(drawn, anchors.boxes[chosen] * factor, color(k), width=2)
        if chosen.any():
            legend.append((f"{name}: {int(chosen.sum())} positive", color(k)))
    legend += [("negative", GRAY), ("object", WHITE)]
    positive, negative = int(anchors.positive.sum()), int(anchors.negative.sum())
    return TitledPicture(
        picture=with_legend(picture_of_image(drawn), legend),
        caption=f"Sampled anchors of version 1: {positive} positive, {negative} negative.",
    )


def ignored_picture(version: Version, anchors: AnchorSight) -> TitledPicture:
    """The anchors that are ignored because they overlap an object, but not enough."""
    image, factor = ground_of(version)
    drawn, legend = image, list[tuple[str, Color]]()
    for k, name in enumerate(anchors.names):
        chosen = anchors.between & (anchors.group == k)
        drawn = outlined(drawn, anchors.boxes[chosen] * factor, color(k))
        if chosen.any():
            legend.append((f"{name}: {int(chosen.sum())}", color(k)))
    drawn = outlined(drawn, version.target.boxes * factor, WHITE, width=2)
    crossing = int((~anchors.inside).sum())
    return TitledPicture(
        picture=with_legend(picture_of_image(drawn), [*legend, ("object", WHITE)]),
        caption=f"Ignored anchors: {int(anchors.between.sum())} that overlap an object, but not "
        f"enough. Not drawn: {crossing} that cross the boundary.",
    )


def roi_picture(version: Version, rois: RoISight) -> TitledPicture:
    """The sampled RoIs, each foreground one tied to the object that it moves towards."""
    image, factor = ground_of(version)
    foreground = rois.labels > 0
    drawn = outlined(image, rois.boxes[~foreground] * factor, ORANGE)
    drawn = outlined(drawn, version.target.boxes * factor, WHITE, width=3)
    drawn = outlined(drawn, rois.boxes[foreground] * factor, GREEN, width=1)
    picture = picture_of_image(drawn)
    moves = (rois.boxes[foreground] * factor, rois.target_boxes[foreground] * factor)
    draw_moves(picture, *moves)
    count, background = int(foreground.sum()), int((~foreground).sum())
    themselves = int((rois.boxes == rois.target_boxes)[foreground].all(dim=1).sum())
    legend = [
        (f"foreground: {count}", GREEN),
        (f"background: {background}", ORANGE),
        ("target box", WHITE),
        ("from a corner to its target", RED),
    ]
    return TitledPicture(
        picture=with_legend(picture, legend),
        caption=f"Sampled RoIs: {count} foreground ({themselves} of them the labels themselves), "
        f"{background} background, drawn from {rois.proposals} boxes.",
    )


def ground_of(version: Version) -> tuple[Tensor, float]:
    """The image below many boxes, darkened so that they stand out, and the factor to its size."""
    image, factor = at_one_size(version.image, LONGER_SIDE)
    return (image * DARKER).to(image.dtype), factor


def draw_moves(picture: Image.Image, boxes: Tensor, targets: Tensor) -> None:
    """A line from the corners (x1, y1) and (x2, y2) of boxes (n, 4) to those of their targets."""
    pen = ImageDraw.Draw(picture)
    for box, target in zip(boxes.tolist(), targets.tolist(), strict=True):
        pen.line([*box[:2], *target[:2]], fill=RED, width=2)
        pen.line([*box[2:], *target[2:]], fill=RED, width=2)


def with_legend(picture: Image.Image, entries: Sequence[tuple[str, Color]]) -> Image.Image:
    """A picture with the meaning of its colors below it, as many entries a line as fit."""
    font = ImageFont.load_default(size=LEGEND_FONT)
    places, x, line = [], 4.0, 0
    for text, _ in entries:
        width = MARK + 6 + font.getlength(text) + 12
        if x > 4 and x + width > picture.width:
            x, line = 4.0, line + 1
        places.append((x, line))
        x += width
    sheet = Image.new("RGB", (picture.width, picture.height + LEGEND_LINE * (line + 1) + 4), GROUND)
    sheet.paste(picture, (0, 0))
    pen = ImageDraw.Draw(sheet)
    for (text, tint), (left, row) in zip(entries, places, strict=True):
        middle = picture.height + 2 + LEGEND_LINE * (row + 0.5)
        pen.rectangle((left, middle - MARK / 2, left + MARK, middle + MARK / 2), fill=tint)
        pen.text((left + MARK + 5, middle), text, fill=(255, 255, 255), font=font, anchor="lm")
    return sheet
