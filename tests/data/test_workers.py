"""Batches are the same whoever makes them, and the end of a worker is a sentence."""

import itertools
import multiprocessing
import os
import re
import resource
import select
import signal
import time
from dataclasses import replace
from multiprocessing import connection
from pathlib import Path

import pytest
import torch

from data import worker_signals
from data.build import build_dataset
from data.loader import test_batches, train_batches
from data.mini.ambiguous import write_dataset
from data.workers import RESTARTS, WorkerError, next_batch
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


@pytest.mark.fault("R16")
@pytest.mark.parametrize(("workers", "config"), [(1, CONFIG), (2, CONFIG), (2, MANY_SIZES)])
def test_workers_change_nothing(workers, config):
    data = Synthetic(11, broken=(3,))
    for first, second in zip(
        take(data, 8, config=config), take(data, 8, config=config, workers=workers), strict=True
    ):
        assert_same(first, second)


@pytest.mark.fault("R29", "R31")
def test_a_worker_that_dies_again_and_again_is_reported_with_advice(capfd):
    with pytest.raises(WorkerError, match=r"worker process .*--shm-size.*--workers"):
        list(test_batches(Synthetic(10, kill=5), CONFIG, batch_size=4, workers=1))
    assert capfd.readouterr().err.count("The workers are started anew") == RESTARTS


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


class KilledOnce(Synthetic):
    """A worker is killed when it reads image ``kill`` for the first time."""

    def __init__(self, n, kill, marker):
        super().__init__(n)
        self.victim, self.marker = kill, marker

    def __getitem__(self, index):
        if index == self.victim and not self.marker.exists():
            self.marker.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return super().__getitem__(index)


@pytest.mark.fault("R29")
@pytest.mark.parametrize("workers", [1, 2])
def test_batches_after_a_killed_worker_are_the_same(tmp_path, capfd, workers):
    killed = take(KilledOnce(11, 5, tmp_path / "killed"), 8, workers=workers)
    for first, second in zip(take(Synthetic(11), 8), killed, strict=True):
        assert_same(first, second)
    assert capfd.readouterr().err.count("The workers are started anew (1 of 3 times)") == 1


def test_a_worker_that_dies_during_an_update_disturbs_it_no_further():
    """torch would raise in the middle of it; the batches that follow are as ever."""
    stream = train_batches(Synthetic(11), CONFIG, batch_size=4, seed=0, start=0, workers=2)
    batches = [next(stream)]
    for worker in multiprocessing.active_children():
        os.kill(worker.pid, signal.SIGKILL)
        connection.wait([worker.sentinel], timeout=20)  # unlike join, leaves it for torch to find
    time.sleep(0.1)  # the handler of SIGCHLD runs here
    batches += itertools.islice(stream, 7)
    stream.close()
    for first, second in zip(take(Synthetic(11), 8), batches, strict=True):
        assert_same(first, second)


def read_batches_forever(pipe):
    """A main process with workers that live as long as it does; ``pipe`` gets their numbers."""
    torch.set_num_threads(1)
    stream = train_batches(Synthetic(11), CONFIG, batch_size=4, seed=0, start=0, workers=2)
    next(stream)
    numbers = [worker.pid for worker in multiprocessing.active_children()]
    os.write(pipe, f"{' '.join(map(str, numbers))}\n".encode())
    for _ in stream:
        time.sleep(0.01)


def is_closed_within(pipe, seconds):
    """Whether every process that could write into the pipe ends in that time."""
    return bool(select.select([pipe], [], [], seconds)[0]) and os.read(pipe, 1) == b""


@pytest.mark.fault("R24")
@pytest.mark.skipif(not worker_signals.CAN_WATCH, reason="workers cannot tell who sent a signal")
def test_workers_hear_no_stop_signal_and_end_with_the_main_process(monkeypatch, capfd):
    """Every one of them holds the writing end of the pipe until it ends."""
    monkeypatch.setattr(worker_signals, "WATCH_S", 0.05)
    reading, writing = os.pipe()
    main = multiprocessing.get_context("fork").Process(target=read_batches_forever, args=(writing,))
    main.start()
    os.close(writing)
    workers = [int(number) for number in os.read(reading, 100).split()]
    for number in worker_signals.STOP_SIGNALS:
        for worker in workers:
            os.kill(worker, number)
    assert all(os.getpgid(worker) == worker for worker in workers)
    assert not is_closed_within(reading, 0.2)
    assert "started anew" not in capfd.readouterr().err
    states = [Path(f"/proc/{worker}/stat").read_text().rpartition(")")[2] for worker in workers]
    assert not any(state.split()[0] == "Z" for state in states), "a worker has ended"
    main.kill()
    main.join()
    assert is_closed_within(reading, 20)
    os.close(reading)


@pytest.mark.fault("R32")
@pytest.mark.slow_fault
def test_few_file_descriptors_are_enough():
    """A batch costs one; all of them are held here."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    used = len(os.listdir("/proc/self/fd")) if Path("/proc/self/fd").is_dir() else 64
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(soft, used + 128), hard))
    try:
        assert len(take(Synthetic(11), 60, workers=2)) == 60
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
