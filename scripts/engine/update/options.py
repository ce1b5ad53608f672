"""The options of scripts.train that say how an update is computed."""

import argparse

from scripts.engine.numbers import at_least_one
from scripts.engine.processes import TIMEOUT_S
from scripts.engine.update.mixed_precision import AMP_TYPES


def add_update_options(parser: argparse.ArgumentParser) -> None:
    """Precision, images an update, and into how many passes they are split."""
    parser.add_argument(
        "--amp",
        choices=sorted(AMP_TYPES),
        default="off",
        help="mixed precision, on CUDA, and bf16 on CPUs that compute in it",
    )
    parser.add_argument(
        "--batch-size",
        type=at_least_one,
        default=None,
        help="images an update; the rate, and in the papers' runs the length, follow",
    )
    parser.add_argument(
        "--accumulate",
        type=at_least_one,
        default=1,
        help="forward passes an update (less memory, same batch)",
    )
    parser.add_argument(
        "--auto-accumulate",
        action="store_true",
        help="when an update does not fit into memory, make it again in twice as many forward "
        "passes, and all after it; the batch and its random draws stay, but masks and IoU are "
        "averaged part by part, and trained batch norms see fewer images (one process)",
    )
    parser.add_argument(
        "--deterministic",
        action="store_true",
        help="use only operations that give the same bits each time, which is slower (on a GPU: "
        "RoIAlign most of all); without it two trainings on a GPU differ in the last bits, and on a"
        " CPU they do not",
    )
    parser.add_argument(
        "--process-timeout",
        type=at_least_one,
        default=TIMEOUT_S,
        metavar="SECONDS",
        help="several processes: when one that does not answer is given up (default: %(default)s)",
    )


def check_processes(processes: int, *, auto_accumulate: bool) -> None:
    """Checks the options against the number of processes.

    Raises:
        ValueError: processes that split batches by themselves would wait for each other.
    """
    if auto_accumulate and processes > 1:
        raise ValueError(
            "--auto-accumulate works in one process; give several processes --accumulate N."
        )
