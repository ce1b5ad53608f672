"""The embedded mini data set: rendered scenes whose label noise is known, so that a predicted sigma can be checked.

Scenes hold 2-6 textured objects of K = 6 classes. Every box side gets independent Gaussian label noise with three
causes that can be seen (KL Loss section 1, Figure 1), each with its own standard deviation in pixels:

    careless   a property of the class       sigma_a = CLASSES[k].careless * length
    occlusion  a later object hides a side   sigma_b = OCCLUSION_SIGMA * hidden fraction of the side * length
    soft       a side fades out over a ramp  sigma_c = SOFT_SIGMA * ramp
    together                                 sigma_true = sqrt(sigma_a^2 + sigma_b^2 + sigma_c^2)

with length the width of the box for x1 and x2 and its height for y1 and y2. The clean box is the extent of the full
shape, hidden and faded parts included. sigma_true is the noise of the label alone: a network that cannot see a hidden
side must also guess where it is. One image is a pure function of (seed, split, index). The files are written in both
public layouts, COCO and VOC, so that nothing else in the code knows that the data is synthetic.

Letters: H, W image size in px, h, w size of an object's pixel window, G objects. Boxes are (x1, y1, x2, y2) in px.

    python -m data.ambiguous --out DIR
"""

from __future__ import annotations

import argparse
import colorsys
import json
import os
import shutil
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from PIL import Image

from data.errors import DataError

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]
Shape = Callable[[Floats, Floats, float], Mask]
Texture = Callable[[Floats, Floats, float], Floats]
Split = Literal["train", "val"]

VERSION = 1  # of the rendering: a change of any pixel or label must raise it
TRAIN_IMAGES = 1200
VAL_IMAGES = 300
STAMP = "mini.json"
JPEG_QUALITY = 92
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


# Shapes: which points (u, v) of [-1, 1]^2 belong to the object; t in 0..1 varies it. All touch all four sides.


def _whole(u: Floats, v: Floats, t: float) -> Mask:
    return (np.abs(u) <= 1) & (np.abs(v) <= 1)


def _round(u: Floats, v: Floats, t: float) -> Mask:
    return u**2 + v**2 <= 1


def _tapered(u: Floats, v: Floats, t: float) -> Mask:
    top = 0.15 + 0.2 * t
    return np.abs(u) <= top + (1 - top) * (v + 1) / 2


def _eight_sided(u: Floats, v: Floats, t: float) -> Mask:
    return np.abs(u) + np.abs(v) <= 1.15 + 0.2 * t


def _hollow(u: Floats, v: Floats, t: float) -> Mask:
    return _round(u, v, t) & (u**2 + v**2 >= (0.4 + 0.2 * t) ** 2)


def _crossed(u: Floats, v: Floats, t: float) -> Mask:
    return np.minimum(np.abs(u), np.abs(v)) <= 0.28 + 0.15 * t


# Textures: brightness -1..1 at (x, y) px from the corner of the box; period in px.


def _courses(x: Floats, y: Floats, period: float) -> Floats:
    row = np.floor(y / period)
    joint = (y / period - row < 0.25) | (np.mod(x / (2 * period) + 0.5 * np.mod(row, 2), 1) < 0.12)
    return np.where(joint, -1.0, 0.6)


def _flat_waves(x: Floats, y: Floats, period: float) -> Floats:
    return np.sin(2 * np.pi * y / period) + 0 * x


def _upright_stripes(x: Floats, y: Floats, period: float) -> Floats:
    return np.sign(np.sin(2 * np.pi * x / period)) + 0 * y


def _checks(x: Floats, y: Floats, period: float) -> Floats:
    return np.sign(np.sin(np.pi * x / period) * np.sin(np.pi * y / period))


def _slanted_stripes(x: Floats, y: Floats, period: float) -> Floats:
    return np.sin(2 * np.pi * (x + y) / (1.4 * period))


