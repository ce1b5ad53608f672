"""Box arithmetic and the two box coders, as in data/boxes.py.

Boxes are (..., 4) float32 (x1, y1, x2, y2) in px with continuous edges.
"""

import numpy as np

from scripts.engine.export.runner.arrays import Floats, floats
from scripts.engine.export.runner.description import Coder
from scripts.engine.export.runner.image import Size

TINY = np.finfo(np.float32).tiny


def clip(boxes: Floats, size: Size) -> Floats:
    """Boxes moved inside an image of (height, width) px."""
    height, width = size
    return np.clip(boxes, np.float32(0), floats((width, height, width, height)))


def rescale(boxes: Floats, old: Size, new: Size) -> Floats:
    """Boxes of an image that is resized from ``old`` to ``new`` (height, width) px."""
    x, y = new[1] / old[1], new[0] / old[0]
    return boxes * floats((x, y, x, y))


def area(boxes: Floats) -> Floats:
    """Area (...,) in px^2; 0 for an inverted box."""
    sides = np.maximum(boxes[..., 2:] - boxes[..., :2], 0)
    return sides[..., 0] * sides[..., 1]


def iou_with(box: Floats, boxes: Floats) -> Floats:
    """IoU (M,) of one box (4,) with boxes (M, 4); 0 where the union is empty."""
    top_left = np.maximum(box[:2], boxes[:, :2])
    bottom_right = np.minimum(box[2:], boxes[:, 2:])
    overlap = area(np.concatenate([top_left, bottom_right], axis=1))
    return overlap / np.maximum(area(box) + area(boxes) - overlap, TINY)


def sides_of(boxes: Floats) -> Floats:
    """(w, h, w, h): the px that belong to each of the four edges."""
    sides = boxes[..., 2:] - boxes[..., :2]
    return np.concatenate([sides, sides], axis=-1)


def decode(offsets: Floats, references: Floats, coder: Coder) -> Floats:
    """Boxes at offsets (..., 4) from references (..., 4)."""
    raw = offsets / floats(coder.weights)
    if coder.coding == "edges":
        limit = np.float32(coder.limit)
        return references + np.clip(raw, -limit, limit) * sides_of(references)
    size = references[..., 2:] - references[..., :2]
    half = np.float32(0.5)
    center = references[..., :2] + half * size + raw[..., :2] * size
    new = size * np.exp(np.minimum(raw[..., 2:], np.float32(coder.limit)))
    past = np.float32(0.0 if coder.minus_one else 1.0)
    return np.concatenate([center - half * new, center + half * new + past], axis=-1)


def sort_corners(boxes: Floats) -> Floats:
    """Boxes with x1 <= x2 and y1 <= y2."""
    low = np.minimum(boxes[..., :2], boxes[..., 2:])
    high = np.maximum(boxes[..., :2], boxes[..., 2:])
    return np.concatenate([low, high], axis=-1)


def pixel_variances(variances: Floats, references: Floats, coder: Coder) -> Floats:
    """Variances (..., 4) of edges from offset units^2 to px^2: (side / weight)^2 * variance."""
    return variances * (sides_of(references) / floats(coder.weights)) ** 2
