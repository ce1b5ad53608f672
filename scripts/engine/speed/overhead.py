"""What an update costs beyond its arithmetic: checks, progress, checkpoints, other processes.

All are timed in one process and in turn, on the same batch, with a learning rate of 0.
"""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
import torch.distributed as dist

from data.records import Batch
from experiments.records import Run
from models.detector import Detector
from scripts.engine.run_folder.checkpoint import save_checkpoint
from scripts.engine.shared_batch import agreed
from scripts.engine.timing import Action, Times, interleaved, milliseconds
from scripts.engine.training.progress import Progress
from scripts.engine.training.state import shared_between_processes
from scripts.engine.training.training import SAVE_EVERY_S
from scripts.engine.update.loss_scaler import LossScaler
from scripts.engine.update.optimizer import build_optimizer, set_learning_rate
from scripts.engine.update.update import update, weighted_sum

SAVES = 5  # of which the median counts


@dataclass(frozen=True, kw_only=True)
class Overhead:
    """Times of one update, ms: forward, backward and step alone; as ``scripts.train`` makes it;
    the same as the only process of torchrun. save: ms of one checkpoint.
    """

    bare: Times
    trained: Times
    shared: Times
    save: float

    @property
    def trained_percent(self) -> float:
        """What checks, losses, statistics and progress add."""
        return 100 * (self.trained.median / self.bare.median - 1)

    @property
    def shared_percent(self) -> float:
        """What DistributedDataParallel adds to that in one process."""
        return 100 * (self.shared.median / self.trained.median - 1)

    @property
    def save_percent(self) -> float:
        """What a checkpoint every SAVE_EVERY_S seconds takes of the time."""
        return 100 * self.save / (1000 * SAVE_EVERY_S)


def measure_overhead(detector: Detector, run: Run, batch: Batch, repeats: int) -> Overhead:
    """Times the updates of a network in training mode.

    Args:
        detector: on the device of ``batch``, frozen as in training.
        run: its recipe.
        batch: with targets.
        repeats: timed updates of each kind.
    """
    device = batch.images.device
    optimizer = build_optimizer(detector, run.train)
    set_learning_rate(optimizer, 0.0)
    scaler = LossScaler(device.type, enabled=False)
    detector.train()
    with tempfile.TemporaryDirectory() as name, group_of_one(device):
        folder = Path(name)

        def bare() -> None:
            optimizer.zero_grad(set_to_none=True)
            weighted_sum(detector.losses(batch), run.train.roi_loss_weight).backward()
            optimizer.step()

        def as_trained(network: torch.nn.Module) -> Action:
            progress = Progress(
                folder=folder, lines=folder / "lines.jsonl", title=run.name, start=0, total=10**9
            )
            progress.say = lambda line: None  # type: ignore[method-assign]
            steps = iter(range(10**9))

            def one() -> None:
                step = next(steps)
                shared = agreed(batch, None, wants_stop=False)
                assert shared is not None
                losses, statistics = update(
                    network,
                    optimizer,
                    scaler,
                    shared.split(1),
                    step=step,
                    max_norm=run.train.max_grad_norm,
                    roi_loss_weight=run.train.roi_loss_weight,
                )
                total = weighted_sum(losses, run.train.roi_loss_weight)
                progress.step(step, losses, total=total, lr=0.0, images=len(batch.images))
                if statistics:
                    progress.statistics(step, statistics, lr=0.0)

            return one

        actions = [bare, as_trained(detector), as_trained(shared_between_processes(detector))]
        times = interleaved(actions, repeats, device)
        state = {"model": detector.state_dict(), "optimizer": optimizer.state_dict()}
        saves = sorted(
            milliseconds(partial(save_checkpoint, folder, step, state, warn=print), device)
            for step in range(SAVES)
        )
    return Overhead(bare=times[0], trained=times[1], shared=times[2], save=saves[SAVES // 2])


@contextmanager
def group_of_one(device: torch.device) -> Iterator[None]:
    """A block in which this process is the only one of a process group."""
    backend = "cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo"
    dist.init_process_group(backend, store=dist.HashStore(), rank=0, world_size=1)
    try:
        yield
    finally:
        dist.destroy_process_group()
