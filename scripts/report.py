"""Prints a table beside the paper's: python -m scripts.report kl_loss/table1 --scale mini

Reads what scripts/evaluate.py (or scripts/benchmark.py) wrote for each seed; writes <scale>.md, .csv and .json into
the table's results folder. A row that was not run stays, as "not run".
"""

import argparse
import sys
from pathlib import Path

from experiments.scales import SCALES
from scripts.engine.command import exit_code
from scripts.engine.places import EXPERIMENTS
from scripts.reports.tables import write_table


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("table", help="paper/table, for example kl_loss/table1")
    parser.add_argument("--scale", choices=sorted(SCALES), default="mini")
    parser.add_argument("--out", type=Path, default=Path("runs"), metavar="DIR", help="where runs are kept")
    parser.add_argument("--results", type=Path, default=None, metavar="DIR",
                        help="where to write (default: the table's results folder)")
    args = parser.parse_args()
    folder = args.results or EXPERIMENTS / args.table / "results"
    return exit_code(lambda: print(write_table(args.table, args.scale, args.out, folder)))


if __name__ == "__main__":
    sys.exit(main())