def _dots(x: Floats, y: Floats, period: float) -> Floats:
    return np.where(np.sin(2 * np.pi * x / period) + np.sin(2 * np.pi * y / period) > 0.8, -1.0, 0.5)


@dataclass(frozen=True, kw_only=True)
class Look:
    """A class: how it looks, and how carelessly it is labelled (sigma of a side as a fraction of the length)."""

    name: str
    careless: float
    hue: float  # 0..1 on the colour circle
    shape: Shape
    texture: Texture


CLASSES = (
    Look(name="brick", careless=0.08, hue=0.01, shape=_whole, texture=_courses),
    Look(name="ball", careless=0.01, hue=0.62, shape=_round, texture=_flat_waves),
    Look(name="tent", careless=0.01, hue=0.34, shape=_tapered, texture=_upright_stripes),
    Look(name="gem", careless=0.01, hue=0.15, shape=_eight_sided, texture=_checks),
    Look(name="ring", careless=0.05, hue=0.84, shape=_hollow, texture=_slanted_stripes),
    Look(name="cross", careless=0.01, hue=0.49, shape=_crossed, texture=_dots),
)


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
    (G, 4) 0..1, the part of each side that lies under later objects, and ramps (G, 4) px.
    """

    image: NDArray[np.uint8]
    labels: NDArray[np.int64]
    boxes: Floats
    clean_boxes: Floats
    sigma_true: Floats
    hidden: Floats
    ramps: Floats


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


def _window(box: Floats) -> tuple[slice, slice]:
    """Rows and columns of the pixels that a box (4,) touches."""
    x1, y1 = np.floor(box[:2]).astype(int)
    x2, y2 = np.ceil(box[2:]).astype(int)
    return slice(y1, y2), slice(x1, x2)


def _centres(pixels: slice, samples: int = 1) -> Floats:
    """Positions of ``samples`` equally spaced points per pixel, in px."""
    return pixels.start + (np.arange((pixels.stop - pixels.start) * samples) + 0.5) / samples


def _coverage(box: Floats, shape: Shape, t: float, samples: int = 3) -> Floats:
    """Part 0..1 of each pixel of the window (h, w) that the full shape covers."""
    rows, columns = _window(box)
    (u, v) = (
        2 * (_centres(pixels, samples) - low) / (high - low) - 1
        for pixels, low, high in ((columns, box[0], box[2]), (rows, box[1], box[3]))
    )
    v, u = v[:, None], u[None, :]
    inside = _whole(u, v, t) & shape(u, v, t)
    height, width = rows.stop - rows.start, columns.stop - columns.start
    return inside.reshape(height, samples, width, samples).mean(axis=(1, 3))


def _depths(box: Floats) -> tuple[Floats, Floats, Floats, Floats]:
    """Distance in px of the window's pixel centres from the sides x1, y1, x2, y2 of the box, positive inside.

    Shapes (1, w), (h, 1), (1, w), (h, 1).
    """
    rows, columns = _window(box)
    x, y = _centres(columns)[None, :], _centres(rows)[:, None]
    return x - box[0], y - box[1], box[2] - x, box[3] - y


def _fade(box: Floats, ramp: Floats) -> Floats:
    """Opacity 0..1 that rises linearly from 0 at a soft side to 1 a ramp (4,) px further in; 1 without a soft side."""
    opacity = np.ones((1, 1))
    for depth, width in zip(_depths(box), ramp, strict=True):
        if width > 0:
            opacity = opacity * np.clip(depth / width, 0, 1)
    return opacity


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
    width, height = np.ceil(boxes[:, 2:].max(axis=0)).astype(int)
    above = np.zeros((height, width))  # opacity of all that is drawn later than the object at hand
    for i in reversed(range(len(boxes))):
        window = _window(boxes[i])
        for side, (depth, length) in enumerate(zip(_depths(boxes[i]), _lengths(boxes[i]), strict=True)):
            strip = coverages[i] * (depth < max(STRIP * length, 2.0))
            hidden[i, side] = (strip * above[window]).sum() / strip.sum()
        above[window] = 1 - (1 - above[window]) * (1 - opacities[i])
    return hidden


def _colour(hue: float, saturation: float, value: float) -> Floats:
    return np.array(colorsys.hsv_to_rgb(hue % 1, saturation, value))


def _clouds(rng: Generator, size: tuple[int, int], cells: int) -> Floats:
    """Smooth noise (H, W), 0..1: random values on a coarse grid, linearly interpolated."""
    grid = rng.random((cells, cells))
    rows, columns = (
        np.clip(1 - np.abs(np.linspace(0, cells - 1, n)[:, None] - np.arange(cells)), 0, None) for n in size
    )
    return rows @ grid @ columns.T


def _background(rng: Generator, size: tuple[int, int]) -> Floats:
    """A muted texture (H, W, 3), 0..1: clouds of two dull colours, faint waves, and some pale blotches."""
    height, width = size
    y, x = np.arange(height)[:, None], np.arange(width)[None, :]
    dark, light = (
        _colour(rng.random(), rng.uniform(0.0, 0.3), value) for value in (rng.uniform(0.2, 0.4), rng.uniform(0.5, 0.8))
    )
    mix = 0.6 * _clouds(rng, size, 4) + 0.4 * _clouds(rng, size, int(rng.integers(10, 40)))
    angle, period = rng.uniform(0, np.pi), rng.uniform(6, 30)
    waves = np.sin(2 * np.pi * (np.cos(angle) * x + np.sin(angle) * y) / period)
    mix = np.clip(mix + rng.uniform(0, 0.12) * waves, 0, 1)
    for _ in range(rng.integers(0, 4)):
        centre, radii = rng.uniform(0, [width, height]), rng.uniform(8, 45, 2)
        blotch = ((x - centre[0]) / radii[0]) ** 2 + ((y - centre[1]) / radii[1]) ** 2 < 1
        mix = np.where(blotch, 0.6 * mix + 0.4 * rng.random(), mix)
    return dark + mix[..., None] * (light - dark)


def _surface(rng: Generator, box: Floats, look: Look) -> Floats:
    """The object's colours on its window (h, w, 3), 0..1."""
    rows, columns = _window(box)
    x, y = _centres(columns)[None, :] - box[0], _centres(rows)[:, None] - box[1]
    shortest = float(_lengths(box).min())
    period = rng.uniform(4.5, 6.5) + 0.05 * shortest
    colour = _colour(look.hue + rng.uniform(-0.03, 0.03), rng.uniform(0.6, 0.95), rng.uniform(0.65, 1.0))
    phase = rng.uniform(0, period, 2)
    brightness = 1 + rng.uniform(0.2, 0.4) * look.texture(x + phase[0], y + phase[1], period)
    slope = rng.uniform(-0.2, 0.2, 2)
    light = 1 + slope[0] * (x / x.max() - 0.5) + slope[1] * (y / y.max() - 0.5)
    return colour * (brightness * light)[..., None]


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
    coverages = [_coverage(box, look.shape, rng.random()) for box, look in zip(boxes, looks, strict=True)]
    fades = [_fade(box, ramp) for box, ramp in zip(boxes, layout.ramps, strict=True)]
    opacities = [coverage * fade for coverage, fade in zip(coverages, fades, strict=True)]

    canvas = _background(rng, layout.size)
    for box, look, opacity in zip(boxes, looks, opacities, strict=True):
        window = _window(box)
        canvas[window] += opacity[..., None] * (_surface(rng, box, look) - canvas[window])
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
    )


