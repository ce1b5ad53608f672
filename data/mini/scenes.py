"""Rendered scenes whose label noise is known, so that a predicted sigma can be checked.

Scenes hold 2-6 textured objects. Every box side gets independent Gaussian label noise with three
causes that can be seen (KL Loss section 1, Figure 1), each with its own standard deviation in
pixels:

    careless   a property of the class       sigma_a = CLASSES[k].careless * length
    occlusion  a later object hides a side   sigma_b = OCCLUSION_SIGMA * hidden fraction * length
    soft       a side fades out over a ramp  sigma_c = SOFT_SIGMA * ramp
    together                                 sigma_true = sqrt(sigma_a^2 + sigma_b^2 + sigma_c^2)

with length the width of the box for x1 and x2 and its height for y1 and y2. The clean box is the
extent of the full shape, hidden and faded parts included. sigma_true is the noise of the label
alone: a network that cannot see a hidden side must also guess where it is. One image is a pure
function of (seed, split, index).

Letters: H, W image size in px, h, w size of an object's window, G objects. Boxes are (x1, y1, x2,
y2) in px.
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
from data.mini.layout import BORDER_SIGMAS, SOFT_SIGMA, draw_layout

Split = Literal["train", "val"]

# VOC keeps all images in one folder: ids must not meet
FIRST_ID: dict[Split, int] = {"train": 1, "val": 100_001}

OCCLUSION_SIGMA = 0.12  # of the box's length, for a side that is hidden altogether
STRIP = 0.125  # "the side" is the part of the shape that lies within this fraction of the length
SHORTEST_NOISY_SIDE = 4.0  # px


@dataclass(frozen=True, kw_only=True)
class Scene:
    """One rendered image and its labels.

    image (H, W, 3) uint8 RGB; labels (G,) 1..K; boxes (G, 4) px: the noisy labels; clean_boxes (G,
    4) px; sigma_true (G, 4) px: the standard deviation that boxes - clean_boxes was drawn with; the
    causes other than the class: hidden (G, 4) 0..1, the part of each side that lies under later
    objects, and ramps (G, 4) px; visible: for each object the pixels of its window (h, w) that show
    it.
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


def label_sigma(
    labels: NDArray[np.int64], clean_boxes: Floats, hidden: Floats, ramps: Floats
) -> Floats:
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
    careless = np.array([kind.careless for kind in CLASSES])[labels - 1][:, None] * lengths
    return np.sqrt(
        careless**2 + (OCCLUSION_SIGMA * hidden * lengths) ** 2 + (SOFT_SIGMA * ramps) ** 2
    )


def draw_label_noise(
    rng: Generator, clean_boxes: Floats, sigma: Floats, size: tuple[int, int]
) -> Floats:
    """Noisy boxes: clean_boxes + sigma * N(0, 1) per side, drawn again while a box leaves the image
    or is too narrow.

    Args:
        rng: Source of the noise.
        clean_boxes: True extents (G, 4), px.
        sigma: Standard deviations (G, 4), px, at most room / BORDER_SIGMAS, so that a second draw
            is rare.
        size: Image (height, width), px.

    Returns:
        Boxes (G, 4), px, inside the image and at least SHORTEST_NOISY_SIDE wide and high.
    """
    boxes = clean_boxes.copy()
    waiting: Mask = np.ones(len(boxes), dtype=bool)
    while waiting.any():
        boxes[waiting] = clean_boxes[waiting] + sigma[waiting] * rng.standard_normal(
            (int(waiting.sum()), 4)
        )
        boxes = boxes.round(2)
        waiting = np.any((_lengths(boxes) < SHORTEST_NOISY_SIDE) | (_room(boxes, size) < 0), axis=1)
    return boxes


def _opacity_above(boxes: Floats, opacities: Sequence[Floats]) -> Iterator[tuple[int, Floats]]:
    """The index of each object, the last one first, and the opacity (h, w) on its window of all
    that is drawn later.
    """
    width, height = np.ceil(boxes[:, 2:].max(axis=0)).astype(int)
    above = np.zeros((height, width))
    for i in reversed(range(len(boxes))):
        pixels = window(boxes[i])
        yield i, above[pixels]
        above[pixels] = 1 - (1 - above[pixels]) * (1 - opacities[i])


def visible_pixels(
    boxes: Floats, coverages: Sequence[Floats], opacities: Sequence[Floats]
) -> tuple[Mask, ...]:
    """For each object the pixels of its window (h, w) of which the full shape, faded parts
    included, covers at least half and later objects hide less than half. Arguments as for
    ``hidden_fractions``.
    """
    shown = {
        i: (coverages[i] >= 0.5) & (above < 0.5) for i, above in _opacity_above(boxes, opacities)
    }
    return tuple(shown[i] for i in range(len(boxes)))


def hidden_fractions(
    boxes: Floats, coverages: Sequence[Floats], opacities: Sequence[Floats]
) -> Floats:
    """How much of each side lies under later objects.

    "The side" of an object is the part of its shape within STRIP of the length (at least 2 px) from
    that side.

    Args:
        boxes: Clean boxes (G, 4) in drawing order, px.
        coverages: For each object the full shape on its window (h, w), 0..1.
        opacities: For each object what it hides of the things below it (h, w), 0..1.

    Returns:
        Fractions (G, 4), 0..1, in the order x1, y1, x2, y2.
    """
    hidden = np.zeros((len(boxes), 4))
    for i, above in _opacity_above(boxes, opacities):
        for side, (depth, length) in enumerate(
            zip(depths(boxes[i]), _lengths(boxes[i]), strict=True)
        ):
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
    kinds = [CLASSES[label - 1] for label in layout.labels]
    boxes = layout.clean_boxes
    coverages = [
        coverage(box, kind.shape, rng.random()) for box, kind in zip(boxes, kinds, strict=True)
    ]
    fades = [fade(box, ramp) for box, ramp in zip(boxes, layout.ramps, strict=True)]
    opacities = [covered * faded for covered, faded in zip(coverages, fades, strict=True)]

    canvas = background(rng, layout.size)
    for box, kind, opacity in zip(boxes, kinds, opacities, strict=True):
        pixels = window(box)
        canvas[pixels] += opacity[..., None] * (surface(rng, box, kind) - canvas[pixels])
    canvas += rng.normal(0, 0.02, canvas.shape)

    hidden = hidden_fractions(boxes, coverages, opacities)
    sigma = np.minimum(
        label_sigma(layout.labels, boxes, hidden, layout.ramps),
        _room(boxes, layout.size) / BORDER_SIGMAS,
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
