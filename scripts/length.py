"""Draws a table over training length: python -m scripts.length kl_rpn/length --scale mini

One curve a network over every length of the scale that was measured, such as mini, mini-2x and
mini-4x, below --out or among the committed results. Writes <scale>_length.png, .md and .csv beside
the table's report, with --publish into the table's results folder.
"""

import sys
from collections.abc import Sequence

from scripts.engine.command import command_parser, exit_code
from scripts.engine.places import add_place_options
from scripts.reports.files import add_report_options, report_place_from
from scripts.reports.length import write_length


def main(arguments: Sequence[str] | None = None) -> int:
    parser = command_parser("length", __doc__)
    parser.add_argument("table", help="paper/table, for example kl_rpn/length")
    add_place_options(parser)
    add_report_options(parser)
    place = report_place_from(vars(parser.parse_args(arguments)))
    return exit_code(lambda: print(write_length(place)))


if __name__ == "__main__":
    sys.exit(main())
