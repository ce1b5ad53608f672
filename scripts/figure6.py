"""Draws KL Loss Figure 6, the gain of var voting at each sigma_t:
    python -m scripts.figure6 kl_loss/figure6

Reads what scripts/evaluate.py wrote for each seed, draws <scale>.png beside the report, and says
for each curve where it is highest. A row that was not run leaves a gap.
"""

import sys
from collections.abc import Sequence

from scripts.engine.command import command_parser, exit_code
from scripts.engine.places import add_place_options
from scripts.reports.figure6 import write_figure6
from scripts.reports.files import add_report_options, report_place_from


def main(arguments: Sequence[str] | None = None) -> int:
    parser = command_parser("figure6", __doc__)
    parser.add_argument("table", help="paper/table, for example kl_loss/figure6")
    add_place_options(parser)
    add_report_options(parser)
    place = report_place_from(vars(parser.parse_args(arguments)))
    return exit_code(lambda: print(write_figure6(place)))


if __name__ == "__main__":
    sys.exit(main())
