"""Candidates sorted by image and class on the host, so that each class of an image is one slice.

Letters: T candidates of all images, G groups (an image and a class). These are NumPy arrays, not
tensors, see postprocess/arrays.py.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from torch import Tensor

from postprocess.arrays import Floats, Indices

TINY = np.finfo(np.float32).tiny
# A group of at most this many candidates is small: all its pairs are looked at together with those
# of the other small groups. This bounds the pairs to SMALL * T.
SMALL = 128
CHUNK = 2**15  # pairs of a larger group looked at at a time: they stay in the cache


@dataclass(frozen=True, kw_only=True)
class ClassSlices:
    """The candidates in the order of their groups; in a group they keep their order.

    order (T,): the row that is at each place; boxes (4, T) px and area (T,) px^2 by place; group
    (T,): the group of each place; first, size (G,): the first place and the number of places of
    each group.
    """

    order: Indices
    boxes: Floats
    area: Floats
    group: Indices
    first: Indices
    size: Indices


def slice_classes(boxes: Tensor, keys: Tensor) -> ClassSlices:
    """Sorts candidates by their keys.

    Args:
        boxes: (T, 4) float32 px, on the host.
        keys: (T,) i64; equal keys mean the same group. Groups come in the order of their keys.

    Law: ``order`` is a permutation of 0..T-1.
    """
    rows = keys.numpy()
    order = rows.argsort(kind="stable")
    ordered = rows[order]
    begins = np.ones(len(ordered), dtype=bool)
    np.not_equal(ordered[1:], ordered[:-1], out=begins[1:])
    first = begins.nonzero()[0]
    columns = np.ascontiguousarray(boxes.numpy()[order].T)
    sides = np.maximum(columns[2:] - columns[:2], 0)
    return ClassSlices(
        order=order,
        boxes=columns,
        area=sides[0] * sides[1],
        group=begins.cumsum() - 1,
        first=first,
        size=np.diff(first, append=len(ordered)),
    )


def iou_of_places(slices: ClassSlices, some: Indices, others: Indices | slice) -> Floats:
    """IoU of the boxes at ``some`` places with those at ``others``; 0 where the union is empty.

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
    np.maximum(union, TINY, out=union)
    overlap /= union
    return overlap


class Pairs(NamedTuple):
    """Pairs of a box and a member of its group, box after box.

    box (P,): an index into the boxes that were asked for; member (P,): a place.
    """

    box: Indices
    member: Indices


def pairs_of(slices: ClassSlices, places: Indices) -> Pairs:
    """All pairs of a box at one of ``places`` (D,) with a member of its group, itself included."""
    group = slices.group[places]
    size = slices.size[group]
    box = np.repeat(np.arange(len(places)), size)
    before = np.cumsum(size) - size
    member = np.arange(len(box)) - np.repeat(before - slices.first[group], size)
    return Pairs(box, member)


class Neighborhood(NamedTuple):
    """Some boxes, the members of their groups, and the IoU of each pair.

    box, member and iou broadcast to one shape: (P,) for boxes of several small groups; (D, 1), (M,)
    and (D, M) for boxes of one large group. box: indices into the boxes that were asked for;
    member: places. The IoU of a box with itself is 1, even if it has no area.
    """

    box: Indices
    member: Indices
    iou: Floats


def neighborhoods_of(slices: ClassSlices, places: Indices) -> Iterator[Neighborhood]:
    """The neighborhoods of the boxes at ``places`` (D,), a bounded number of pairs at a time."""
    group = slices.group[places]
    small = slices.size[group] <= SMALL
    few = small.nonzero()[0]
    for start in range(0, len(few), CHUNK // SMALL):
        part = few[start : start + CHUNK // SMALL]
        box, member = pairs_of(slices, places[part])
        iou = iou_of_places(slices, places[part][box], member)
        iou[places[part][box] == member] = 1
        yield Neighborhood(part[box], member, iou)
    for index in np.unique(group[~small]):
        boxes = (group == index).nonzero()[0]
        first, size = int(slices.first[index]), int(slices.size[index])
        step = max(1, CHUNK // size)
        for start in range(0, len(boxes), step):
            part = boxes[start : start + step]
            iou = iou_of_places(slices, places[part, None], slice(first, first + size))
            iou[np.arange(len(part)), places[part] - first] = 1
            yield Neighborhood(part[:, None], np.arange(first, first + size), iou)
