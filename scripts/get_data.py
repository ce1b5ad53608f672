"""Downloads a public data set into the layout that data/ reads: python -m scripts.get_data voc2007

An archive comes over https to <out>/archives/NAME.part, is resumed where it broke off, checked
against its MD5 and renamed; it is unpacked into a temporary folder beside the goal, which is then
renamed. So what has its final name is complete, and the same command goes on after any
interruption. An archive that already lies in <out>/archives is used. Exit code 0, or 2 with one
sentence that says what to do.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from scripts.engine.command import command_parser, exit_code
from scripts.engine.downloads.archives import DATASETS
from scripts.engine.downloads.downloads import get_parts

INTERRUPTED = 130  # exit code


def option_parser() -> argparse.ArgumentParser:
    parser = command_parser("get_data", __doc__)
    parser.add_argument("dataset", choices=sorted(DATASETS))
    parser.add_argument(
        "--out",
        type=Path,
        default=Path("datasets"),
        metavar="DIR",
        help="the later --data-root",
    )
    parser.add_argument(
        "--keep-archives", action="store_true", help="leave the archives in <out>/archives"
    )
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    given = option_parser().parse_args(arguments)
    parts = DATASETS[given.dataset]
    try:
        return exit_code(lambda: get_parts(parts, given.out, given.keep_archives))
    except KeyboardInterrupt:
        print("stopped; the same command continues", file=sys.stderr)
        return INTERRUPTED


if __name__ == "__main__":
    sys.exit(main())
