"""What training does to an image beside the mirror: a window of it, another size, other colors.

The papers' runs do none of it. Each is a field of DataConfig, and every draw is a function of
(seed, epoch, image index), like the mirror's (data/training_batches.py).
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from data.boxes import clip
from data.config import DataConfig
from data.records import Target

CROPPED = 0.5  # share of the images of which a window is taken
GRAY = (0.299, 0.587, 0.114)  # of red, green and blue in the brightness of a pixel
Draw = Callable[[], float]  # the next number in [0, 1)


@dataclass(frozen=True, kw_only=True)
class Window:
    """A part of an image: its left and top edge, width and height, whole px."""

    left: int
    top: int
    width: int
    height: int


@dataclass(frozen=True, kw_only=True)
class ColorFactors:
    """By what brightness, contrast and saturation are multiplied; 1 leaves them."""

    brightness: float
    contrast: float
    saturation: float


def draw_window(config: DataConfig, image: Tensor, target: Target, draw: Draw) -> Window | None:
    """The window of a training image, or None for all of it.

    Half of the images have one. Each of its sides is drawn between ``config.crop`` and 1 of the
    image's, and its place so that the center of one object, drawn from all, is in it.

    Args:
        config: ``crop``.
        image: (3, H, W).
        target: of the image, what training uses.
        draw: the image's own random numbers.
    """
    if config.crop == 1 or draw() >= CROPPED:
        return None
    height, width = image.shape[-2:]
    center: tuple[float | None, float | None] = (None, None)
    if len(target.boxes):
        x1, y1, x2, y2 = target.boxes[int(draw() * len(target.boxes))].tolist()
        center = ((x1 + x2) / 2, (y1 + y2) / 2)
    left, new_width = draw_interval(width, config.crop, center[0], draw)
    top, new_height = draw_interval(height, config.crop, center[1], draw)
    return Window(left=left, top=top, width=new_width, height=new_height)


def draw_interval(side: int, least: float, inside: float | None, draw: Draw) -> tuple[int, int]:
    """(start, length) px of a part of [0, side] that holds the point ``inside``, if there is one.

    Args:
        side: px.
        least: share of ``side`` that the part has at least.
        inside: px; None: the part may lie anywhere.
        draw: random numbers.
    """
    length = max(1, round(side * (least + (1 - least) * draw())))
    first, last = 0, side - length
    if inside is not None:
        first = min(max(first, math.ceil(inside - length)), last)
        last = max(first, min(last, math.floor(inside)))
    return first + int(draw() * (last - first + 1)), length


def crop_image(image: Tensor, window: Window) -> Tensor:
    """The pixels (..., h, w) of an image or of bitmaps (..., H, W) in a window."""
    rows = slice(window.top, window.top + window.height)
    columns = slice(window.left, window.left + window.width)
    return image[..., rows, columns]


def crop_target(target: Target, window: Window) -> Target:
    """The objects whose center is in a window, in its px; boxes and masks end at its edges.

    An object of which the center is outside is left out, so that no label is a sliver: in a window
    of at least half of each side, what stays has at least a quarter of its box.
    """
    centers = (target.boxes[:, :2] + target.boxes[:, 2:]) / 2
    low = centers.new_tensor([window.left, window.top])
    size = centers.new_tensor([window.width, window.height])
    kept = target.select(((centers >= low) & (centers <= low + size)).all(dim=1))
    shift, limits = low.repeat(2), (window.height, window.width)
    clean, masks = kept.clean_boxes, kept.masks
    return replace(
        kept,
        boxes=clip(kept.boxes - shift, limits),
        clean_boxes=None if clean is None else clip(clean - shift, limits),
        masks=None if masks is None else crop_image(masks, window),
    )


def draw_scale(config: DataConfig, draw: Draw) -> float:
    """By what the short side of a training image is multiplied; 1 without ``scale_jitter``."""
    if config.scale_jitter is None:
        return 1.0
    low, high = config.scale_jitter
    return low + (high - low) * draw()


def draw_colors(config: DataConfig, draw: Draw) -> ColorFactors | None:
    """Factors between 1 - ``config.color`` and 1 + ``config.color``; None for 0."""
    if config.color == 0:
        return None
    brightness, contrast, saturation = (1 + config.color * (2 * draw() - 1) for _ in range(3))
    return ColorFactors(brightness=brightness, contrast=contrast, saturation=saturation)


def change_colors(image: Tensor, factors: ColorFactors) -> Tensor:
    """An image (3, H, W) float32 RGB in 0..255 with other brightness, contrast and saturation.

    Contrast is the distance from the image's mean gray, saturation that from each pixel's gray.
    """
    weights = image.new_tensor(GRAY)[:, None, None]
    image = image * factors.brightness
    mean = (weights * image).sum(dim=0).mean()
    image = mean + factors.contrast * (image - mean)
    gray = (weights * image).sum(dim=0)
    image = gray + factors.saturation * (image - gray)
    return torch.clamp(image, 0, 255)
