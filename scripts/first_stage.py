"""Measures region proposal networks: python -m scripts.first_stage kl_rpn/readings --seeds 3

Recall and fit of the best 100 proposals, ranking of the anchors, error and log variance of their
means, and the separation of Figure 3. The report, <scale>.md, .csv and .json, goes to
OUT/SCALE/PAPER/TABLE/report, with --publish to the table's results folder.
"""

import argparse
import sys
from collections.abc import Sequence

from experiments.records import Table
from scripts.engine.command import add_seeds_option, command_parser, exit_code
from scripts.engine.environment import Environment, add_environment_options, environment_from
from scripts.engine.first_stage.measures import measure_first_stages
from scripts.engine.places import find_table_of
from scripts.reports.files import ReportPlace, add_report_options, report_place_from
from scripts.reports.first_stage import write_first_stage
from scripts.reports.results import Results


def option_parser() -> argparse.ArgumentParser:
    parser = command_parser("first_stage", __doc__)
    parser.add_argument("table", help="paper/table, for example kl_rpn/readings")
    add_environment_options(parser, unfinished=True)
    add_seeds_option(parser)
    add_report_options(parser)
    return parser


def report_first_stages(
    table: Table, report: ReportPlace, environment: Environment, seeds: int
) -> str:
    """Measures every network with every seed, writes the report and returns what is printed."""
    place = environment.table_place(report.table)
    results = measure_first_stages(table, place, environment, seeds)
    return write_first_stage(Results(table, report.with_committed(results)), report)


def main(arguments: Sequence[str] | None = None) -> int:
    given = vars(option_parser().parse_args(arguments))
    report, environment = report_place_from(given), environment_from(given)

    def work() -> None:
        table = find_table_of(report.table, "first_stage")
        print(report_first_stages(table, report, environment, given["seeds"]))

    return exit_code(work)


if __name__ == "__main__":
    sys.exit(main())
