"""KL-RPN Figure 3, offsets of good and bad proposals:
    python -m scripts.figure3 kl_rpn/figure3 --seeds 3

The first 100 test images, the proposals that the second stage gets. Writes beside the table's
report <scale>.png (seed 0) and, as numbers over all seeds, <scale>.md, .csv and .json.
"""

import argparse
import sys
from collections.abc import Sequence

from experiments.records import Table
from scripts.engine.command import add_seeds_option, command_parser, exit_code
from scripts.engine.environment import Environment, add_environment_options, environment_from
from scripts.engine.first_stage.figure3 import measure_offsets
from scripts.engine.places import find_table_of
from scripts.reports.figure3 import write_figure3
from scripts.reports.files import ReportPlace, add_report_options, report_place_from
from scripts.reports.results import Results

IMAGES = 100  # as in the paper


def option_parser() -> argparse.ArgumentParser:
    parser = command_parser("figure3", __doc__)
    parser.add_argument("table", help="paper/table, for example kl_rpn/figure3")
    add_environment_options(parser, unfinished=True)
    add_seeds_option(parser)
    add_report_options(parser)
    return parser


def report_offsets(table: Table, report: ReportPlace, environment: Environment, seeds: int) -> str:
    """Measures both networks with every seed, writes the report and returns what is printed."""
    place = environment.table_place(report.table)
    measured = measure_offsets(table, place, environment, seeds, images=IMAGES)
    return write_figure3(
        Results(table, report.with_committed(measured.seeds)), report, measured.first
    )


def main(arguments: Sequence[str] | None = None) -> int:
    given = vars(option_parser().parse_args(arguments))
    report, environment = report_place_from(given), environment_from(given)

    def work() -> None:
        table = find_table_of(report.table, "figure3")
        print(report_offsets(table, report, environment, given["seeds"]))

    return exit_code(work)


if __name__ == "__main__":
    sys.exit(main())
