"""Tries networks at the published size on noise: python -m scripts.full_size [PAPER/RUN ...]

Shows without data that a run's full-size network can be built, trained for one step and asked for
detections on this machine, what it costs, and that every number is finite. One picture at the
largest size of the run's test images. Without names: every run of every paper, each in a process of
its own, so that the peak memory is that run's alone. Exit code 1 if something fails.
"""

import argparse
import sys
from collections.abc import Sequence

from scripts.engine.command import command_parser, exit_code
from scripts.engine.full_size.trial import all_runs, try_runs


def option_parser() -> argparse.ArgumentParser:
    parser = command_parser("full_size", __doc__)
    parser.add_argument(
        "runs",
        nargs="*",
        metavar="PAPER/RUN",
        help="for example kl_loss/vgg16_coco_kl; default: all",
    )
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    given = option_parser().parse_args(arguments)
    return exit_code(lambda: try_runs(given.runs or all_runs(), given.device))


if __name__ == "__main__":
    sys.exit(main())
