"""Which images a batch holds: of the endless training batches, and of the test batches.

The k-th training batch is a pure function of (seed, k): k gives the epoch, and
default_rng([seed, epoch]) gives the order of that epoch. Streams of their own give the size of the
images in multi-scale training and the seeds of the network's draws. Several processes share a batch
by the places of its images.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from data.config import DataConfig

Value = TypeVar("Value")


@dataclass(frozen=True, kw_only=True)
class Share:
    """What one of several processes takes of a list: every ``of``-th item, from number ``rank``."""

    rank: int
    of: int

    def part(self, items: Sequence[Value]) -> Sequence[Value]:
        """The items of this process."""
        return items[self.rank :: self.of]


WHOLE = Share(rank=0, of=1)


class EndlessSampler:
    """Which images the k-th batch holds, for any k >= 0 without walking through the batches before
    it.

    An epoch has ``batches_per_epoch`` = n // batch_size batches; the up to batch_size - 1 images
    that are left over differ from epoch to epoch. Fewer images than batch_size make one batch in
    which images repeat.

    Args:
        indices: (n,) the images to choose from, as indices into a data set.
        groups: (n,) bool; images of different groups share a batch only where a group does not fill
            its last one.
        batch_size: images in a batch.
        seed: of all random choices.

    Raises:
        ValueError: ``batch_size`` is less than 1, or ``seed`` less than 0.
    """

    def __init__(
        self, indices: Sequence[int], groups: Sequence[bool], *, batch_size: int, seed: int
    ) -> None:
        if batch_size < 1 or seed < 0:
            raise ValueError(
                f"batch_size is {batch_size} and seed {seed}; they must be at least 1 and at least"
                " 0."
            )
        self.batch_size, self.images = batch_size, len(indices)
        self.batches_per_epoch = max(1, len(indices) // batch_size)
        self._indices = np.asarray(indices, dtype=np.int64)
        self._groups = np.asarray(groups, dtype=np.bool_)
        self._seed = seed
        self._plan: tuple[int, NDArray[np.int64]] = (-1, np.empty((0, 0), dtype=np.int64))

    def batch(self, k: int) -> list[tuple[int, int]]:
        """The (epoch, image index) pairs of batch ``k``."""
        epoch, position = divmod(k, self.batches_per_epoch)
        if self._plan[0] != epoch:
            self._plan = (epoch, self._epoch(epoch))
        return [(epoch, int(index)) for index in self._plan[1][position]]

    def _epoch(self, epoch: int) -> NDArray[np.int64]:
        """The images of each batch of one epoch, (batches_per_epoch, batch_size)."""
        rng = np.random.default_rng([self._seed, epoch])
        order = rng.permutation(len(self._indices))
        if len(order) < self.batch_size:
            return self._indices[np.resize(order, (1, self.batch_size))]
        full, rest = [], []
        for group in (order[self._groups[order]], order[~self._groups[order]]):
            end = len(group) - len(group) % self.batch_size
            full.append(group[:end])
            rest.append(group[end:])
        mixed = np.concatenate([*full, rng.permutation(np.concatenate(rest))])
        batches = mixed[: self.batches_per_epoch * self.batch_size].reshape(-1, self.batch_size)
        return self._indices[batches[rng.permutation(len(batches))]]


def batch_short_side(config: DataConfig, seed: int, k: int) -> int:
    """The short side of all images of training batch ``k``: one of ``config.train_short_sides``.

    The key keeps these draws apart from those of the order and of the mirroring, which stay what
    they are without it.

    Args:
        config: ``train_short_sides``, or None for ``short_side``.
        seed: of the run.
        k: number of the batch.

    Returns:
        network px.
    """
    if config.train_short_sides is None:
        return config.short_side
    rng = np.random.default_rng(np.random.SeedSequence([seed, k], spawn_key=(1,)))
    return config.train_short_sides[rng.integers(len(config.train_short_sides))]


def draw_seeds(seed: int, k: int, places: Iterable[int]) -> tuple[int, ...]:
    """The seeds of what the network draws for images of training batch ``k``.

    Args:
        seed: of the run.
        k: number of the batch.
        places: of the images in the whole batch, from 0.
    """
    sequences = (np.random.SeedSequence([seed, k, place], spawn_key=(2,)) for place in places)
    return tuple(int(sequence.generate_state(1, np.uint64)[0] >> 2) for sequence in sequences)


def batches_of_one_size(
    sizes: Mapping[int, tuple[int, int]], batch_size: int
) -> list[tuple[int, ...]]:
    """Batches of images of one size, so that none is padded for the sake of another.

    Args:
        sizes: index of an image -> its (height, width), network px, with its padding.
        batch_size: most images in a batch.

    Returns:
        the indices of each batch: each image once, in order within a batch. A batch comes when it
        is full, and those that never are come last.
    """
    batches: list[tuple[int, ...]] = []
    waiting: dict[tuple[int, int], list[int]] = {}
    for index, size in sizes.items():
        batch = waiting.setdefault(size, [])
        batch.append(index)
        if len(batch) == batch_size:
            batches.append(tuple(waiting.pop(size)))
    return batches + [tuple(batch) for batch in waiting.values()]


def spread_evenly(values: Sequence[Value], count: int) -> list[Value]:
    """``count`` of some values, in their order and evenly from first to last; all if there are
    fewer.
    """
    count = min(count, len(values))
    return [values[place * len(values) // count] for place in range(count)]


def in_order(values: Sequence[Value], indices: Sequence[int]) -> list[Value]:
    """What was computed batch by batch, in the order of the data set.

    Args:
        values: one for each image, in the order of ``test_batches``.
        indices: the place of each image in the data set: ``Batch.indices`` of all batches, one
            after the other.

    Returns:
        the values by rising index.

    Raises:
        ValueError: there are more or fewer values than indices.
    """
    if len(values) != len(indices):
        raise ValueError(
            f"There are {len(values)} values of {len(indices)} images; give one value per image."
        )
    return [values[i] for i in sorted(range(len(indices)), key=indices.__getitem__)]
