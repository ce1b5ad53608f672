"""Rendered scenes whose label noise is known, so that a predicted sigma can be checked.

Scenes hold 2-6 textured objects. Every box side gets independent Gaussian label noise with three causes that can be
seen (KL Loss section 1, Figure 1), each with its own standard deviation in pixels:

    careless   a property of the class       sigma_a = CLASSES[k].careless * length
    occlusion  a later object hides a side   sigma_b = OCCLUSION_SIGMA * hidden fraction of the side * length
    soft       a side fades out over a ramp  sigma_c = SOFT_SIGMA * ramp
    together                                 sigma_true = sqrt(sigma_a^2 + sigma_b^2 + sigma_c^2)

with length the width of the box for x1 and x2 and its height for y1 and y2. The clean box is the extent of the full
shape, hidden and faded parts included. sigma_true is the noise of the label alone: a network that cannot see a hidden
side must also guess where it is. One image is a pure function of (seed, split, index).

Letters: H, W image size in px, h, w size of an object's window, G objects. Boxes are (x1, y1, x2, y2) in px.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from data.mini.appearance import (
    CLASSES,
    Floats,
    Mask,
    background,
    coverage,
    depths,
    fade,
    surface,
    window,
)

Split = Literal["train", "val"]

FIRST_ID: dict[Split, int] = {"train": 1, "val": 100_001}  # VOC keeps all images in one folder: ids must not meet

IMAGE_SIZES = ((160, 208),) * 5 + ((208, 160),) * 2 + ((160, 192), (176, 208), (192, 160))  # (height, width) px
OBJECTS = (2, 6)  # fewest and most objects in a scene
EXTENTS = {"small": (15.0, 31.0), "medium": (33.0, 94.0), "large": (97.0, 116.0)}  # sqrt(w * h) px: COCO's ranges
SHARES = {"small": 0.24, "medium": 0.54, "large": 0.22}
SHORTEST_SIDE = 12.0  # px, of a clean box
OVERLAPPING = 0.35  # probability that an object is put onto a side of another one
PLACES = 40  # trials to find a place for an object
MOST_COVERED = 0.5  # at most this part of a box may lie under the boxes of later objects
MOST_IOU = 0.35  # of two clean boxes: NMS at 0.5 must be able to keep both

OCCLUSION_SIGMA = 0.12  # of the box's length, for a side that is hidden altogether
SOFT_PROBABILITY = 0.35  # that one side of an object fades out
SOFT_RAMP = (0.15, 0.35)  # width of the fading, of the box's length
SOFT_SIGMA = 0.4  # of the ramp
STRIP = 0.125  # "the side" is the part of the shape that lies within this fraction of the length
MARGIN = 3.0  # px between a clean box and the image border, plus BORDER_SIGMAS * sigma
BORDER_SIGMAS = 2.5  # noise may not leave the image, so sigma is at most the room beside the side / BORDER_SIGMAS
SHORTEST_NOISY_SIDE = 4.0  # px


@dataclass(frozen=True, kw_only=True)
class Layout:
    """Where the objects of a scene are, in drawing order (a later one hides an earlier one).

    size (height, width) px; labels (G,) 1..K; clean_boxes (G, 4) px; ramps (G, 4) px: the width over which each side
    fades out, 0 for a hard side.
    """

    size: tuple[int, int]
    labels: NDArray[np.int64]
    clean_boxes: Floats
    ramps: Floats


@dataclass(frozen=True, kw_only=True)
class Scene:
    """One rendered image and its labels.

    image (H, W, 3) uint8 RGB; labels (G,) 1..K; boxes (G, 4) px: the noisy labels; clean_boxes (G, 4) px; sigma_true
    (G, 4) px: the standard deviation that boxes - clean_boxes was drawn with; the causes beside the class: hidden
    (G, 4) 0..1, the part of each side that lies under later objects, and ramps (G, 4) px; visible: for each object the
    pixels of its window (h, w) that show it.
    """

    image: NDArray[np.uint8]
    labels: NDArray[np.int64]
    boxes: Floats
    clean_boxes: Floats
    sigma_true: Floats
    hidden: Floats
    ramps: Floats
    visible: tuple[Mask, ...]


def _lengths(boxes: Floats) -> Floats:
    """(w, h, w, h) px of boxes (..., 4): the length that each side's noise is relative to."""
    return np.tile(boxes[..., 2:] - boxes[..., :2], 2)


