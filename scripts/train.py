"""Trains one run: python -m scripts.train own/small --data DIR

On photos of your own: own/small (a CPU trains it), own/standard or own/mask (a GPU); layout, splits
and classes are found in DIR. The runs of the papers: kl_loss/vgg16_coco_kl --scale mini. Stopping
and resuming changes nothing: the same command continues from the last checkpoint, with the same
random draws. A signal ends it after the update that is under way, with a checkpoint.
"""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from scripts.engine.command import DIVERGED, EXIT_CODES, command_parser, exit_code, failed
from scripts.engine.environment import Environment, add_environment_options, environment_from
from scripts.engine.numbers import at_least_one, at_least_zero
from scripts.engine.own.data import OwnFolder
from scripts.engine.own.options import add_own_options, check_options_of
from scripts.engine.own.recipe import OWN, OwnOptions
from scripts.engine.own.training import train_own
from scripts.engine.processes import joined
from scripts.engine.stopping import signals_interrupt
from scripts.engine.training.recipe import TrainOptions
from scripts.engine.training.training import train
from scripts.engine.update.deterministic import deterministic
from scripts.engine.update.options import add_update_options, check_processes
from scripts.engine.update.update import DivergedError


def option_parser() -> argparse.ArgumentParser:
    parser = command_parser("train", f"{__doc__}\n{EXIT_CODES}")
    parser.add_argument("run", help="own/small, own/standard, own/mask, own/demo, or PAPER/RUN")
    add_environment_options(parser, proposals=True)
    parser.set_defaults(scale=None)  # the recipes of own/ have none
    parser.add_argument("--seed", type=at_least_zero, default=0)
    parser.add_argument(
        "--resume",
        default="auto",
        help="auto (continue if there is a checkpoint), none, or a file",
    )
    parser.add_argument(
        "--weights", default="auto", help="ImageNet weights: auto (torchvision's), none, or a file"
    )
    parser.add_argument(
        "--from",
        type=Path,
        default=None,
        dest="start_from",
        metavar="CHECKPOINT",
        help="fine-tune this detector: ours, or written by scripts.convert_weights",
    )
    parser.add_argument(
        "--validate-every",
        type=at_least_zero,
        default=None,
        metavar="N",
        help="updates between validations, 0 for none (default: own/* an epoch, papers none)",
    )
    parser.add_argument(
        "--patience",
        type=at_least_one,
        default=None,
        metavar="N",
        help="end the training after N validations without a better AP",
    )
    parser.add_argument(
        "--changed-data",
        action="store_true",
        help="go on although the training images or their annotations have changed since it began",
    )
    add_update_options(parser)
    parser.add_argument(
        "--stop-after",
        type=at_least_one,
        default=None,
        help="stop after so many more updates; the same command continues",
    )
    add_own_options(parser)
    return parser


def record_from(record: type, given: dict[str, Any]) -> Any:
    """The record whose fields are among the options of a command line."""
    return record(**{field.name: given[field.name] for field in fields(record)})


def train_from(given: dict[str, Any]) -> int:
    """Trains what the options of the command line say, together with the processes of torchrun."""
    with joined(given["device"], timeout_s=given["process_timeout"]) as processes:
        check_processes(processes.of, auto_accumulate=given["auto_accumulate"])
        with deterministic(given["deterministic"]):
            return train_in(given)


def train_in(given: dict[str, Any]) -> int:
    """``train_from`` with the operations that were chosen."""
    is_own = given["run"].startswith(f"{OWN}/")
    check_options_of(given, is_own=is_own)
    environment: Environment = environment_from({**given, "scale": given["scale"] or "mini"})
    options = record_from(TrainOptions, given)
    if not is_own:
        return train(given["run"], environment, options)
    folder = record_from(OwnFolder, {**given, "root": given["data_root"]})
    return train_own(given["run"], folder, environment, options, record_from(OwnOptions, given))


def main(arguments: Sequence[str] | None = None) -> int:
    given = vars(option_parser().parse_args(arguments))
    try:
        with signals_interrupt():
            return exit_code(lambda: train_from(given), processes=True)
    except DivergedError as error:
        return failed(error, DIVERGED)


if __name__ == "__main__":
    sys.exit(main())
