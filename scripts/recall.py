"""Recall of the first stage's proposals:
    python -m scripts.recall kl_rpn/proposals --scale mini --seeds 3

One forward pass of each network and seed; the report, <scale>.md, .csv and .json, goes to
OUT/SCALE/PAPER/TABLE/report, with --publish to the table's results folder. A row whose network is
not trained stays as "not run". Where the data know the clean boxes, recall is measured against them
as well.
"""

import argparse
import sys
from collections.abc import Sequence

from experiments.records import Table
from scripts.engine.command import add_seeds_option, command_parser, exit_code
from scripts.engine.environment import Environment, add_environment_options, environment_from
from scripts.engine.first_stage.recall import measure_recall
from scripts.engine.places import find_table_of
from scripts.reports.files import ReportPlace, add_report_options, report_place_from
from scripts.reports.recall import COUNTS, IOUS, write_recall
from scripts.reports.results import Results


def option_parser() -> argparse.ArgumentParser:
    parser = command_parser("recall", __doc__)
    parser.add_argument("table", help="paper/table, for example kl_rpn/proposals")
    add_environment_options(parser, unfinished=True)
    add_seeds_option(parser)
    add_report_options(parser)
    return parser


def report_recall(table: Table, report: ReportPlace, environment: Environment, seeds: int) -> str:
    """Measures every network with every seed, writes the report and returns what is printed."""
    place = environment.table_place(report.table)
    results = measure_recall(table, place, environment, seeds, counts=COUNTS, ious=IOUS)
    return write_recall(Results(table, report.with_committed(results)), report)


def main(arguments: Sequence[str] | None = None) -> int:
    given = vars(option_parser().parse_args(arguments))
    report, environment = report_place_from(given), environment_from(given)

    def work() -> None:
        table = find_table_of(report.table, "recall")
        print(report_recall(table, report, environment, given["seeds"]))

    return exit_code(work)


if __name__ == "__main__":
    sys.exit(main())
