"""Candidates sorted by image and class on the host, so that each class of an image is one slice.

Letters: T candidates of all images, G groups (an image and a class). These are NumPy arrays, not
tensors, see postprocess/arrays.py.
"""

from dataclasses import dataclass

import numpy as np

from postprocess.arrays import Floats, Indices

TINY = np.finfo(np.float32).tiny


@dataclass(frozen=True, kw_only=True)
class ClassSlices:
    """The candidates in the order of their groups; in a group they keep their order.

    order (T,): the row that is at each place; boxes (4, T) px and area (T,) px^2, at least TINY, by
    place; group (T,): the group of each place; first, size (G,): the first place and the number of
    places of each group.
    """

    order: Indices
    boxes: Floats
    area: Floats
    group: Indices
    first: Indices
    size: Indices


def slice_classes(boxes: Floats, keys: Indices) -> ClassSlices:
    """Sorts candidates by their keys.

    Args:
        boxes: (T, 4) px.
        keys: (T,); equal keys mean the same group. Groups come in the order of their keys.

    Law: ``order`` is a permutation of 0..T-1.
    """
    order = keys.argsort(kind="stable")
    ordered = keys[order]
    begins = np.ones(len(ordered), dtype=bool)
    np.not_equal(ordered[1:], ordered[:-1], out=begins[1:])
    first = begins.nonzero()[0]
    ends = np.append(first[1:], len(ordered))
    columns = boxes[order].T.copy()
    sides = np.maximum(columns[2:] - columns[:2], 0)
    return ClassSlices(
        order=order,
        boxes=columns,
        area=np.maximum(sides[0] * sides[1], TINY),
        group=begins.cumsum() - 1,
        first=first,
        size=ends - first,
    )


def iou_of_places(slices: ClassSlices, some: Indices, others: Indices | slice) -> Floats:
    """IoU of the boxes at ``some`` places with those at ``others``; 0 where neither has an area.

    The shapes of the two broadcast: (P,) with (P,) are P pairs, (D, 1) with a slice of M places is
    a table (D, M). Equals data.boxes.box_iou to the last bit.
    """
    x1, y1, x2, y2 = slices.boxes
    across = np.minimum(x2[some], x2[others])
    across -= np.maximum(x1[some], x1[others])
    np.maximum(across, 0, out=across)
    overlap = np.minimum(y2[some], y2[others])
    overlap -= np.maximum(y1[some], y1[others])
    np.maximum(overlap, 0, out=overlap)
    overlap *= across
    union = slices.area[some] + slices.area[others]
    union -= overlap
    overlap /= union
    return overlap
