"""Days that each table of the papers takes to train at full size: python -m scripts.training_days

Counted operations times images, divided by an assumed rate: docs/scaling.md has the table that this
prints, and the assumptions. --count counts the operations anew, on one image of noise for each kind
of network, and takes about twenty minutes on a CPU core.
"""

import sys
from collections.abc import Sequence

from scripts.engine.command import command_parser, exit_code
from scripts.engine.full_size.training_days import count_all, days_table


def main(arguments: Sequence[str] | None = None) -> int:
    parser = command_parser("training_days", __doc__)
    parser.add_argument("--count", action="store_true", help="count the operations anew first")
    count = parser.parse_args(arguments).count

    def work() -> None:
        if count:
            count_all()
        print(days_table())

    return exit_code(work)


if __name__ == "__main__":
    sys.exit(main())
