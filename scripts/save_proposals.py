"""Saves proposals for Fast R-CNN: python -m scripts.save_proposals kl_loss/r50_fpn_rpn --scale mini

One forward pass over the training images, as they are and in the order of the data set, and one
over the test images, write proposals-train.npz and proposals-test.npz beside the checkpoint that
they come from. scripts.train and scripts.evaluate do the same for the run that ``Run.proposals``
names, if nobody has before.
"""

import argparse
import sys
from collections.abc import Sequence

from scripts.engine.command import command_parser, exit_code
from scripts.engine.environment import add_environment_options, environment_from
from scripts.engine.numbers import at_least_zero
from scripts.engine.processes import joined
from scripts.engine.trained.proposals import save_run_proposals


def option_parser() -> argparse.ArgumentParser:
    parser = command_parser("save_proposals", __doc__)
    parser.add_argument("run", help="paper/run, for example kl_loss/r50_fpn_rpn")
    add_environment_options(parser, unfinished=True)
    parser.add_argument("--seed", type=at_least_zero, default=0)
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    given = vars(option_parser().parse_args(arguments))
    environment = environment_from(given)

    def work() -> None:
        with joined(environment.device):
            save_run_proposals(given["run"], environment, given["seed"])

    return exit_code(work, processes=True)


if __name__ == "__main__":
    sys.exit(main())
