"""Where the objects of a rendered scene are: sizes, classes, boxes and soft sides, drawn at random.

Letters: G objects, K classes. Boxes are (x1, y1, x2, y2) in px.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from data.mini.appearance import CLASSES, Floats

IMAGE_SIZES = (
    ((160, 208),) * 5 + ((208, 160),) * 2 + ((160, 192), (176, 208), (192, 160))
)  # (height, width) px
OBJECTS = (2, 6)  # fewest and most objects in a scene
EXTENTS = {
    "small": (15.0, 31.0),
    "medium": (33.0, 94.0),
    "large": (97.0, 116.0),
}  # sqrt(w * h) px: COCO's ranges
SHARES = {"small": 0.24, "medium": 0.54, "large": 0.22}
SHORTEST_SIDE = 12.0  # px, of a clean box
OVERLAPPING = 0.35  # probability that an object is put onto a side of another one
PLACES = 40  # trials to find a place for an object
MOST_COVERED = 0.5  # at most this part of a box may lie under the boxes of later objects
MOST_IOU = 0.35  # of two clean boxes: NMS at 0.5 must be able to keep both

SOFT_PROBABILITY = 0.35  # that one side of an object fades out
SOFT_RAMP = (0.15, 0.35)  # width of the fading, of the box's length
SOFT_SIGMA = 0.4  # of the ramp
MARGIN = 3.0  # px between a clean box and the image border, plus BORDER_SIGMAS * sigma
# noise may not leave the image, so sigma is at most the room next to the side / BORDER_SIGMAS
BORDER_SIGMAS = 2.5


@dataclass(frozen=True, kw_only=True)
class Layout:
    """Where the objects of a scene are, in drawing order (a later one hides an earlier one).

    size (height, width) px; labels (G,) 1..K; clean_boxes (G, 4) px; ramps (G, 4) px: the width
    over which each side fades out, 0 for a hard side.
    """

    size: tuple[int, int]
    labels: NDArray[np.int64]
    clean_boxes: Floats
    ramps: Floats


def _draw_sides(rng: Generator, extent: float, most: tuple[float, float]) -> Floats:
    """Width and height (2,) px with width * height near extent^2, each from SHORTEST_SIDE to
    ``most``.
    """
    stretch = np.exp(rng.uniform(-0.45, 0.45) * (0.6 if extent > EXTENTS["large"][0] else 1.0))
    return np.clip([extent * stretch, extent / stretch], SHORTEST_SIDE, most)


def _draw_corner_on_side(rng: Generator, sides: Floats, placed: Sequence[Floats]) -> Floats:
    """Top left corner (2,) px that puts a box of ``sides`` (2,) px onto a side of one of the boxes
    in ``placed``.
    """
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
    overlap = np.minimum(stack[:, None, 2:], stack[None, :, 2:]) - np.maximum(
        stack[:, None, :2], stack[None, :, :2]
    )
    common = overlap.clip(min=0).prod(axis=-1)
    areas = np.diag(common)
    iou = common / (areas[:, None] + areas[None, :] - common)
    covered = np.triu(common, 1).sum(axis=1) / areas
    return bool((np.triu(iou, 1) <= MOST_IOU).all() and (covered <= MOST_COVERED).all())


def _find_place(
    rng: Generator, sides: Floats, lowest: Floats, highest: Floats, placed: Sequence[Floats]
) -> tuple[Floats, int] | None:
    """Box (4,) px and rank in the drawing order of a new object, or None if no place was found.

    With probability OVERLAPPING the object is to lie on a side of another one; otherwise apart from
    all others, and anywhere once PLACES / 2 trials have shown that the scene is too full for that.
    """
    overlapping = bool(placed) and rng.random() < OVERLAPPING
    for trial in range(PLACES):
        corner = (
            _draw_corner_on_side(rng, sides, placed)
            if overlapping
            else rng.uniform(lowest, highest)
        )
        corner = np.clip(corner, lowest, highest)
        box = np.concatenate([corner, corner + sides]).round(2)
        rank = int(rng.integers(len(placed) + 1))
        allowed = overlapping or trial >= PLACES / 2 or not _overlaps(box, placed)
        if allowed and _fits([*placed[:rank], box, *placed[rank:]]):
            return box, rank
    return None


def draw_layout(rng: Generator) -> Layout:
    """Draws the size of a scene and the classes, boxes and soft sides of its objects.

    The largest object is placed first, because it needs most room; its place in the drawing order
    is random. An object that finds no place is left out, but never so many that fewer than
    OBJECTS[0] remain.
    """
    size = IMAGE_SIZES[rng.integers(len(IMAGE_SIZES))]
    image_sides = np.array(size[::-1], dtype=float)
    count = int(rng.integers(OBJECTS[0], OBJECTS[1] + 1))
    extent_kinds = rng.choice(list(SHARES), p=list(SHARES.values()), size=count)
    drawn = [float(np.exp(rng.uniform(*np.log(EXTENTS[kind])))) for kind in extent_kinds]
    extents = sorted(drawn, reverse=True)
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
    return Layout(
        size=size, labels=np.array(labels), clean_boxes=np.array(boxes), ramps=np.array(ramps)
    )
