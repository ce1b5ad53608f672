"""Draws the learning curves of a table's runs: python -m scripts.curves kl_loss/table5 --scale lite

Reads the TensorBoard files below --out; writes <scale>_curves.csv (means over 100 updates) and
<scale>_curves.png beside the table's report.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from experiments.scales import SCALES
from scripts.engine.command import exit_code
from scripts.reports.curves import write_curves
from scripts.reports.files import add_report_options, report_place_from


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("table", help="paper/table, for example kl_loss/table5")
    parser.add_argument("--scale", choices=sorted(SCALES), default="mini")
    parser.add_argument("--out", type=Path, default=Path("runs"), metavar="DIR",
                        help="where runs are kept")  # fmt: skip
    add_report_options(parser)
    place = report_place_from(vars(parser.parse_args(arguments)))
    return exit_code(lambda: print(write_curves(place)))


if __name__ == "__main__":
    sys.exit(main())
