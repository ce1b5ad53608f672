"""From an image as it is stored to the network's input: mirror, resize, normalize, in this order.

A window (data/augmentation.py) is taken before, colors are changed on the resized pixels.

The mirror comes first because there it moves one byte per color value instead of four. Normalizing
comes last, on fewer or more pixels as the case may be, with the same result: it is affine per
channel, and bilinear weights sum to 1.

The image is resized in float32, as the papers' code does, and keeps its fractions: at 600 px almost
no value of a photo is whole, and rounding to 8 bits would move it by 0.3 of 255 in the mean.
Batches are therefore float32 already when they leave a worker.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn import functional as F

from data.augmentation import ColorFactors, change_colors
from data.boxes import flip_horizontal, resize_boxes
from data.records import Target


@dataclass(frozen=True, kw_only=True)
class PixelConvention:
    """network value = (x[order] - mean) / std, with x the RGB image in 0..255; mean and std in the
    same unit and in the order of the result.
    """

    order: tuple[int, int, int]
    mean: tuple[float, float, float]
    std: tuple[float, float, float]


PIXELS = {
    "torchvision": PixelConvention(  # RGB in 0..1, (0.485, 0.456, 0.406) and (0.229, 0.224, 0.225)
        order=(0, 1, 2), mean=(123.675, 116.28, 103.53), std=(58.395, 57.12, 57.375)
    ),
    "caffe": PixelConvention(  # BGR in 0..255 without a scale: py-faster-rcnn, Detectron
        order=(2, 1, 0), mean=(102.9801, 115.9465, 122.7717), std=(1.0, 1.0, 1.0)
    ),
    "tf": PixelConvention(
        order=(0, 1, 2), mean=(127.5, 127.5, 127.5), std=(127.5, 127.5, 127.5)
    ),  # RGB in -1..1
}


def resized_size(
    size: tuple[int, int], short_side: int, long_side: float | None
) -> tuple[int, int]:
    """(height, width) px whose short side is ``short_side``, or less so that the long side is at
    most ``long_side`` (None: without limit); each side rounded to the nearest px.
    """
    scale = short_side / min(size)
    if long_side is not None:
        scale = min(scale, long_side / max(size))
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))


def resize(image: Tensor, size: tuple[int, int]) -> Tensor:
    """Image (C, H, W) float32 at (height, width) ``size``: bilinear, not antialiased, as cv2 in the
    papers' code.
    """
    if tuple(image.shape[-2:]) == size:
        return image
    # With one thread the values are the same in either order of memory; this one is faster.
    channels_last = image[None].contiguous(memory_format=torch.channels_last)
    return F.interpolate(
        channels_last, size=size, mode="bilinear", align_corners=False, antialias=False
    )[0]


@contextmanager
def one_thread() -> Iterator[None]:
    """Computes with one thread inside, as worker processes do: with several, torch resizes by
    another kernel and sums in another order, and the last digit differs.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def resize_masks(masks: Tensor, size: tuple[int, int]) -> Tensor:
    """Bitmaps (G, H, W) at (height, width) ``size``: each new pixel takes the old one in which its
    center lies.
    """
    old = (masks.shape[-2], masks.shape[-1])
    if old == size:
        return masks
    rows, columns = (
        (2 * torch.arange(new) + 1) * side // (2 * new) for side, new in zip(old, size, strict=True)
    )
    return masks[:, rows][:, :, columns]


def normalize(image: Tensor, convention: PixelConvention) -> Tensor:
    """Network values (3, H, W) of an RGB image (3, H, W) float32 in 0..255."""
    if convention.order != (0, 1, 2):
        image = image[list(convention.order)]
    mean, std = image.new_tensor(convention.mean), image.new_tensor(convention.std)
    return image.sub(mean[:, None, None]).div_(std[:, None, None])


