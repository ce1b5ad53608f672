"""From an image to the input of the dense part, as data/transforms.py does it."""

import numpy as np

from scripts.engine.export.runner.arrays import Bytes, Floats, Indices, floats
from scripts.engine.export.runner.description import Input

Size = tuple[int, int]  # (height, width) px


def network_input(image: Bytes, config: Input) -> tuple[Floats, Size]:
    """The input (1, 3, H, W) of an image (h, w, 3) uint8 RGB, and its size in it without padding.

    Raises:
        ValueError: it is no such image, or the dense part does not take its size.
    """
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8 or not image.size:
        raise ValueError(
            f"An image is RGB as an array (height, width, 3) of uint8, not {image.shape} of "
            f"{image.dtype}."
        )
    size = resized_size((image.shape[0], image.shape[1]), config)
    pixels = resize(image.astype(np.float32), size)[..., list(config.order)]
    pixels = (pixels - floats(config.mean)) / floats(config.std)
    height, width = padded_size(size, config)
    padded = np.zeros((1, 3, height, width), np.float32)
    padded[0, :, : size[0], : size[1]] = pixels.transpose(2, 0, 1)
    return padded, size


def resized_size(size: Size, config: Input) -> Size:
    """The size whose short side is that of ``config``, or less so that the long side fits."""
    scale = config.short_side / min(size)
    if config.long_side is not None:
        scale = min(scale, config.long_side / max(size))
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))


def padded_size(size: Size, config: Input) -> Size:
    """The size of the input: the fixed one, or the next multiple of the divisor.

    Raises:
        ValueError: the resized image is larger than the fixed size, or too small without one.
    """
    fixed = config.fixed_size
    if fixed is None:
        height, width = (-(-side // config.divisor) * config.divisor for side in size)
        if min(height, width) < config.least_side:
            raise ValueError(
                f"The image is {height} x {width} px for the network, and a dense part for images "
                f"of any size needs {config.least_side} px a side; export it with --size."
            )
        return height, width
    if size[0] > fixed[0] or size[1] > fixed[1]:
        raise ValueError(
            f"The image is {size[0]} x {size[1]} px for the network, and the dense part takes "
            f"{fixed[0]} x {fixed[1]}; export it with a larger --size, or without."
        )
    return fixed


def resize(image: Floats, size: Size) -> Floats:
    """Image (h, w, 3) at ``size``: bilinear between pixel centers, not antialiased."""
    if image.shape[:2] == size:
        return image
    top, bottom, down = neighbors(image.shape[0], size[0])
    left, right, across = neighbors(image.shape[1], size[1])
    across = across[:, None]
    columns = image[:, left] * (1 - across) + image[:, right] * across
    down = down[:, None, None]
    return floats(columns[top] * (1 - down) + columns[bottom] * down)


def neighbors(old: int, new: int) -> tuple[Indices, Indices, Floats]:
    """For each of ``new`` pixels of a side the two old pixels around its center, and the share of
    the second."""
    center = (np.arange(new, dtype=np.float32) + np.float32(0.5)) * np.float32(old / new)
    center = np.maximum(center - np.float32(0.5), 0)
    low = np.minimum(center.astype(np.int64), old - 1)
    return low, np.minimum(low + 1, old - 1), center - low.astype(np.float32)
