"""Soft-NMS on the host: the best remaining box of an image, whatever its class, until D are found.

Letters: T candidates of all images, G groups (an image and a class), M members of a group, D
detections of an image. KL Loss Algorithm 1, lines in blue; ``select`` in postprocess/suppression.py
is the same loop written to be read. Three things make this one fast and change nothing:

* Scores never increase, so the best box of a group bounds all that the group can still give. A heap
  of the groups' best boxes gives the best D boxes of an image in D steps, however many classes
  there are.
* The factors by which a box decays its neighbors do not depend on the step. They are computed for
  many boxes at once: in small groups for all boxes, in a large group for the best remaining ones.
* What is left of a step is one product and one search for the maximum.
"""

import heapq
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from itertools import islice

import numpy as np
import torch

from postprocess.arrays import Doubles, Flags, Floats, Indices
from postprocess.class_slices import SMALL, ClassSlices, iou_of_places, pairs_of
from postprocess.config import PostprocessConfig
from postprocess.suppression import Decay, gaussian_decay, hard_decay, linear_decay

LEAST = 1e-300  # a score of 0 counts as this: 0 stands for a box that is gone
FACTORS_AT_ONCE = 2**14  # of a large group: so many stay in the cache
FEWEST_ROWS = 4  # boxes of a large group whose factors are computed together, at least

Entry = tuple[float, int, int, int]  # of the heap: -score, row, place, group


def decay_and_floor(config: PostprocessConfig) -> tuple[Decay, float]:
    """The decay function and the score floor that ``config.suppression`` names."""
    if config.suppression == "hard":
        return partial(hard_decay, threshold=config.iou_threshold), -torch.inf
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


@dataclass(frozen=True, kw_only=True)
class Remaining:
    """What is left of all groups.

    scores: (T,) by place, 0 where a box is gone. members: the places of each group. floor: of the
    scores. exempt (T,): whether a box was below the floor from the start. Such a box drops out when
    it overlaps a selected one.
    """

    slices: ClassSlices
    members: list[slice]
    scores: Doubles
    floor: float
    exempt: Flags

    def best(self, group: int) -> Entry | None:
        """The best remaining box of a group, of equal ones the first; None if none is left."""
        members = self.members[group]
        scores = self.scores[members]
        slot = int(scores.argmax())
        best = scores.item(slot)
        if best < self.floor and not self.exempt[members.start + slot]:
            scores[(scores < self.floor) & ~self.exempt[members]] = 0
            slot = int(scores.argmax())
            best = scores.item(slot)
        place = members.start + slot
        return (-best, self.slices.order.item(place), place, group) if best > 0 else None

    def gone(self, members: slice) -> Flags:
        """Which of the boxes at ``members`` are selected or dropped."""
        scores = self.scores[members]
        return (scores == 0) | ((scores < self.floor) & ~self.exempt[members])


@dataclass(kw_only=True)
class Factors:
    """What a selected box multiplies the scores of its group with: decay(IoU), 0 for itself.

    small: the factors of all boxes of small groups, one row of M after the other; starts (T,):
    where each row begins. large: the rows of boxes of large groups, by place, once they are known.
    """

    remaining: Remaining
    decay: Decay
    small: Doubles
    starts: list[int]
    large: dict[int, Doubles] = field(default_factory=dict)

    def of(self, place: int, group: int) -> Doubles:
        """The factors (M,) of the box at a place."""
        members = self.remaining.members[group]
        size = members.stop - members.start
        if size <= SMALL:
            return self.small[self.starts[place] : self.starts[place] + size]
        if place not in self.large:
            self.large.update(factors_of_best(self.remaining, members, self.decay))
        return self.large.pop(place)


def factors_of(iou: Floats, exempt: Flags, decay: Decay) -> Doubles:
    """decay(IoU) of pairs (..., P); 0 for pairs that overlap where the member is exempt (P,)."""
    factors = decay(iou).astype(np.float64)
    if exempt.any():
        factors[(iou > 0) & exempt] = 0
    return factors


