"""IoUs of candidates with the members of their groups, computed for many boxes at once and kept for
whoever asks next: suppression, and then the vote.

Letters: T candidates of all images, D boxes that are asked for, M members of a group, W members of
the largest small group. Memory is linear in T for a given D: a small group has at most SMALL
members, and a large one has a row for each box that was asked for or came along.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple

import numpy as np

from postprocess.arrays import Flags, Floats, Indices
from postprocess.class_slices import ClassSlices, iou_of_places

# Small groups are looked at together, each with as many columns as the largest of them has members.
SMALL = 40
PAIRS_AT_A_TIME = 2**13  # pairs of a large group computed at a time: so many stay in the cache


class Neighborhood(NamedTuple):
    """Some boxes, the members of their groups, and the IoU of each pair.

    box (D, 1): indices into the boxes that were asked for. member: places, (M,) for boxes of one
    large group, (D, W) for boxes of small groups. iou (D, M) or (D, W): of a box with itself 1,
    even if it has no area, and 0 in the padding of small groups.
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
    def small(self) -> Flags:
        """(G,) whether a group is small."""
        return self.slices.size <= SMALL

    @cached_property
    def small_table(self) -> tuple[Indices, Floats]:
        """``of_small_groups`` for all places of small groups, one after the other."""
        return self.of_small_groups(self.small[self.slices.group].nonzero()[0])

    def of_small_groups(self, places: Indices) -> tuple[Indices, Floats]:
        """Member and iou (D, W), as in Neighborhood, of boxes of small groups."""
        slices = self.slices
        group = slices.group[places]
        first, size = slices.first[group], slices.size[group, None]
        slots = np.arange(slices.size[self.small].max(initial=0))
        member = np.minimum(slots, size - 1)
        member += first[:, None]
        iou = iou_of_places(slices, places[:, None], member)
        iou[slots >= size] = 0
        iou[np.arange(len(places)), places - first] = 1
        return member, iou

    def members(self, group: int) -> slice:
        """The places of a group."""
        first = int(self.slices.first[group])
        return slice(first, first + int(self.slices.size[group]))

    def rows_of(self, group: int, places: Sequence[int]) -> Floats:
        """IoUs (D, M) of boxes of a large group with all of it; what is new is kept."""
        members = self.members(group)
        size = members.stop - members.start
        wanted = [place for place in places if place not in self.rows]
        step = max(1, PAIRS_AT_A_TIME // size)
        for start in range(0, len(wanted), step):
            part = np.array(wanted[start : start + step])
            iou = iou_of_places(self.slices, part[:, None], members)
            iou[np.arange(len(part)), part - members.start] = 1
            self.rows.update(zip(part.tolist(), iou, strict=True))
        return np.concatenate([self.rows[place] for place in places]).reshape(-1, size)

    def neighborhoods(self, places: Indices) -> Iterator[Neighborhood]:
        """The neighborhoods of the boxes at ``places`` (D,): all small groups, then group by
        group.
        """
        group = self.slices.group[places]
        small = self.small[group]
        few = small.nonzero()[0]
        if len(few):
            yield Neighborhood(few[:, None], *self.among_small_groups(places[few]))
        for index in np.unique(group[~small]).tolist():
            boxes = (group == index).nonzero()[0]
            members = self.members(index)
            iou = self.rows_of(index, places[boxes].tolist())
            yield Neighborhood(boxes[:, None], np.arange(members.start, members.stop), iou)

    def among_small_groups(self, places: Indices) -> tuple[Indices, Floats]:
        """``of_small_groups``, looked up if the whole table was computed."""
        if "small_table" not in vars(self):
            return self.of_small_groups(places)
        before = self.small[self.slices.group].cumsum() - 1
        member, iou = self.small_table
        return member[before[places]], iou[before[places]]
