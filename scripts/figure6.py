"""KL Loss Figure 6, var voting at different temperatures: python -m scripts.figure6 kl_loss/figure6 --scale mini

Reads what scripts/evaluate.py wrote for each seed, draws <scale>.png into the table's results folder, and says for each
curve where it is highest. A row that was not run leaves a gap.
"""

import argparse
import sys
from pathlib import Path

from experiments.scales import SCALES
from scripts.engine.command import exit_code
from scripts.engine.places import EXPERIMENTS
from scripts.reports.figure6 import write_figure6


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("table", help="paper/table, for example kl_loss/figure6")
    parser.add_argument("--scale", choices=sorted(SCALES), default="mini")
    parser.add_argument("--out", type=Path, default=Path("runs"), metavar="DIR", help="where runs are kept")
    parser.add_argument("--results", type=Path, default=None, metavar="DIR",
                        help="where to draw (default: the table's results folder)")
    args = parser.parse_args()
    folder = args.results or EXPERIMENTS / args.table / "results"
    return exit_code(lambda: print(write_figure6(args.table, args.scale, args.out, folder)))


if __name__ == "__main__":
    sys.exit(main())
