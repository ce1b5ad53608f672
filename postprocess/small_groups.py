"""Soft-NMS in many small groups side by side: one round selects the best remaining box of each.

Letters: T candidates of all images, G small groups (an image and a class), W members of the largest
of them, S selected boxes. KL Loss Algorithm 1, lines in blue.
"""

from collections.abc import Sequence

import numpy as np

from postprocess.arrays import Doubles, Indices
from postprocess.overlaps import Overlaps
from postprocess.suppression import Decay

LEAST = 1e-300  # a score of 0 counts as this: 0 stands for a box that is gone


def select_of_small_groups(
    overlaps: Overlaps,
    scores: Doubles,
    images: Indices,
    *,
    decay: Decay,
    floor: float,
    max_detections: int,
    exit_step: Indices | None,
) -> tuple[Indices, Doubles, Indices]:
    """The boxes of all small groups in the order of their selection; those that cannot be among the
    best of their image may be left out.

    Args:
        overlaps: of the candidates.
        scores: (T,) by place, positive.
        images, decay, floor, max_detections: as in ``select_best``.
        exit_step: (T,) by place, changed where a box was selected or dropped; or None.

    Returns:
        place (S,), scores (S,) after decay, step (S,): how many boxes of its group came before.
    """
    slices = overlaps.slices
    member, iou = overlaps.small_table
    places = overlaps.small[slices.group].nonzero()[0]
    first, size = slices.first[overlaps.small], slices.size[overlaps.small]
    rows = size.cumsum() - size  # of the table: where each group begins
    remaining = scores[member[rows]]
    remaining[np.arange(member.shape[1]) >= size[:, None]] = 0
    factors = decay(iou).astype(np.float64)
    # Below the floor from the start: such a box drops out when a selected one overlaps it.
    exempt = (remaining < floor) & (remaining > 0)
    if exempt.any():
        factors[(iou > 0) & exempt.repeat(size, axis=0)] = 0
    factors[np.arange(len(places)), places - first.repeat(size)] = 0
    image = images[overlaps.small]
    least = np.zeros(images[-1] + 1)  # (images,) what the next box of an image must have
    found = [(places[:0], scores[:0], image[:0])]
    for step in range(member.shape[1]):
        slot = remaining.argmax(axis=1)
        best = remaining[np.arange(len(slot)), slot]
        left = (best > 0) & (best >= least[image])
        if not left.all():
            columns = (slot, best, image, rows, first, remaining, exempt)
            slot, best, image, rows, first, remaining, exempt = (x[left] for x in columns)
        if len(slot) == 0:
            break
        found.append((first + slot, best, image))
        before = remaining
        remaining = decayed(before, factors[rows + slot], floor)
        remaining[(remaining < floor) & ~exempt] = 0
        if exit_step is not None:
            group, gone = ((remaining == 0) & (before > 0)).nonzero()
            exit_step[first[group] + gone] = step
        if (step & (step + 1)) == 0:  # after 1, 2, 4, 8, ... rounds
            raise_least(least, *joined(found)[1:], max_detections)
    steps = [np.full(len(places), step - 1) for step, (places, _, _) in enumerate(found)]
    place, score, _ = joined(found)
    return place, score, np.concatenate(steps)


def decayed(scores: Doubles, factors: Doubles, floor: float) -> Doubles:
    """Scores times factors. Without a floor a product that is too small for a double is LEAST: a
    box is gone only by a factor of 0.
    """
    products: Doubles = scores * factors
    if floor <= 0:
        np.maximum(products, LEAST, out=products, where=(scores > 0) & (factors > 0))
    return products


def joined(
    found: Sequence[tuple[Indices, Doubles, Indices]],
) -> tuple[Indices, Doubles, Indices]:
    """Place, score and image (S,) of what was found round after round."""
    place, score, image = (np.concatenate(column) for column in zip(*found, strict=True))
    return place, score, image


def raise_least(least: Doubles, scores: Doubles, image: Indices, count: int) -> None:
    """Raises ``least`` (images,) to the score of the box with rank ``count`` that was found in each
    image, where so many were found.
    """
    for index in (np.bincount(image) >= count).nonzero()[0].tolist():
        own = scores[image == index]
        least[index] = np.partition(own, -count)[-count]
