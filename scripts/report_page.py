"""Writes one HTML page with everything that was measured: python -m scripts.report_page

Reads the committed results of experiments/; with --results the reports below a folder of runs as
well, which take the place of committed ones of the same table and scale. The page needs no server,
no network and no script: open it in a browser, on a phone, or print it.
"""

import sys
from collections.abc import Sequence
from pathlib import Path

from scripts.engine.command import command_parser, exit_code
from scripts.reports.page.page import write_page


def main(arguments: Sequence[str] | None = None) -> int:
    parser = command_parser("report_page", __doc__)
    parser.add_argument(
        "--results", type=Path, metavar="DIR", help="a folder of runs, such as runs"
    )
    parser.add_argument(
        "--to", type=Path, default=Path("report.html"), metavar="FILE",
        help="the page (default: report.html)",
    )  # fmt: skip
    given = parser.parse_args(arguments)
    return exit_code(lambda: print(write_page(given.to, given.results)))


if __name__ == "__main__":
    sys.exit(main())
