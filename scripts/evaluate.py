"""Evaluates a table: python -m scripts.evaluate kl_loss/table1 --scale mini --seeds 3

One forward pass for each network and seed writes its candidates to disk; every row is then a pure
post-processing of them and, where a row asks for refinement or masks, a second pass over the
images. A row whose network is not trained stays in the result as "not run".
"""

import argparse
import sys
from collections.abc import Sequence

from scripts.engine.command import add_seeds_option, command_parser, exit_code
from scripts.engine.environment import add_environment_options, environment_from
from scripts.engine.evaluation.evaluation import evaluate_table
from scripts.engine.places import find_table
from scripts.engine.processes import joined


def option_parser() -> argparse.ArgumentParser:
    parser = command_parser("evaluate", __doc__)
    parser.add_argument("table", help="paper/table, for example kl_loss/table1")
    add_environment_options(parser, proposals=True, unfinished=True)
    add_seeds_option(parser)
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    given = vars(option_parser().parse_args(arguments))
    name, environment = given["table"], environment_from(given)

    def work() -> None:
        with joined(environment.device):
            place = environment.table_place(name)
            evaluate_table(find_table(name), place, environment, given["seeds"])

    return exit_code(work, processes=True)


if __name__ == "__main__":
    sys.exit(main())
