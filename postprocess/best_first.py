"""Soft-NMS on the host: the best boxes of an image, whatever their class, until D are found.

Letters: T candidates of all images, M members of a group (an image and a class), D detections of an
image. KL Loss Algorithm 1, lines in blue; ``select`` in postprocess/suppression.py is the same loop
written to be read. Three things make this one fast and change nothing:

* In its group a selected score is never higher than the one before. So the groups of an image are
  sorted sequences, which are merged until D boxes are found; nobody asks a large group for more.
* The factors by which a box decays the others do not depend on the step: they are computed for many
  boxes at once.
* Small groups are selected from side by side (postprocess/small_groups.py).
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from heapq import merge
from itertools import islice, pairwise

import numpy as np

from postprocess.arrays import Doubles, Flags, Indices
from postprocess.config import PostprocessConfig
from postprocess.overlaps import PAIRS_AT_A_TIME, Overlaps
from postprocess.small_groups import LEAST, decayed, select_of_small_groups
from postprocess.suppression import Decay, gaussian_decay, hard_decay, linear_decay

FEWEST_ROWS = 4  # boxes of a large group whose factors are computed together, at least

Entry = tuple[float, int, int, int]  # a selected box: -score, row, place, step of its group


def decay_and_floor(config: PostprocessConfig) -> tuple[Decay, float]:
    """The decay function and the score floor that ``config.suppression`` names."""
    if config.suppression == "hard":
        return partial(hard_decay, threshold=config.iou_threshold), -np.inf
    if config.suppression == "soft_linear":
        return partial(linear_decay, threshold=config.iou_threshold), config.score_floor
    return partial(gaussian_decay, sigma=config.soft_nms_sigma), config.score_floor


@dataclass(frozen=True, kw_only=True)
class SelectedPlaces:
    """The selected boxes by their places, image after image, in the order of their selection.

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
    view of that of SelectedPlaces. factors: of the boxes that probably come next, by place.
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

    def selections(self) -> Iterator[Entry]:
        """Box after box; of equal scores the first. Each decays the others when the next is asked
        for.
        """
        for step in range(len(self.scores)):
            slot, score = self.best()
            if score <= 0:
                return
            place = self.first + slot
            yield -score, self.overlaps.slices.order.item(place), place, step
            self.select(place, step)

    def best(self) -> tuple[int, float]:
        """Slot and score of the best remaining box, of equal ones the first."""
        slot = int(self.scores.argmax())
        score = self.scores.item(slot)
        if score < self.floor and not self.exempt[slot]:
            self.scores[self.fallen()] = 0
            slot = int(self.scores.argmax())
            score = self.scores.item(slot)
        return slot, score

    def fallen(self) -> Flags:
        """The boxes (M,) that decay brought below the floor."""
        return (self.scores < self.floor) & ~self.exempt

    def select(self, place: int, step: int) -> None:
        """Takes the box at ``place`` out and decays the others."""
        if place not in self.factors:
            self.add_factors(place)
        factors = self.factors.pop(place)
        self.scores = decayed(self.scores, factors, self.floor)
        if self.exit_step is not None:
            gone = (self.scores == 0) | self.fallen()
            never = len(self.overlaps.slices.order)
            self.exit_step[gone & (self.exit_step == never)] = step

    def add_factors(self, place: int) -> None:
        """Computes the factors of the best remaining boxes, that at ``place`` among them."""
        size = len(self.scores)
        count = min(size, max(FEWEST_ROWS, PAIRS_AT_A_TIME // size))
        best = np.argpartition(self.scores, size - count)[size - count :]
        best[0] = place - self.first  # also if others have the same score
        places = (best + self.first).tolist()
        iou = self.overlaps.rows_of(self.index, places)
        factors = self.decay(iou).astype(np.float64)
        if self.any_exempt:
            factors[(iou > 0) & self.exempt] = 0
        factors[np.arange(count), best] = 0
        self.factors.update(zip(places, factors, strict=True))


def select_best(
    overlaps: Overlaps,
    scores: Doubles,
    images: Indices,
    *,
    decay: Decay,
    floor: float,
    max_detections: int,
    exits: bool = False,
) -> SelectedPlaces:
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
    place, score, step = select_of_small_groups(
        overlaps,
        scores,
        images,
        decay=decay,
        floor=floor,
        max_detections=max_detections,
        exit_step=exit_step,
    )
    row, image = slices.order[place], images[slices.group[place]]
    ranking = np.lexsort((row, -score, image))
    columns = (-score[ranking], row[ranking], place[ranking], step[ranking])
    entries = list(zip(*(column.tolist() for column in columns), strict=True))
    bounds = image[ranking].searchsorted(np.arange(images[-1] + 2)).tolist()
    sources = [[entries[begin:end]] for begin, end in pairwise(bounds)]
    for group in (~overlaps.small).nonzero()[0].tolist():
        members = overlaps.members(group)
        large = LargeGroup(
            overlaps=overlaps,
            index=group,
            scores=scores[members],
            decay=decay,
            floor=floor,
            first=members.start,
            exit_step=None if exit_step is None else exit_step[members],
        )
        sources[images[group]].append(large.selections())
    found = [entry for parts in sources for entry in islice(merge(*parts), max_detections)]
    negative, _, *places_and_steps = np.array(found, dtype=np.float64).reshape(-1, 4).T
    place, step = (column.astype(np.int64) for column in places_and_steps)
    return SelectedPlaces(place=place, scores=-negative, step=step, exit_step=exit_step)