def scene(seed: int, split: Split, index: int) -> Scene:
    """Image ``index`` (from 0) of a split: a pure function of (seed, split, index)."""
    return render_scene(np.random.default_rng([seed, FIRST_ID[split], index]))


def _xywh(box: Floats) -> list[float]:
    """COCO's box: x1, y1, width, height."""
    return [round(float(value), 2) for value in (*box[:2], *(box[2:] - box[:2]))]


def _coco_annotation(drawn: Scene, i: int, annotation_id: int, image_id: int, *, clean: bool) -> dict[str, object]:
    bbox, clean_bbox = _xywh(drawn.boxes[i]), _xywh(drawn.clean_boxes[i])
    chosen = clean_bbox if clean else bbox
    return {
        "id": annotation_id,
        "image_id": image_id,
        "category_id": int(drawn.labels[i]),
        "bbox": chosen,
        "area": round(chosen[2] * chosen[3], 2),
        "iscrowd": 0,
        "clean_bbox": clean_bbox,
        "sigma_true": drawn.sigma_true[i].tolist(),
    }


def _coco_file(scenes: Sequence[tuple[int, Scene]], split: Split, seed: int, *, clean: bool = False) -> str:
    """The text of a COCO instances file of (image id, scene) pairs."""
    images: list[dict[str, object]] = []
    annotations: list[dict[str, object]] = []
    for image_id, drawn in scenes:
        height, width = drawn.image.shape[:2]
        images.append({"id": image_id, "file_name": f"{image_id:06d}.jpg", "height": height, "width": width})
        for i in range(len(drawn.labels)):
            annotations.append(_coco_annotation(drawn, i, len(annotations) + 1, image_id, clean=clean))
    info = {
        "description": "rendered scenes with known label noise (data/ambiguous.py)",
        "version": str(VERSION),
        "seed": seed,
        "boxes": "clean" if clean else "noisy",
        "image_folder": split,
    }
    categories = [{"id": k, "name": look.name, "supercategory": "thing"} for k, look in enumerate(CLASSES, start=1)]
    return json.dumps({"info": info, "images": images, "annotations": annotations, "categories": categories})