def factors_of_small_groups(remaining: Remaining, decay: Decay) -> Factors:
    """The factors of all boxes of the small groups."""
    slices = remaining.slices
    size = slices.size[slices.group]
    places = (size <= SMALL).nonzero()[0]
    box, member = pairs_of(slices, places)
    iou = iou_of_places(slices, places[box], member)
    factors = factors_of(iou, remaining.exempt[member], decay)
    factors[places[box] == member] = 0
    lengths = np.where(size <= SMALL, size, 0)
    starts = (lengths.cumsum() - lengths).tolist()
    return Factors(remaining=remaining, decay=decay, small=factors, starts=starts)


def factors_of_best(remaining: Remaining, members: slice, decay: Decay) -> dict[int, Doubles]:
    """The factors of the best remaining boxes of a large group, by place."""
    scores = remaining.scores[members]
    count = min(len(scores), max(FEWEST_ROWS, FACTORS_AT_ONCE // len(scores)))
    best = np.argpartition(scores, len(scores) - count)[len(scores) - count :]
    # The very best one is what the caller needs, also if others have the same score.
    best[0] = scores.argmax()
    iou = iou_of_places(remaining.slices, best[:, None] + members.start, members)
    factors = factors_of(iou, remaining.exempt[members], decay)
    factors[np.arange(count), best] = 0
    return dict(zip((best + members.start).tolist(), factors, strict=True))


def select_best(
    slices: ClassSlices,
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
        slices: the candidates.
        scores: (T,) probabilities by place.
        images: (G,) the image of each group, ascending.
        decay: IoU (P,) -> factor (P,) in [0, 1].
        floor: a box that overlaps a selected one is dropped when its decayed score is below.
        max_detections: D, of each image.
        exits: whether to find the exit steps.

    Returns:
        what was selected. Of equal scores the lowest row comes first.
    """
    firsts, lasts = slices.first.tolist(), (slices.first + slices.size).tolist()
    remaining = Remaining(
        slices=slices,
        scores=np.maximum(scores, LEAST),
        members=[slice(first, last) for first, last in zip(firsts, lasts, strict=True)],
        floor=floor,
        exempt=scores < floor,
    )
    factors = factors_of_small_groups(remaining, decay)
    exit_step = np.full(len(scores), len(scores)) if exits else None
    found: list[tuple[int, float, int]] = []
    ends = np.flatnonzero(np.diff(images, append=-1)) + 1
    for first, end in zip([0, *ends.tolist()], ends.tolist(), strict=False):
        best = best_of_image(remaining, factors, range(first, end), exit_step)
        found.extend(islice(best, max_detections))
    columns = np.array(found, dtype=np.float64).reshape(-1, 3).T
    return Selected(
        place=columns[0].astype(np.int64),
        scores=columns[1],
        step=columns[2].astype(np.int64),
        exit_step=exit_step,
    )


def best_of_image(
    remaining: Remaining, factors: Factors, groups: range, exit_step: Indices | None
) -> Iterator[tuple[int, float, int]]:
    """(place, score, step) of the boxes of some groups, best first.

    Args:
        remaining: the scores, which change.
        factors: of the boxes.
        groups: of one image.
        exit_step: (T,) is filled in; None if nobody asked.
    """
    heap = [entry for group in groups if (entry := remaining.best(group)) is not None]
    heapq.heapify(heap)
    steps = dict.fromkeys(groups, 0)
    while heap:
        negative_score, _, place, group = heap[0]
        yield place, -negative_score, steps[group]
        members = remaining.members[group]
        remaining.scores[members] *= factors.of(place, group)
        if exit_step is not None:
            part = exit_step[members]
            part[remaining.gone(members) & (part == len(exit_step))] = steps[group]
        steps[group] += 1
        following = remaining.best(group)
        if following is None:
            heapq.heappop(heap)
        else:
            heapq.heapreplace(heap, following)
