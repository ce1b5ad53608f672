"""Draws the learning curves of a table's runs: python -m scripts.curves kl_loss/table5 --scale lite

Reads the TensorBoard files below --out; writes <scale>_curves.csv (means over 100 updates) and
<scale>_curves.png beside the table's report.
"""

import sys
from collections.abc import Sequence

from scripts.engine.command import command_parser, exit_code
from scripts.engine.places import add_place_options
from scripts.reports.curves import write_curves
from scripts.reports.files import add_report_options, report_place_from


def main(arguments: Sequence[str] | None = None) -> int:
    parser = command_parser("curves", __doc__)
    parser.add_argument("table", help="paper/table, for example kl_loss/table5")
    add_place_options(parser)
    add_report_options(parser)
    place = report_place_from(vars(parser.parse_args(arguments)))
    return exit_code(lambda: print(write_curves(place)))


if __name__ == "__main__":
    sys.exit(main())
