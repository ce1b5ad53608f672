"""Writes a table's detections for COCO's server:
    python -m scripts.submit kl_rpn/table1 --scale paper

One forward pass for each network on the images of --split, one file in COCO's result format for
each row. The labels of test-dev are with the server alone, so this is how the numbers that papers
print for it are measured; scripts.evaluate scores the same rows on images whose labels are
published.
"""

import argparse
import sys
from collections.abc import Sequence

from scripts.engine.command import command_parser, exit_code
from scripts.engine.environment import add_environment_options, environment_from
from scripts.engine.evaluation.submission import write_submissions
from scripts.engine.numbers import at_least_zero
from scripts.engine.places import find_table


def option_parser() -> argparse.ArgumentParser:
    parser = command_parser("submit", __doc__)
    parser.add_argument("table", help="paper/table, for example kl_rpn/table1")
    add_environment_options(parser, proposals=True, unfinished=True)
    parser.add_argument(
        "--split", default="test-dev", help="COCO split to detect on (default: %(default)s)"
    )
    parser.add_argument(
        "--seed",
        type=at_least_zero,
        default=0,
        help="of the networks; replaces the files of another seed",
    )
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    given = vars(option_parser().parse_args(arguments))
    name, environment = given["table"], environment_from(given)
    return exit_code(
        lambda: write_submissions(
            find_table(name),
            environment.table_place(name),
            environment,
            given["split"],
            given["seed"],
        )
    )


if __name__ == "__main__":
    sys.exit(main())
