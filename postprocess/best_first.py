"""Soft-NMS on the host: the best remaining box of an image, whatever its class, until D are found.

Letters: T candidates of all images, M members of a group (an image and a class), D detections of an
image. KL Loss Algorithm 1, lines in blue; ``select`` in postprocess/suppression.py is the same loop
written to be read. Three things make this one fast and change nothing:

* Scores never increase. So the score that a box had when it was last looked at bounds the one that
  it has, and a heap of such scores gives the best D boxes of an image in little more than D steps,
  however many classes there are.
* The factors by which a box decays its neighbors do not depend on the step: they are computed for
  many boxes at once.
* In a small group a step touches the boxes that overlap the selected one, in a large group it is
  one product and one search for the maximum.
"""

import heapq
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from itertools import repeat

import numpy as np

from postprocess.arrays import Doubles, Flags, Indices
from postprocess.class_slices import ClassSlices
from postprocess.config import PostprocessConfig
from postprocess.overlaps import SMALL, TOGETHER, Overlaps
from postprocess.suppression import Decay, gaussian_decay, hard_decay, linear_decay

LEAST = 1e-300  # a score of 0 counts as this: 0 stands for a box that is gone
FEWEST_ROWS = 4  # boxes of a large group whose factors are computed together, at least
SMALL_GROUP = -1  # in the heap: a box of a small group

Entry = tuple[float, int, int, int]  # of the heap: -score, row, place, large group or SMALL_GROUP


def decay_and_floor(config: PostprocessConfig) -> tuple[Decay, float]:
    """The decay function and the score floor that ``config.suppression`` names."""
    if config.suppression == "hard":
        return partial(hard_decay, threshold=config.iou_threshold), -np.inf
    if config.suppression == "soft_linear":
        return partial(linear_decay, threshold=config.iou_threshold), config.score_floor
    return partial(gaussian_decay, sigma=config.soft_nms_sigma), config.score_floor


@dataclass(frozen=True, kw_only=True)
class Selected:
    """The selected boxes, image after image, in the order of their selection.

    place (S,): where they are in the slices; scores (S,) after decay; step (S,): how many boxes of
    its group were selected before; exit_step (T,): the step of its group in which the box at each
    place was selected or dropped, T if it was still there at the end; None if nobody asked.
    """

    place: Indices
    scores: Doubles
    step: Indices
    exit_step: Indices | None