def _room(boxes: Floats, size: tuple[int, int]) -> Floats:
    """Distance (..., 4) px of each side of boxes (..., 4) from the image border that it faces."""
    height, width = size
    return np.concatenate([boxes[..., :2], np.array([width, height]) - boxes[..., 2:]], axis=-1)


def label_sigma(labels: NDArray[np.int64], clean_boxes: Floats, hidden: Floats, ramps: Floats) -> Floats:
    """Standard deviation of each side's label: sqrt(careless^2 + occlusion^2 + soft^2).

    Args:
        labels: Classes (G,), 1..K.
        clean_boxes: True extents (G, 4), px.
        hidden: Part of each side that lies under later objects (G, 4), 0..1.
        ramps: Width over which each side fades out (G, 4), px.

    Returns:
        Sigma (G, 4) in px, before the image border bounds it.
    """
    lengths = _lengths(clean_boxes)
    careless = np.array([look.careless for look in CLASSES])[labels - 1][:, None] * lengths
    return np.sqrt(careless**2 + (OCCLUSION_SIGMA * hidden * lengths) ** 2 + (SOFT_SIGMA * ramps) ** 2)


def draw_label_noise(rng: Generator, clean_boxes: Floats, sigma: Floats, size: tuple[int, int]) -> Floats:
    """Noisy boxes: clean_boxes + sigma * N(0, 1) per side, drawn again while a box leaves the image or is too narrow.

    Args:
        rng: Source of the noise.
        clean_boxes: True extents (G, 4), px.
        sigma: Standard deviations (G, 4), px, at most room / BORDER_SIGMAS, so that a second draw is rare.
        size: Image (height, width), px.

    Returns:
        Boxes (G, 4), px, inside the image and at least SHORTEST_NOISY_SIDE wide and high.
    """
    boxes = clean_boxes.copy()
    waiting: Mask = np.ones(len(boxes), dtype=bool)
    while waiting.any():
        boxes[waiting] = clean_boxes[waiting] + sigma[waiting] * rng.standard_normal((int(waiting.sum()), 4))
        boxes = boxes.round(2)
        waiting = np.any((_lengths(boxes) < SHORTEST_NOISY_SIDE) | (_room(boxes, size) < 0), axis=1)
    return boxes


def _draw_sides(rng: Generator, extent: float, most: tuple[float, float]) -> Floats:
    """Width and height (2,) px with width * height near extent^2, each from SHORTEST_SIDE to ``most``."""
    stretch = np.exp(rng.uniform(-0.45, 0.45) * (0.6 if extent > EXTENTS["large"][0] else 1.0))
    return np.clip([extent * stretch, extent / stretch], SHORTEST_SIDE, most)


def _draw_corner_on_side(rng: Generator, sides: Floats, placed: Sequence[Floats]) -> Floats:
    """Top left corner (2,) px that puts a box of ``sides`` (2,) px onto a side of one of the boxes in ``placed``."""
    box = placed[int(rng.integers(len(placed)))]
    point = rng.uniform(box[:2], box[2:])
    side = rng.integers(4)
    point[side % 2] = box[side]
    return point - sides * rng.uniform(0.2, 0.8, 2)


def _overlaps(box: Floats, placed: Sequence[Floats]) -> bool:
    return any((box[:2] < other[2:]).all() and (box[2:] > other[:2]).all() for other in placed)