def visible(image: Tensor, convention: PixelConvention) -> Tensor:
    """The RGB image (3, H, W) uint8 of network values (3, H, W): what ``normalize`` was given,
    rounded.
    """
    mean, std = image.new_tensor(convention.mean), image.new_tensor(convention.std)
    values = image * std[:, None, None] + mean[:, None, None]
    values = values[[convention.order.index(channel) for channel in range(3)]]
    return values.round().clamp(0, 255).to(torch.uint8)


def mirror_target(target: Target, width: float) -> Target:
    """The target of the image mirrored left to right; x1 and x2 change places, in sigma_true as
    well.
    """
    clean, sigma, masks = target.clean_boxes, target.sigma_true, target.masks
    return replace(
        target,
        boxes=flip_horizontal(target.boxes, width),
        clean_boxes=None if clean is None else flip_horizontal(clean, width),
        sigma_true=None if sigma is None else sigma[:, [2, 1, 0, 3]],
        masks=None if masks is None else masks.flip(-1),
    )


def scale_target(target: Target, old: tuple[int, int], new: tuple[int, int]) -> Target:
    """The target after its image went from ``old`` to ``new`` (height, width) px, each axis by its
    exact ratio.

    ``area`` stays in original px^2: it decides which of COCO's size classes an object is in.
    """
    clean, sigma, masks = target.clean_boxes, target.sigma_true, target.masks
    return replace(
        target,
        boxes=resize_boxes(target.boxes, old, new),
        clean_boxes=None if clean is None else resize_boxes(clean, old, new),
        sigma_true=None if sigma is None else resize_boxes(sigma, old, new),
        masks=None if masks is None else resize_masks(masks, new),
    )


def boxes_to_network(
    boxes: Tensor, old: tuple[int, int], new: tuple[int, int], *, mirror: bool
) -> Tensor:
    """Boxes (P, 4) of an image that is mirrored if so, and then goes from ``old`` to ``new``
    (height, width) px.
    """
    if mirror:
        boxes = flip_horizontal(boxes, old[1])
    return resize_boxes(boxes, old, new)


@one_thread()
def to_network(
    image: Tensor,
    target: Target | None,
    *,
    short_side: int,
    long_side: float | None,
    pixels: str,
    mirror: bool = False,
    colors: ColorFactors | None = None,
) -> tuple[Tensor, Target | None]:
    """One image and its target as the network sees them.

    Args:
        image: (3, H, W) uint8 RGB in original px.
        target: in original px, or None at test time.
        short_side: length of the short side, network px.
        long_side: limit on the long side, network px; None: no limit.
        pixels: a key of PIXELS.
        mirror: left and right exchanged.
        colors: by what the colors change; None: they stay.

    Returns:
        image (3, h, w) float32 normalized, and the target in network px.
    """
    old = (image.shape[-2], image.shape[-1])
    new = resized_size(old, short_side, long_side)
    if mirror:
        image = image.flip(-1)
        target = None if target is None else mirror_target(target, old[1])
    resized = resize(image.float(), new)
    if colors is not None:
        resized = change_colors(resized, colors)
    result = normalize(resized, PIXELS[pixels])
    return result, None if target is None else scale_target(target, old, new)


def padded_size(size: tuple[int, int], divisor: int) -> tuple[int, int]:
    """(height, width) px, each rounded up to a multiple of ``divisor``."""
    height, width = (-(-side // divisor) * divisor for side in size)
    return height, width


def pad(images: Sequence[Tensor], divisor: int = 1) -> Tensor:
    """Images (3, h, w) as one batch (N, 3, H, W), zeros right and below, H and W multiples of
    ``divisor``.
    """
    tallest, widest = (max(image.shape[axis] for image in images) for axis in (-2, -1))
    height, width = padded_size((tallest, widest), divisor)
    batch = images[0].new_zeros(len(images), 3, height, width)
    for row, image in zip(batch, images, strict=True):
        row[:, : image.shape[-2], : image.shape[-1]] = image
    return batch
