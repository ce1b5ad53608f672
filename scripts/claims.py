"""Says of each claim of the papers whether it holds here: python -m scripts.claims

Reads the committed results of experiments/ alone; writes docs/claims.md, and the summary in
README.md. Run it after publishing results.
"""

import sys
from collections.abc import Sequence

from scripts.engine.command import command_parser, exit_code
from scripts.reports.claims_page import write_claims


def main(arguments: Sequence[str] | None = None) -> int:
    command_parser("claims", __doc__).parse_args(arguments)
    return exit_code(lambda: print(write_claims()))


if __name__ == "__main__":
    sys.exit(main())