def _fits(boxes: Sequence[Floats]) -> bool:
    """Whether boxes in drawing order leave enough of each other to be seen."""
    stack = np.array(boxes)
    overlap = np.minimum(stack[:, None, 2:], stack[None, :, 2:]) - np.maximum(stack[:, None, :2], stack[None, :, :2])
    common = overlap.clip(min=0).prod(axis=-1)
    areas = np.diag(common)
    iou = common / (areas[:, None] + areas[None, :] - common)
    covered = np.triu(common, 1).sum(axis=1) / areas
    return bool((np.triu(iou, 1) <= MOST_IOU).all() and (covered <= MOST_COVERED).all())


def _find_place(
    rng: Generator, sides: Floats, lowest: Floats, highest: Floats, placed: Sequence[Floats]
) -> tuple[Floats, int] | None:
    """Box (4,) px and rank in the drawing order of a new object, or None if no place was found.

    With probability OVERLAPPING the object is to lie on a side of another one; otherwise apart from all others, and
    anywhere once PLACES / 2 trials have shown that the scene is too full for that.
    """
    wants_overlap = bool(placed) and rng.random() < OVERLAPPING
    for trial in range(PLACES):
        corner = _draw_corner_on_side(rng, sides, placed) if wants_overlap else rng.uniform(lowest, highest)
        corner = np.clip(corner, lowest, highest)
        box = np.concatenate([corner, corner + sides]).round(2)
        rank = int(rng.integers(len(placed) + 1))
        allowed = wants_overlap or trial >= PLACES / 2 or not _overlaps(box, placed)
        if allowed and _fits([*placed[:rank], box, *placed[rank:]]):
            return box, rank
    return None


def draw_layout(rng: Generator) -> Layout:
    """Draws the size of a scene and the classes, boxes and soft sides of its objects.

    The largest object is placed first, because it needs most room; its place in the drawing order is random. An object
    that finds no place is left out, but never so many that fewer than OBJECTS[0] remain.
    """
    size = IMAGE_SIZES[rng.integers(len(IMAGE_SIZES))]
    image_sides = np.array(size[::-1], dtype=float)
    wanted = int(rng.integers(OBJECTS[0], OBJECTS[1] + 1))
    kinds = rng.choice(list(SHARES), p=list(SHARES.values()), size=wanted)
    extents = sorted((float(np.exp(rng.uniform(*np.log(EXTENTS[kind])))) for kind in kinds), reverse=True)
    labels: list[int] = []
    boxes: list[Floats] = []
    ramps: list[Floats] = []
    for extent in extents:
        label = int(rng.integers(len(CLASSES))) + 1
        soft = np.zeros(4)
        if extent > 1.5 * SHORTEST_SIDE and rng.random() < SOFT_PROBABILITY:
            soft[rng.integers(4)] = rng.uniform(*SOFT_RAMP)
        sigma = np.hypot(CLASSES[label - 1].careless, SOFT_SIGMA * soft)  # of the length
        spread = 1 + BORDER_SIGMAS * (sigma[:2] + sigma[2:])
        sides = _draw_sides(rng, extent, tuple((image_sides - 2 * MARGIN) / spread))
        lowest = MARGIN + BORDER_SIGMAS * sigma[:2] * sides
        highest = np.maximum(image_sides - MARGIN - (1 + BORDER_SIGMAS * sigma[2:]) * sides, lowest)
        place = _find_place(rng, sides, lowest, highest, boxes)
        if place is not None:
            box, rank = place
            labels.insert(rank, label)
            boxes.insert(rank, box)
            ramps.insert(rank, (soft * np.tile(sides, 2)).round(2))
    if len(boxes) < OBJECTS[0]:
        return draw_layout(rng)
    return Layout(size=size, labels=np.array(labels), clean_boxes=np.array(boxes), ramps=np.array(ramps))


