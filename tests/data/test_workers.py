"""Batches are the same whoever makes them, and the end of a worker is a sentence."""

import re
from dataclasses import replace

import pytest
import torch

from data.build import build_dataset
from data.errors import DataError
from data.loader import test_batches
from data.mini.ambiguous import write_dataset
from data.workers import next_batch
from tests.data.synthetic import CONFIG, MANY_SIZES, Synthetic, take


def assert_same(first, second):
    assert first.image_ids == second.image_ids
    assert first.image_sizes == second.image_sizes
    assert first.original_sizes == second.original_sizes
    assert first.skipped == second.skipped
    assert torch.equal(first.images, second.images)
    for a, b in zip(first.targets, second.targets, strict=True):
        assert torch.equal(a.boxes, b.boxes)
        assert torch.equal(a.labels, b.labels)


@pytest.mark.parametrize(("workers", "config"), [(1, CONFIG), (2, CONFIG), (2, MANY_SIZES)])
def test_workers_change_nothing(workers, config):
    data = Synthetic(11, broken=(3,))
    for first, second in zip(
        take(data, 8, config=config), take(data, 8, config=config, workers=workers), strict=True
    ):
        assert_same(first, second)


def test_dead_worker_is_reported_with_advice():
    with pytest.raises(DataError, match=r"worker process .*--workers"):
        list(test_batches(Synthetic(10, kill=5), CONFIG, batch_size=4, workers=1))


@pytest.mark.parametrize(
    "error",
    [
        ConnectionResetError(104, "Connection reset by peer"),
        FileNotFoundError(2, "No such file"),
        EOFError(),
        RuntimeError("DataLoader worker (pid 7) exited unexpectedly"),
    ],
)
def test_worker_that_dies_while_its_batch_is_fetched_is_reported_too(error):
    """Which of these arrives depends on the moment of its death."""

    def broken():
        raise error
        yield

    assert re.search(r"worker process .*--workers", str(next_batch(broken(), workers=1)))
    # without workers it is something else, and is not hidden
    if not isinstance(error, RuntimeError):
        with pytest.raises(type(error)):
            next_batch(broken(), workers=0)


@pytest.mark.parametrize("workers", [0, 2])
def test_masks_stay_with_their_boxes_through_the_workers(tmp_path, workers):
    """Mirrored, resized and packed, no mask leaves the clean box of its object by more than a
    pixel; none is lost.
    """
    config = replace(CONFIG, train=("train",), short_side=100, long_side=200, masks=True)
    data = build_dataset(config, write_dataset(tmp_path / "set", train=3, val=1) / "coco", "train")
    for batch in take(data, 3, config=config, batch_size=3, workers=workers):
        for size, found in zip(batch.image_sizes, batch.targets, strict=True):
            assert found.masks.dtype == torch.uint8
            assert found.masks.shape == (len(found.labels), *size)
            for mask, (x1, y1, x2, y2) in zip(found.masks, found.clean_boxes.tolist(), strict=True):
                rows, columns = mask.nonzero().unbind(1)
                assert len(rows)
                assert y1 - 1 <= rows.min() <= rows.max() <= y2
                assert x1 - 1 <= columns.min() <= columns.max() <= x2
    plain = take(
        build_dataset(replace(config, masks=False), tmp_path / "set" / "coco", "train"),
        1,
        workers=workers,
    )
    assert all(found.masks is None for found in plain[0].targets)


def test_global_random_generators_are_not_touched():
    torch.manual_seed(5)
    before = torch.get_rng_state()
    take(Synthetic(8), 3)
    take(Synthetic(8), 3, workers=1)
    assert torch.equal(before, torch.get_rng_state())
