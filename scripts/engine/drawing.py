"""Draws detections onto an image: boxes, sigmas as bands along the sides, masks."""

import colorsys
from collections.abc import Iterator, Sequence
from typing import Any

from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from data.formats.masks import decode_masks

Color = tuple[int, int, int]

MASK_OPACITY = 100  # of 255
BAND_OPACITY = 90  # of 255
SHORTEST_OVERLAY = 480  # px: a smaller image is enlarged, so that the labels can be read
LARGEST_PLAIN = 1000  # px: of a larger image, lines and labels grow with its longer side
# px, of an image up to that size
FONT_SIZE = 12
LABEL_HEIGHT = 15  # above the box
LINE_WIDTH = 2


def overlay(
    image: Tensor, lines: Sequence[dict[str, Any]], classes: Sequence[str] = ()
) -> Image.Image:
    """An image with its detections drawn onto it, the best one on top.

    Args:
        image: (3, H, W) uint8, RGB.
        lines: the detections as ``detections_as_lines`` gives them, best first.
        classes: each of them has a color; without classes each detection has one of its own.
    """
    picture = Image.fromarray(image.permute(1, 2, 0).numpy())
    factor = max(1, -(-SHORTEST_OVERLAY // max(picture.size)))
    picture = picture.resize((picture.width * factor, picture.height * factor)).convert("RGBA")
    size = (image.shape[-2], image.shape[-1])
    places = [classes.index(line["class"]) if classes else k for k, line in enumerate(lines)]
    tinted = [*zip(lines, map(color, places), strict=True)][::-1]
    for line, tint in tinted:
        if "mask" in line:
            draw_mask(picture, line["mask"], size, tint)
    for line, tint in tinted:
        draw_box(picture, line, factor, tint)
    return picture.convert("RGB")


def draw_mask(picture: Image.Image, mask: Any, size: tuple[int, int], tint: Color) -> None:
    """Draws the RLE of an image of ``size``, (height, width) px, enlarged with the picture."""
    bitmap = decode_masks([mask], size)[0] * MASK_OPACITY
    shape = Image.fromarray(bitmap.numpy()).resize(picture.size, Image.Resampling.NEAREST)
    picture.paste((*tint, 255), mask=shape)


def draw_box(picture: Image.Image, line: dict[str, Any], factor: int, tint: Color) -> None:
    """Draws one detection: a band of one sigma along each side, the box, class and score."""
    box = [value * factor for value in line["box"]]
    if line["sigma"] is not None:
        bands = Image.new("RGBA", picture.size)
        for band in side_bands(box, [value * factor for value in line["sigma"]]):
            ImageDraw.Draw(bands).rectangle(band, fill=(*tint, BAND_OPACITY))
        picture.alpha_composite(bands)
    grown = max(1.0, max(picture.size) / LARGEST_PLAIN)
    font = ImageFont.load_default(size=round(FONT_SIZE * grown))
    pen = ImageDraw.Draw(picture)
    pen.rectangle(box, outline=(*tint, 255), width=round(LINE_WIDTH * grown))
    corner = (box[0], max(0.0, box[1] - LABEL_HEIGHT * grown))
    text = f"{line['class']} {line['score']:.2f}"
    pen.rectangle(pen.textbbox(corner, text, font=font), fill=(*tint, 255))
    pen.text(corner, text, fill=(0, 0, 0, 255), font=font)


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
