"""``scripts.train`` on a mini run of a few updates that saves after each, in a process of its own:
python -m tests.short_training UPDATES OPTIONS, with --scale tiny.
"""

import os
import sys
import time
from collections.abc import Sequence
from dataclasses import replace

import torch

from experiments.scales import SCALES
from scripts import train
from scripts.engine.processes import is_first
from scripts.engine.training import training


def main(updates: int, options: Sequence[str]) -> int:
    """Trains with the options of ``scripts.train``; returns its exit code."""
    SCALES["tiny"] = lambda run: shortened(SCALES["mini"](run), updates)
    training.SAVE_EVERY_S = -1.0
    if "SLOW_SAVE_S" in os.environ:
        save = training.save_training

        def save_slowly(*arguments, is_last):
            if is_last and is_first():
                time.sleep(float(os.environ["SLOW_SAVE_S"]))
            save(*arguments, is_last=is_last)

        training.save_training = save_slowly
    torch.set_num_threads(1)
    return train.main(options)


def shortened(run, updates):
    """A run of so many updates of two images."""
    schedule = {"iterations": updates, "lr_drops": (updates // 2,), "warmup_iterations": 4}
    return replace(run, train=replace(run.train, batch_size=2, **schedule))


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), sys.argv[2:]))
