"""Trains one run: python -m scripts.train kl_loss/vgg16_coco_kl --scale mini

Stopping and resuming changes nothing: the same command continues from the last checkpoint, with the
same random draws. Exit codes: 0 done, 2 wrong input, 4 a loss is not finite, 75 stopped by a
signal.
"""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import fields

from scripts.engine.command import command_parser, exit_code
from scripts.engine.environment import add_environment_options, environment_from
from scripts.engine.recipe import TrainOptions
from scripts.engine.training import train
from scripts.engine.training_state import AMP_TYPES
from scripts.engine.update import DivergedError

DIVERGED = 4  # exit code


def option_parser() -> argparse.ArgumentParser:
    parser = command_parser("train", __doc__)
    parser.add_argument("run", help="paper/run, for example kl_loss/vgg16_coco_kl")
    add_environment_options(parser, proposals=True)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--resume",
        default="auto",
        help="auto (continue if there is a checkpoint), none, or a file",
    )
    parser.add_argument(
        "--weights", default="auto", help="ImageNet weights: auto (torchvision's), none, or a file"
    )
    parser.add_argument(
        "--amp", choices=sorted(AMP_TYPES), default="off", help="mixed precision, on CUDA"
    )
    parser.add_argument(
        "--batch-size",
        type=int,
        default=None,
        help="scale the recipe linearly to this many images",
    )
    parser.add_argument(
        "--accumulate",
        type=int,
        default=1,
        help="forward passes an update (less memory, same batch)",
    )
    parser.add_argument(
        "--stop-after",
        type=int,
        default=None,
        help="stop after so many more updates; the same command continues",
    )
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    given = vars(option_parser().parse_args(arguments))
    options = TrainOptions(**{field.name: given[field.name] for field in fields(TrainOptions)})
    try:
        return exit_code(lambda: train(given["run"], environment_from(given), options))
    except DivergedError as error:
        print(f"error: {error}", file=sys.stderr)
        return DIVERGED


if __name__ == "__main__":
    sys.exit(main())