def _voc_file(image_id: int, drawn: Scene) -> str:
    """The text of a VOC annotation: 1-based inclusive pixels, so x1 and y1 grow by 1; two decimals."""
    height, width = drawn.image.shape[:2]
    objects = "".join(
        f"  <object><name>{CLASSES[label - 1].name}</name><pose>Unspecified</pose>"
        "<truncated>0</truncated><difficult>0</difficult>\n"
        f"    <bndbox><xmin>{x1 + 1:.2f}</xmin><ymin>{y1 + 1:.2f}</ymin>"
        f"<xmax>{x2:.2f}</xmax><ymax>{y2:.2f}</ymax></bndbox></object>\n"
        for label, (x1, y1, x2, y2) in zip(drawn.labels, drawn.boxes, strict=True)
    )
    return (
        f"<annotation>\n  <folder>VOC2007</folder><filename>{image_id:06d}.jpg</filename>\n"
        f"  <size><width>{width}</width><height>{height}</height><depth>3</depth></size><segmented>0</segmented>\n"
        f"{objects}</annotation>\n"
    )


def _link(source: Path, target: Path) -> None:
    """The same file under a second name; a copy where the file system has no hard links."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)


def _write_split(root: Path, split: Split, count: int, seed: int) -> None:
    """Renders ``count`` images of a split into both layouts under ``root``."""
    coco, voc = root / "coco", root / "VOCdevkit" / "VOC2007"
    voc_set = {"train": "trainval", "val": "test"}[split]
    for folder in (coco / split, coco / "annotations", *(voc / name for name in ("Annotations", "JPEGImages"))):
        folder.mkdir(parents=True, exist_ok=True)
    (voc / "ImageSets" / "Main").mkdir(parents=True, exist_ok=True)

    scenes = [(FIRST_ID[split] + index, scene(seed, split, index)) for index in range(count)]
    for image_id, drawn in scenes:
        name = f"{image_id:06d}.jpg"
        Image.fromarray(drawn.image).save(coco / split / name, quality=JPEG_QUALITY, subsampling=0)
        _link(coco / split / name, voc / "JPEGImages" / name)
        (voc / "Annotations" / f"{image_id:06d}.xml").write_text(_voc_file(image_id, drawn), encoding="utf-8")
    (voc / "ImageSets" / "Main" / f"{voc_set}.txt").write_text("".join(f"{image_id:06d}\n" for image_id, _ in scenes))
    (coco / "annotations" / f"instances_{split}.json").write_text(_coco_file(scenes, split, seed))
    if split == "val":
        (coco / "annotations" / "instances_val_clean.json").write_text(_coco_file(scenes, split, seed, clean=True))


def _stamp(seed: int, train: int, val: int) -> dict[str, int]:
    return {"version": VERSION, "seed": seed, "train": train, "val": val}


def _read_stamp(root: Path) -> object:
    """What the stamp file says, or None if there is none that can be read."""
    try:
        return json.loads((root / STAMP).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def write_dataset(root: str | Path, *, seed: int = 0, train: int = TRAIN_IMAGES, val: int = VAL_IMAGES) -> Path:
    """Renders the mini data set and writes it in COCO's and VOC's layout, replacing an earlier one.

    Everything is written into a folder beside ``root`` that is renamed at the end, so ``root`` is never half full.

    Args:
        root: Folder to create. Afterwards it holds coco/annotations/instances_{train,val,val_clean}.json,
            coco/{train,val}/*.jpg, VOCdevkit/VOC2007/{Annotations,ImageSets/Main,JPEGImages} and the stamp mini.json.
        seed: Of all scenes.
        train: Number of training images (VOC: trainval).
        val: Number of validation images (VOC: test).

    Returns:
        ``root``, made absolute.

    Raises:
        DataError: ``root`` holds something else than a mini data set, or a count is out of range.
    """
    root = Path(root).resolve()
    if train < 1 or val < 1 or train >= FIRST_ID["val"]:
        raise DataError(f"{root}: {train} training and {val} validation images asked for; use 1..100000 and at least 1")
    if root.exists() and (not root.is_dir() or (any(root.iterdir()) and not (root / STAMP).is_file())):
        raise DataError(f"{root} exists and is not a mini data set (it has no {STAMP}): choose an empty or new folder")
    stamp = _stamp(seed, train, val)
    fresh = root.with_name(f".{root.name}-{uuid.uuid4().hex}")
    stale = fresh.with_name(f"{fresh.name}.old")
    fresh.mkdir(parents=True)
    try:
        _write_split(fresh, "train", train, seed)
        _write_split(fresh, "val", val, seed)
        (fresh / STAMP).write_text(json.dumps(stamp) + "\n", encoding="utf-8")
        if root.exists() and any(root.iterdir()):
            root.rename(stale)
        try:
            fresh.rename(root)
        except OSError:
            if _read_stamp(root) != stamp:  # otherwise another process was faster with the same scenes
                raise
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
        shutil.rmtree(stale, ignore_errors=True)
    return root


def ensure_dataset(root: str | Path, *, seed: int = 0, train: int = TRAIN_IMAGES, val: int = VAL_IMAGES) -> Path:
    """Renders the mini data set unless ``root`` already holds exactly this one; see write_dataset.

    Several processes may call it at once: each renders for itself, the first to finish wins.
    """
    root = Path(root).resolve()
    if _read_stamp(root) == _stamp(seed, train, val):
        return root
    return write_dataset(root, seed=seed, train=train, val=val)


def main(arguments: Sequence[str] | None = None) -> None:
    """Command line: renders the mini data set into --out unless it is there already."""
    parser = argparse.ArgumentParser(prog="python -m data.ambiguous", description=main.__doc__)
    parser.add_argument("--out", type=Path, required=True, help="folder of the data set, for example datasets/mini")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--train", type=int, default=TRAIN_IMAGES, help="number of training images")
    parser.add_argument("--val", type=int, default=VAL_IMAGES, help="number of validation images")
    options = parser.parse_args(arguments)
    root = ensure_dataset(options.out, seed=options.seed, train=options.train, val=options.val)
    print(f"{root}: {options.train} training and {options.val} validation images, seed {options.seed}")


if __name__ == "__main__":
    main()
