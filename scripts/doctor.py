"""Looks at the machine and says what would go wrong: python -m scripts.doctor

Runs when PyTorch does not. Every finding that is not in order names the one line that fixes it.
Exit code 1 if something is broken, else 0.
"""

import argparse
import sys
from collections.abc import Sequence

from scripts.engine.command import command_parser
from scripts.engine.doctor.machine import check_machine


def option_parser() -> argparse.ArgumentParser:
    return command_parser("doctor", __doc__)


def main(arguments: Sequence[str] | None = None) -> int:
    option_parser().parse_args(arguments)
    return check_machine()


if __name__ == "__main__":
    sys.exit(main())