def _opacity_above(boxes: Floats, opacities: Sequence[Floats]) -> Iterator[tuple[int, Floats]]:
    """The index of each object, the last one first, and the opacity (h, w) on its window of all that is drawn later."""
    width, height = np.ceil(boxes[:, 2:].max(axis=0)).astype(int)
    above = np.zeros((height, width))
    for i in reversed(range(len(boxes))):
        pixels = window(boxes[i])
        yield i, above[pixels]
        above[pixels] = 1 - (1 - above[pixels]) * (1 - opacities[i])


def visible_pixels(boxes: Floats, coverages: Sequence[Floats], opacities: Sequence[Floats]) -> tuple[Mask, ...]:
    """For each object the pixels of its window (h, w) of which the full shape, faded parts included, covers at least
    half and later objects hide less than half. Arguments as for ``hidden_fractions``."""
    shown = {i: (coverages[i] >= 0.5) & (above < 0.5) for i, above in _opacity_above(boxes, opacities)}
    return tuple(shown[i] for i in range(len(boxes)))


def hidden_fractions(boxes: Floats, coverages: Sequence[Floats], opacities: Sequence[Floats]) -> Floats:
    """How much of each side lies under later objects.

    "The side" of an object is the part of its shape within STRIP of the length (at least 2 px) from that side.

    Args:
        boxes: Clean boxes (G, 4) in drawing order, px.
        coverages: For each object the full shape on its window (h, w), 0..1.
        opacities: For each object what it hides of the things below it (h, w), 0..1.

    Returns:
        Fractions (G, 4), 0..1, in the order x1, y1, x2, y2.
    """
    hidden = np.zeros((len(boxes), 4))
    for i, above in _opacity_above(boxes, opacities):
        for side, (depth, length) in enumerate(zip(depths(boxes[i]), _lengths(boxes[i]), strict=True)):
            strip = coverages[i] * (depth < max(STRIP * length, 2.0))
            hidden[i, side] = (strip * above).sum() / strip.sum()
    return hidden


def render_scene(rng: Generator) -> Scene:
    """Draws one scene: layout, pixels, true sigma of each box side, noisy labels.

    Args:
        rng: Source of all randomness: the scene is a pure function of its state.

    Returns:
        The scene, with all boxes rounded to 0.01 px (the precision of the annotation files).
    """
    layout = draw_layout(rng)
    looks = [CLASSES[label - 1] for label in layout.labels]
    boxes = layout.clean_boxes
    coverages = [coverage(box, look.shape, rng.random()) for box, look in zip(boxes, looks, strict=True)]
    fades = [fade(box, ramp) for box, ramp in zip(boxes, layout.ramps, strict=True)]
    opacities = [covered * faded for covered, faded in zip(coverages, fades, strict=True)]

    canvas = background(rng, layout.size)
    for box, look, opacity in zip(boxes, looks, opacities, strict=True):
        pixels = window(box)
        canvas[pixels] += opacity[..., None] * (surface(rng, box, look) - canvas[pixels])
    canvas += rng.normal(0, 0.02, canvas.shape)

    hidden = hidden_fractions(boxes, coverages, opacities)
    sigma = np.minimum(
        label_sigma(layout.labels, boxes, hidden, layout.ramps), _room(boxes, layout.size) / BORDER_SIGMAS
    ).round(4)
    return Scene(
        image=(255 * canvas.clip(0, 1)).round().astype(np.uint8),
        labels=layout.labels,
        boxes=draw_label_noise(rng, boxes, sigma, layout.size),
        clean_boxes=boxes,
        sigma_true=sigma,
        hidden=hidden,
        ramps=layout.ramps,
        visible=visible_pixels(boxes, coverages, opacities),
    )


def scene(seed: int, split: Split, index: int) -> Scene:
    """Image ``index`` (from 0) of a split: a pure function of (seed, split, index)."""
    return render_scene(np.random.default_rng([seed, FIRST_ID[split], index]))
