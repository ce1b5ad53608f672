"""Prints a table beside the paper's: python -m scripts.report kl_loss/table1 --scale mini

Reads what scripts/evaluate.py (or scripts/benchmark.py) wrote for each seed. The full report,
<scale>.md, .csv and .json, goes to OUT/SCALE/PAPER/TABLE/report, with --publish to the table's
results folder. A row that was not run stays, as "not run".
"""

import sys
from collections.abc import Sequence

from scripts.engine.command import command_parser, exit_code
from scripts.engine.places import add_place_options
from scripts.reports.files import add_report_options, report_place_from
from scripts.reports.tables import write_table


def main(arguments: Sequence[str] | None = None) -> int:
    parser = command_parser("report", __doc__)
    parser.add_argument("table", help="paper/table, for example kl_loss/table1")
    add_place_options(parser)
    add_report_options(parser)
    place = report_place_from(vars(parser.parse_args(arguments)))
    return exit_code(lambda: print(write_table(place)))


if __name__ == "__main__":
    sys.exit(main())
