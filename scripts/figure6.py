"""Draws KL Loss Figure 6, the gain of var voting at each sigma_t:
    python -m scripts.figure6 kl_loss/figure6

Reads what scripts/evaluate.py wrote for each seed, draws <scale>.png beside the report, and says
for each curve where it is highest. A row that was not run leaves a gap.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from experiments.scales import SCALES
from scripts.engine.command import exit_code
from scripts.reports.figure6 import write_figure6
from scripts.reports.files import add_report_options, report_place_from


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("table", help="paper/table, for example kl_loss/figure6")
    parser.add_argument("--scale", choices=sorted(SCALES), default="mini")
    parser.add_argument("--out", type=Path, default=Path("runs"), metavar="DIR",
                        help="where runs are kept")  # fmt: skip
    add_report_options(parser)
    place = report_place_from(vars(parser.parse_args(arguments)))
    return exit_code(lambda: print(write_figure6(place)))


if __name__ == "__main__":
    sys.exit(main())
