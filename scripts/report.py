"""Prints a table beside the paper's: python -m scripts.report kl_loss/table1 --scale mini

Reads what scripts/evaluate.py (or scripts/benchmark.py) wrote for each seed. The full report,
<scale>.md, .csv and .json, goes to OUT/SCALE/PAPER/TABLE/report, with --publish to the table's
results folder. A row that was not run stays, as "not run".
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from experiments.scales import SCALES
from scripts.engine.command import exit_code
from scripts.reports.files import add_report_options, report_place_from
from scripts.reports.tables import write_table


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("table", help="paper/table, for example kl_loss/table1")
    parser.add_argument("--scale", choices=sorted(SCALES), default="mini")
    parser.add_argument("--out", type=Path, default=Path("runs"), metavar="DIR",
                        help="where runs are kept")  # fmt: skip
    add_report_options(parser)
    place = report_place_from(vars(parser.parse_args(arguments)))
    return exit_code(lambda: print(write_table(place)))


if __name__ == "__main__":
    sys.exit(main())
