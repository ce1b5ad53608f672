"""Batches that worker processes make: in order, with errors that arrive as sentences."""

import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader
from torch.utils.data import Dataset as MapDataset

from data.annotations import FlatTargets
from data.errors import DataError
from data.records import Batch, ImageId
from data.worker_signals import DEAD_WORKERS, signals_held, worker_start

WORKER_TIMEOUT = 120.0  # seconds without a batch until a worker counts as hanging
RESTARTS = 3  # of workers that died or hang, until they are an error


class WorkerError(DataError):
    """A worker process died or hangs; the images may be in order."""


@dataclass(frozen=True, kw_only=True)
class PackedBatch:
    """A Batch on its way out of a worker: one tensor only, since each costs a file descriptor.

    The fields are those of ``Batch``, with the targets in one flat record and the proposals as
    arrays. unreadable: the indices of the images that the sentences in ``skipped`` are about.
    """

    images: Tensor
    image_sizes: tuple[tuple[int, int], ...]
    original_sizes: tuple[tuple[int, int], ...]
    image_ids: tuple[ImageId, ...]
    targets: FlatTargets | None
    skipped: tuple[str, ...]
    unreadable: tuple[int, ...]
    proposals: tuple[NDArray[np.float32], ...] | None
    indices: tuple[int, ...]
    draw_seeds: tuple[int, ...] = ()
    is_stand_in: bool = False

    def unpack(self) -> Batch:
        """The batch that the network sees."""
        targets, proposals = self.targets, self.proposals
        return Batch(
            images=self.images,
            image_sizes=self.image_sizes,
            original_sizes=self.original_sizes,
            image_ids=self.image_ids,
            targets=None if targets is None else tuple(map(targets.target, range(len(targets)))),
            skipped=self.skipped,
            proposals=None if proposals is None else tuple(map(torch.from_numpy, proposals)),
            indices=self.indices,
            draw_seeds=self.draw_seeds,
            is_stand_in=self.is_stand_in,
        )


class _BatchByNumber(MapDataset[Any]):
    """Batch k at index k; runs in the workers.

    Errors come back as values, so that their sentence arrives unwrapped.
    """

    def __init__(self, make_batch: Callable[[int], PackedBatch]) -> None:
        self.make_batch = make_batch

    def __getitem__(self, k: int) -> PackedBatch | DataError:
        try:
            return self.make_batch(k)
        except DataError as error:
            return error


def load_batches(
    make_batch: Callable[[int], PackedBatch], numbers: Sequence[int], workers: int
) -> Iterator[PackedBatch]:
    """The batches with these numbers, in order.

    Workers that died or hang are started anew at the batch that is due, with a warning, because
    batch k does not depend on what was made before it.

    Args:
        make_batch: number of a batch -> the batch; runs in the workers.
        numbers: of the batches to make.
        workers: processes that make batches; 0: this process.

    Raises:
        DataError: a batch cannot be made.
        WorkerError: workers died or hang more than RESTARTS times.
    """
    made = restarts = 0
    while True:
        try:
            for packed in _batches_of_one_loader(make_batch, numbers[made:], workers):
                made += 1
                yield packed
            return
        except WorkerError as error:
            if restarts == RESTARTS:
                raise
            restarts += 1
            print(
                f"warning: {error} The workers are started anew ({restarts} of {RESTARTS} times) "
                f"at batch {numbers[made]}, and nothing is lost.",
                file=sys.stderr,
                flush=True,
            )


def _batches_of_one_loader(
    make_batch: Callable[[int], PackedBatch], numbers: Sequence[int], workers: int
) -> Iterator[PackedBatch]:
    """The batches with these numbers until a worker fails; as ``load_batches``."""
    loader = DataLoader(
        _BatchByNumber(make_batch),
        batch_size=None,
        sampler=numbers,
        num_workers=workers,
        collate_fn=_identity,
        generator=torch.Generator(),  # without one the loader draws from the global generator
        worker_init_fn=worker_start(),
        timeout=WORKER_TIMEOUT if workers else 0,
    )
    with signals_held():
        iterator = iter(loader)
    if workers:
        DEAD_WORKERS.attend()
    try:
        while True:
            item = next_batch(iterator, workers)
            if item is None:
                return
            if isinstance(item, DataError):
                raise item
            yield item
    finally:
        del iterator  # ends the workers now, not when an error that holds this frame is forgotten


def next_batch(
    iterator: Iterator[PackedBatch | DataError], workers: int
) -> PackedBatch | DataError | None:
    """The next batch, None after the last, or an error that says what became of a worker.

    A worker hands out the memory of its batches by itself; if it dies in between, what arrives here
    is a broken connection (OSError, EOFError) instead of the loader's own RuntimeError.
    """
    try:
        with DEAD_WORKERS.fetching():
            return next(iterator, None)
    except (RuntimeError, OSError, EOFError) as error:
        if isinstance(error, RuntimeError):
            worker_died = "DataLoader" in str(error)
        else:
            worker_died = workers > 0
        if not worker_died:
            raise
        reason = str(error) or type(error).__name__
        return WorkerError(
            f"a worker process that loads images failed ({reason}); killed means too little memory,"
            " a bus error too little shared memory (in Docker: --shm-size); use fewer --workers, 0"
            " loads in this process."
        )


def _identity(item: Any) -> Any:
    return item