@dataclass(kw_only=True)
class LargeGroup:
    """What is left of a large group.

    overlaps: of all candidates. index: of the group. scores: (M,), 0 where a box is gone. decay,
    floor: as in ``select_best``. first: the place of the first member. exit_step: (M,) or None, a
    view of Selected's. factors: of the boxes that probably come next, by place.
    """

    overlaps: Overlaps
    index: int
    scores: Doubles
    decay: Decay
    floor: float
    first: int
    exit_step: Indices | None
    factors: dict[int, Doubles] = field(default_factory=dict)

    def __post_init__(self) -> None:
        # Below the floor from the start: such a box drops out when a selected one overlaps it.
        self.exempt = self.scores < self.floor
        self.any_exempt = bool(self.exempt.any())

    def best(self) -> Entry | None:
        """The best remaining box, of equal ones the first; None if none is left."""
        slot = int(self.scores.argmax())
        score = self.scores.item(slot)
        if score < self.floor and not self.exempt[slot]:
            self.scores[self.fallen()] = 0
            slot = int(self.scores.argmax())
            score = self.scores.item(slot)
        place = self.first + slot
        row = self.overlaps.slices.order.item(place)
        return (-score, row, place, self.index) if score > 0 else None

    def fallen(self) -> Flags:
        """The boxes (M,) that decay brought below the floor."""
        return (self.scores < self.floor) & ~self.exempt

    def select(self, place: int, step: int) -> None:
        """Takes the box at ``place`` out and decays the others."""
        if place not in self.factors:
            self.add_factors(place)
        self.scores *= self.factors.pop(place)
        if self.exit_step is not None:
            gone = (self.scores == 0) | self.fallen()
            never = len(self.overlaps.slices.order)
            self.exit_step[gone & (self.exit_step == never)] = step

    def add_factors(self, place: int) -> None:
        """Computes the factors of the best remaining boxes, that at ``place`` among them."""
        size = len(self.scores)
        count = min(size, max(FEWEST_ROWS, TOGETHER // size))
        best = np.argpartition(self.scores, size - count)[size - count :]
        best[0] = place - self.first  # also if others have the same score
        places = (best + self.first).tolist()
        iou = self.overlaps.rows_of(self.index, places)
        factors = self.decay(iou).astype(np.float64)
        if self.any_exempt:
            factors[(iou > 0) & self.exempt] = 0
        factors[np.arange(count), best] = 0
        self.factors.update(zip(places, factors, strict=True))


@dataclass(kw_only=True)
class SmallGroups:
    """What is left of all small groups, as lists: they are read and written number by number.

    scores: by place, 0 where a box is gone. floor: as in ``select_best``. starts, members, factors:
    the boxes that overlap each box, and what it decays them by, see ``Pairs``. exit_step: by place,
    or None.
    """

    scores: list[float]
    floor: float
    starts: list[int]
    members: Indices
    factors: Doubles
    exit_step: Indices | None

    def select(self, place: int, step: int) -> None:
        """Takes the box at ``place`` out and decays those that overlap it."""
        self.scores[place] = 0.0
        pairs = slice(self.starts[place], self.starts[place + 1])
        members, factors = self.members[pairs].tolist(), self.factors[pairs].tolist()
        for member, factor in zip(members, factors, strict=True):
            score = self.scores[member] * factor
            self.scores[member] = score if score >= self.floor else 0.0
        if self.exit_step is not None:
            gone = [member for member in members if self.scores[member] == 0]
            self.exit_step[gone] = np.minimum(self.exit_step[gone], step)


def select_best(
    overlaps: Overlaps,
    scores: Doubles,
    images: Indices,
    *,
    decay: Decay,
    floor: float,
    max_detections: int,
    exits: bool = False,
) -> Selected:
    """The best boxes of every image, each after the decay by those of its class that came before.

    Args:
        overlaps: of the candidates.
        scores: (T,) probabilities by place.
        images: (G,) the image of each group, ascending.
        decay: IoU (P,) -> factor (P,) in [0, 1].
        floor: a box that overlaps a selected one is dropped when its decayed score is below.
        max_detections: D, of each image.
        exits: whether to find the exit steps.

    Returns:
        what was selected. Of equal scores the lowest row comes first.
    """
    slices = overlaps.slices
    exit_step = np.full(len(scores), len(scores)) if exits else None
    scores = np.maximum(scores, LEAST)
    pairs = overlaps.pairs
    small = SmallGroups(
        scores=scores.tolist(),
        floor=floor,
        starts=pairs.starts.tolist(),
        members=pairs.member,
        factors=decay(pairs.iou).astype(np.float64),
        exit_step=exit_step,
    )
    large = {}
    for index in (slices.size > SMALL).nonzero()[0].tolist():
        members = overlaps.members(index)
        large[index] = LargeGroup(
            overlaps=overlaps,
            index=index,
            scores=scores[members],
            decay=decay,
            floor=floor,
            first=members.start,
            exit_step=None if exit_step is None else exit_step[members],
        )
    found = []
    for heap in heaps_of_images(slices, scores, images, large):
        found.extend(best_of_image(heap, slices.group, small, large, max_detections))
    columns = np.array(found, dtype=np.float64).reshape(-1, 3).T
    place, step = columns[[0, 2]].astype(np.int64)
    return Selected(place=place, scores=columns[1], step=step, exit_step=exit_step)


def heaps_of_images(
    slices: ClassSlices, scores: Doubles, images: Indices, large: Mapping[int, LargeGroup]
) -> Iterator[list[Entry]]:
    """A heap for each image: the boxes of its small groups and the best box of each large one."""
    size = slices.size[slices.group]
    places = (size <= SMALL).nonzero()[0]
    columns = (-scores[places], slices.order[places], places)
    entries = list(zip(*(column.tolist() for column in columns), repeat(SMALL_GROUP)))
    image_of = images[slices.group[places]]
    for image in np.unique(images).tolist():
        begin, end = image_of.searchsorted([image, image + 1]).tolist()
        heap: list[Entry] = entries[begin:end]
        bests = (group.best() for index, group in large.items() if images[index] == image)
        heap.extend(best for best in bests if best is not None)
        heapq.heapify(heap)
        yield heap


def best_of_image(
    heap: list[Entry],
    group_of: Indices,
    small: SmallGroups,
    large: Mapping[int, LargeGroup],
    max_detections: int,
) -> list[tuple[int, float, int]]:
    """(place, score, step) of the best boxes of an image, best first.

    Args:
        heap: of the image; it is used up.
        group_of: (T,) the group of each place.
        small, large: what is left of the groups.
        max_detections: D.
    """
    found: list[tuple[int, float, int]] = []
    steps: defaultdict[int, int] = defaultdict(int)
    while heap and len(found) < max_detections:
        negative, row, place, index = heap[0]
        following: Entry | None = None
        if index != SMALL_GROUP or small.scores[place] == -negative:
            group = group_of.item(place)
            found.append((place, -negative, steps[group]))
            if index == SMALL_GROUP:
                small.select(place, steps[group])
            else:
                large[index].select(place, steps[group])
                following = large[index].best()
            steps[group] += 1
        elif small.scores[place] > 0:  # decayed since it was put into the heap
            following = (-small.scores[place], row, place, index)
        if following is None:
            heapq.heappop(heap)
        else:
            heapq.heapreplace(heap, following)
    return found
