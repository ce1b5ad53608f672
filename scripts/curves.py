"""Learning curves of a table's runs as numbers and a picture: python -m scripts.curves kl_loss/table5 --scale lite

Reads the TensorBoard files below --out; writes <scale>_curves.csv (means over BIN updates) and <scale>_curves.png into
the table's results folder.
"""

import argparse
import sys
from pathlib import Path

from experiments.scales import SCALES
from scripts.engine.command import exit_code
from scripts.engine.places import EXPERIMENTS
from scripts.reports.curves import write_curves


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("table", help="paper/table, for example kl_loss/table5")
    parser.add_argument("--scale", choices=sorted(SCALES), default="mini")
    parser.add_argument("--out", type=Path, default=Path("runs"), metavar="DIR", help="where runs are kept")
    args = parser.parse_args()
    folder = EXPERIMENTS / args.table / "results"
    return exit_code(lambda: print(write_curves(args.table, args.scale, args.out, folder)))


if __name__ == "__main__":
    sys.exit(main())
