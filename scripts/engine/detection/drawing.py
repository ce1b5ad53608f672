"""Draws detections onto an image: boxes, sigmas as bands along the sides, masks, labels."""

import colorsys
from collections.abc import Iterator, Sequence
from typing import Any

from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from data.augmentation import GRAY
from data.formats.masks import decode_masks
from scripts.engine.detection.labels import place_labels

Color = tuple[int, int, int]

MASK_OPACITY = 100  # of 255
BAND_OPACITY = 90  # of 255
SHORTEST_OVERLAY = 480  # px: a smaller image is enlarged, so that the labels can be read
LARGEST_PLAIN = 1000  # px: of a larger image, lines and labels grow with its longer side
# px, of an image up to that size
FONT_SIZE = 12
LABEL_HEIGHT = 15
PALE: Color = (250, 250, 250)  # letters on a dark label
DARK = 110  # of 255: a label that is darker has white letters
LABEL_MARGIN = 2  # left and right of the text
LINE_WIDTH = 2


def overlay(
    image: Tensor, lines: Sequence[dict[str, Any]], classes: Sequence[str] = ()
) -> Image.Image:
    """An image with its detections drawn onto it, the best one on top.

    A label that has no room beside those of better detections is left out.

    Args:
        image: (3, H, W) uint8, RGB.
        lines: the detections as ``detections_as_lines`` gives them, best first; a score of None is
            not written.
        classes: each of them has a color; without classes each detection has one of its own.
    """
    places = [classes.index(line["class"]) if classes else k for k, line in enumerate(lines)]
    return tinted_overlay(image, [*zip(lines, map(color, places), strict=True)])


def tinted_overlay(image: Tensor, tinted: Sequence[tuple[dict[str, Any], Color]]) -> Image.Image:
    """``overlay`` of detections that each have their color."""
    picture = Image.fromarray(image.permute(1, 2, 0).numpy())
    factor = max(1, -(-SHORTEST_OVERLAY // max(picture.size)))
    picture = picture.resize((picture.width * factor, picture.height * factor)).convert("RGBA")
    size = (image.shape[-2], image.shape[-1])
    for line, tint in reversed(tinted):
        if "mask" in line:
            draw_mask(picture, line["mask"], size, tint)
    for line, tint in reversed(tinted):
        draw_box(picture, line, factor, tint)
    draw_labels(picture, tinted, factor)
    return picture.convert("RGB")


def draw_mask(picture: Image.Image, mask: Any, size: tuple[int, int], tint: Color) -> None:
    """Draws the RLE of an image of ``size``, (height, width) px, enlarged with the picture."""
    bitmap = decode_masks([mask], size)[0] * MASK_OPACITY
    shape = Image.fromarray(bitmap.numpy()).resize(picture.size, Image.Resampling.NEAREST)
    picture.paste((*tint, 255), mask=shape)


def draw_box(picture: Image.Image, line: dict[str, Any], factor: int, tint: Color) -> None:
    """Draws one detection: a band of one sigma along each side, and the box."""
    box = [value * factor for value in line["box"]]
    if line["sigma"] is not None:
        for band in side_bands(box, [value * factor for value in line["sigma"]]):
            draw_band(picture, band, tint)
    width = round(LINE_WIDTH * growth(picture))
    ImageDraw.Draw(picture).rectangle(box, outline=(*tint, 255), width=width)


def draw_band(picture: Image.Image, band: tuple[float, float, float, float], tint: Color) -> None:
    """Draws a translucent rectangle, where it lies in the picture."""
    left, top = max(0, round(band[0])), max(0, round(band[1]))
    right, bottom = min(picture.width, round(band[2]) + 1), min(picture.height, round(band[3]) + 1)
    if right > left and bottom > top:
        layer = Image.new("RGBA", (right - left, bottom - top), (*tint, BAND_OPACITY))
        picture.alpha_composite(layer, (left, top))


def draw_labels(
    picture: Image.Image, tinted: Sequence[tuple[dict[str, Any], Color]], factor: int
) -> None:
    """Writes class and score at each detection, the best first, where no label is yet."""
    grown = growth(picture)
    font = ImageFont.load_default(size=round(FONT_SIZE * grown))
    margin, height = LABEL_MARGIN * grown, LABEL_HEIGHT * grown
    pen = ImageDraw.Draw(picture)
    texts = [label_of(line) for line, _ in tinted]
    sizes = [(pen.textlength(text, font=font) + 2 * margin, height) for text in texts]
    boxes = [[value * factor for value in line["box"]] for line, _ in tinted]
    places = place_labels(boxes, sizes, picture.size)
    for text, place, (_, tint) in zip(texts, places, tinted, strict=True):
        if place is not None:
            pen.rectangle(place, fill=(*tint, 255))
            middle = (place[0] + margin, (place[1] + place[3]) / 2)
            pen.text(middle, text, fill=ink_on(tint), font=font, anchor="lm")


def ink_on(tint: Color) -> Color:
    """Black or nearly white, whichever is read more easily on a color."""
    brightness = sum(weight * value for weight, value in zip(GRAY, tint, strict=True))
    return (0, 0, 0) if brightness > DARK else PALE


def label_of(line: dict[str, Any]) -> str:
    """Class and score of a detection; the class of an object."""
    return line["class"] if line["score"] is None else f"{line['class']} {line['score']:.2f}"


def growth(picture: Image.Image) -> float:
    """How much larger lines and labels are than in a small picture."""
    return max(1.0, max(picture.size) / LARGEST_PLAIN)


def side_bands(
    box: Sequence[float], sigma: Sequence[float]
) -> Iterator[tuple[float, float, float, float]]:
    """For each side of a box (x1, y1, x2, y2) the rectangle of one sigma to both sides of it."""
    x1, y1, x2, y2 = box
    for x, s in ((x1, sigma[0]), (x2, sigma[2])):
        yield x - s, y1, x + s, y2
    for y, s in ((y1, sigma[1]), (y2, sigma[3])):
        yield x1, y - s, x2, y + s


def color(index: int) -> Color:
    """A bright color for an object or class; neighbors differ: the steps are the golden ratio."""
    red, green, blue = colorsys.hsv_to_rgb(index * 0.618 % 1, 0.9, 1.0)
    return round(255 * red), round(255 * green), round(255 * blue)
