"""IoUs of candidates with the members of their groups, computed for many boxes at once and kept for
whoever asks next: suppression, and then the vote.

Letters: T candidates of all images, D boxes that are asked for, M members of a group, P pairs.
Memory is linear in T: small groups have at most SMALL pairs a candidate, large ones a row for each
box that was asked for or came along.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple

import numpy as np

from postprocess.arrays import Floats, Indices
from postprocess.class_slices import ClassSlices, iou_of_places

# Up to this size all pairs of a group are looked at, together with those of the other small groups.
SMALL = 40
TOGETHER = 2**13  # pairs of a large group computed at a time: so many stay in the cache


class Pairs(NamedTuple):
    """The pairs of small groups that overlap, box after box; a box overlaps itself with IoU 1.

    starts (T + 1,): where the pairs of the box at each place begin; member, iou (P,).
    """

    starts: Indices
    member: Indices
    iou: Floats


class Neighborhood(NamedTuple):
    """Some boxes, members of their groups, and the IoU of each pair.

    box, member and iou broadcast to one shape: (P,) for boxes of small groups, of which only pairs
    that overlap are there; (D, 1), (M,) and (D, M) for boxes of one large group. box: indices into
    the boxes that were asked for; member: places. The IoU of a box with itself is 1, even if it has
    no area.
    """

    box: Indices
    member: Indices
    iou: Floats


@dataclass(kw_only=True)
class Overlaps:
    """The overlaps of candidates, as far as somebody asked for them.

    slices: the candidates. rows: IoUs (M,) of boxes of large groups with their groups, by place.
    """

    slices: ClassSlices
    rows: dict[int, Floats] = field(default_factory=dict)

    @cached_property
    def pairs(self) -> Pairs:
        """The pairs of all small groups."""
        slices = self.slices
        size = slices.size[slices.group]
        small = np.where(size <= SMALL, size, 0)
        box = np.repeat(np.arange(len(size)), small)
        before = small.cumsum() - small
        member = np.arange(len(box)) - np.repeat(before - slices.first[slices.group], small)
        iou = iou_of_places(slices, box, member)
        iou[box == member] = 1
        near = iou.nonzero()[0]
        starts = np.zeros(len(size) + 1, dtype=np.int64)
        np.cumsum(np.bincount(box[near], minlength=len(size)), out=starts[1:])
        return Pairs(starts, member[near], iou[near])

    def members(self, group: int) -> slice:
        """The places of a group."""
        first = int(self.slices.first[group])
        return slice(first, first + int(self.slices.size[group]))

    def rows_of(self, group: int, places: Sequence[int]) -> Floats:
        """IoUs (D, M) of boxes of a large group with all of it; what is new is kept."""
        members = self.members(group)
        size = members.stop - members.start
        wanted = [place for place in places if place not in self.rows]
        step = max(1, TOGETHER // size)
        for start in range(0, len(wanted), step):
            part = np.array(wanted[start : start + step])
            iou = iou_of_places(self.slices, part[:, None], members)
            iou[np.arange(len(part)), part - members.start] = 1
            self.rows.update(zip(part.tolist(), iou, strict=True))
            if len(part) == len(places):
                return iou
        return np.concatenate([self.rows[place] for place in places]).reshape(-1, size)

    def neighborhoods(self, places: Indices) -> Iterator[Neighborhood]:
        """The neighborhoods of the boxes at ``places`` (D,): all small groups, then group by
        group.
        """
        group = self.slices.group[places]
        small = self.slices.size[group] <= SMALL
        few = small.nonzero()[0]
        if len(few):
            yield self.of_small_groups(few, places[few])
        for index in np.unique(group[~small]).tolist():
            boxes = (group == index).nonzero()[0]
            members = self.members(index)
            iou = self.rows_of(index, places[boxes].tolist())
            yield Neighborhood(boxes[:, None], np.arange(members.start, members.stop), iou)

    def of_small_groups(self, boxes: Indices, places: Indices) -> Neighborhood:
        """The pairs of boxes at ``places`` (D,), which are called ``boxes`` (D,)."""
        starts, member, iou = self.pairs
        counts = starts[places + 1] - starts[places]
        before = counts.cumsum() - counts
        chosen = np.arange(int(counts.sum())) + np.repeat(starts[places] - before, counts)
        return Neighborhood(np.repeat(boxes, counts), member[chosen], iou[chosen])
