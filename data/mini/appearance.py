"""What the objects and backgrounds of the mini data set look like: K = 6 classes, each one shape
and one texture.

A shape touches all four sides of its clean box, so the box is the extent of the shape. A side may
be soft: there the shape fades out over a ramp. An object is drawn on its window, the pixels that
its box touches.

Letters: H, W image size in px, h, w size of an object's window. Boxes are (x1, y1, x2, y2) in px,
colors RGB in 0..1.
"""

from __future__ import annotations

import colorsys
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]
Shape = Callable[[Floats, Floats, float], Mask]
Texture = Callable[[Floats, Floats, float], Floats]


# Shapes: which points (u, v) of [-1, 1]^2 belong to the object; t in 0..1 varies it. All touch all
# four sides.


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
    return np.where(
        np.sin(2 * np.pi * x / period) + np.sin(2 * np.pi * y / period) > 0.8, -1.0, 0.5
    )


@dataclass(frozen=True, kw_only=True)
class ObjectClass:
    """A class: how it looks, and how carelessly it is labeled (sigma of a side as a fraction of the
    length).
    """

    name: str
    careless: float
    hue: float  # 0..1 on the color circle
    shape: Shape
    texture: Texture


CLASSES = (
    ObjectClass(name="brick", careless=0.08, hue=0.01, shape=_whole, texture=_courses),
    ObjectClass(name="ball", careless=0.01, hue=0.62, shape=_round, texture=_flat_waves),
    ObjectClass(name="tent", careless=0.01, hue=0.34, shape=_tapered, texture=_upright_stripes),
    ObjectClass(name="gem", careless=0.01, hue=0.15, shape=_eight_sided, texture=_checks),
    ObjectClass(name="ring", careless=0.05, hue=0.84, shape=_hollow, texture=_slanted_stripes),
    ObjectClass(name="cross", careless=0.01, hue=0.49, shape=_crossed, texture=_dots),
)


def window(box: Floats) -> tuple[slice, slice]:
    """Rows and columns of the pixels that a box (4,) touches."""
    x1, y1 = np.floor(box[:2]).astype(int)
    x2, y2 = np.ceil(box[2:]).astype(int)
    return slice(y1, y2), slice(x1, x2)


def _centers(pixels: slice, samples: int = 1) -> Floats:
    """Positions of ``samples`` equally spaced points per pixel, in px."""
    return pixels.start + (np.arange((pixels.stop - pixels.start) * samples) + 0.5) / samples


def coverage(box: Floats, shape: Shape, t: float, samples: int = 3) -> Floats:
    """Part of each pixel of the window that the full shape covers.

    Args:
        box: Clean box (4,), px.
        shape: Of the object's class.
        t: Variant of the shape, 0..1.
        samples: Points per pixel and direction that are looked at.

    Returns:
        Fractions (h, w), 0..1.
    """
    rows, columns = window(box)
    (u, v) = (
        2 * (_centers(pixels, samples) - low) / (high - low) - 1
        for pixels, low, high in ((columns, box[0], box[2]), (rows, box[1], box[3]))
    )
    v, u = v[:, None], u[None, :]
    inside = _whole(u, v, t) & shape(u, v, t)
    height, width = rows.stop - rows.start, columns.stop - columns.start
    return inside.reshape(height, samples, width, samples).mean(axis=(1, 3))


def depths(box: Floats) -> tuple[Floats, Floats, Floats, Floats]:
    """Distance in px of the window's pixel centers from the sides x1, y1, x2, y2 of the box,
    positive inside.

    Shapes (1, w), (h, 1), (1, w), (h, 1).
    """
    rows, columns = window(box)
    x, y = _centers(columns)[None, :], _centers(rows)[:, None]
    return x - box[0], y - box[1], box[2] - x, box[3] - y


def fade(box: Floats, ramp: Floats) -> Floats:
    """Opacity that rises linearly from 0 at a soft side to 1 a ramp further in: clip(depth / ramp,
    0, 1) per soft side.

    Args:
        box: Clean box (4,), px.
        ramp: Width over which each side fades out (4,), px; 0 for a hard side.

    Returns:
        Opacities 0..1 that broadcast to (h, w); (1, 1) without a soft side.
    """
    opacity = np.ones((1, 1))
    for depth, width in zip(depths(box), ramp, strict=True):
        if width > 0:
            opacity = opacity * np.clip(depth / width, 0, 1)
    return opacity


def _color(hue: float, saturation: float, value: float) -> Floats:
    return np.array(colorsys.hsv_to_rgb(hue % 1, saturation, value))


def _clouds(rng: Generator, size: tuple[int, int], cells: int) -> Floats:
    """Smooth noise (H, W), 0..1: random values on a coarse grid, linearly interpolated."""
    grid = rng.random((cells, cells))
    rows, columns = (
        np.clip(1 - np.abs(np.linspace(0, cells - 1, n)[:, None] - np.arange(cells)), 0, None)
        for n in size
    )
    return rows @ grid @ columns.T


def background(rng: Generator, size: tuple[int, int]) -> Floats:
    """A muted texture (H, W, 3), 0..1: clouds of two dull colors, faint waves, and some pale
    blotches.

    Args:
        rng: Source of all of it.
        size: Image (height, width), px.
    """
    height, width = size
    y, x = np.arange(height)[:, None], np.arange(width)[None, :]
    dark, light = (
        _color(rng.random(), rng.uniform(0.0, 0.3), value)
        for value in (rng.uniform(0.2, 0.4), rng.uniform(0.5, 0.8))
    )
    mix = 0.6 * _clouds(rng, size, 4) + 0.4 * _clouds(rng, size, int(rng.integers(10, 40)))
    angle, period = rng.uniform(0, np.pi), rng.uniform(6, 30)
    waves = np.sin(2 * np.pi * (np.cos(angle) * x + np.sin(angle) * y) / period)
    mix = np.clip(mix + rng.uniform(0, 0.12) * waves, 0, 1)
    for _ in range(rng.integers(0, 4)):
        center, radii = rng.uniform(0, [width, height]), rng.uniform(8, 45, 2)
        blotch = ((x - center[0]) / radii[0]) ** 2 + ((y - center[1]) / radii[1]) ** 2 < 1
        mix = np.where(blotch, 0.6 * mix + 0.4 * rng.random(), mix)
    return dark + mix[..., None] * (light - dark)


def surface(rng: Generator, box: Floats, kind: ObjectClass) -> Floats:
    """The object's colors on its window (h, w, 3), around 0..1: its class's hue and texture under a
    slanting light.

    Args:
        rng: Source of the shade, the texture's period and phase, and the light.
        box: Clean box (4,), px.
        kind: The class.
    """
    rows, columns = window(box)
    x, y = _centers(columns)[None, :] - box[0], _centers(rows)[:, None] - box[1]
    shortest = float((box[2:] - box[:2]).min())
    period = rng.uniform(4.5, 6.5) + 0.05 * shortest
    color = _color(
        kind.hue + rng.uniform(-0.03, 0.03), rng.uniform(0.6, 0.95), rng.uniform(0.65, 1.0)
    )
    phase = rng.uniform(0, period, 2)
    brightness = 1 + rng.uniform(0.2, 0.4) * kind.texture(x + phase[0], y + phase[1], period)
    slope = rng.uniform(-0.2, 0.2, 2)
    light = 1 + slope[0] * (x / x.max() - 0.5) + slope[1] * (y / y.max() - 0.5)
    return color * (brightness * light)[..., None]
