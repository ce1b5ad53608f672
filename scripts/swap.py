"""Ranking or boxes, what makes the difference?
    python -m scripts.swap kl_rpn/figure3 --scale mini --seeds 3

Two region proposal networks that start from the same anchors are taken apart: the boxes of one are
ranked by the objectness of the other, and the anchors themselves, unmoved, by each. Recall of the
best 100 proposals on the test images; writes <scale>_swap.md and .json beside the table's report.
The table's first two rows are the networks.
"""

import argparse
import sys
from collections.abc import Sequence

from experiments.records import Table
from scripts.engine.command import add_seeds_option, command_parser, exit_code
from scripts.engine.environment import Environment, add_environment_options, environment_from
from scripts.engine.first_stage.swap import measure_swapped
from scripts.engine.places import find_table_of
from scripts.reports.files import ReportPlace, add_report_options, report_place_from
from scripts.reports.swap import COUNT, IOUS, write_swap


def option_parser() -> argparse.ArgumentParser:
    parser = command_parser("swap", __doc__)
    parser.add_argument("table", help="paper/table, for example kl_rpn/figure3")
    add_environment_options(parser, unfinished=True)
    add_seeds_option(parser)
    add_report_options(parser)
    return parser


def report_swapped(table: Table, report: ReportPlace, environment: Environment, seeds: int) -> str:
    """Measures every seed, writes the report and returns what is printed."""
    place = environment.table_place(report.table)
    results = measure_swapped(table, place, environment, seeds, count=COUNT, ious=IOUS)
    return write_swap(table, results, report)


def main(arguments: Sequence[str] | None = None) -> int:
    given = vars(option_parser().parse_args(arguments))
    report, environment = report_place_from(given), environment_from(given)

    def work() -> None:
        table = find_table_of(report.table, "figure3")
        print(report_swapped(table, report, environment, given["seeds"]))

    return exit_code(work)


if __name__ == "__main__":
    sys.exit(main())
