"""Exports a trained detector for other programs: python -m scripts.export CHECKPOINT --to DIR

A detector has two parts that are tensors in, tensors out: "dense" is what is computed at every
place of the image, "head" what is computed of every pooled RoI. They become DIR/dense.pt2 and
DIR/head.pt2 by torch.export, or .onnx files. DIR/detector.json has all else; the NumPy runner of
docs/export.md does what lies between and after the parts.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from scripts.engine.command import command_parser, exit_code
from scripts.engine.export.parts import PARTS
from scripts.engine.export.write import ENDINGS, ExportOptions, export


def size(text: str) -> tuple[int, int]:
    """(height, width) px of "HEIGHTxWIDTH".

    Raises:
        argparse.ArgumentTypeError: it is no size.
    """
    height, _, width = text.lower().partition("x")
    if not (height.isdecimal() and width.isdecimal() and int(height) and int(width)):
        raise argparse.ArgumentTypeError(f"{text!r} is no size in px, such as 608x1024")
    return int(height), int(width)


def option_parser() -> argparse.ArgumentParser:
    parser = command_parser("export", __doc__)
    parser.add_argument("checkpoint", type=Path, help="or a run's folder: its best.pt")
    parser.add_argument("--part", choices=PARTS, help="default: all that the network has")
    parser.add_argument(
        "--format",
        choices=tuple(ENDINGS),
        default="torch",
        help='onnx needs the extra of that name: pip install ".[onnx]"',
    )
    parser.add_argument(
        "--size",
        type=size,
        metavar="HEIGHTxWIDTH",
        help="px, the one padded size that the dense part takes (default: any)",
    )
    parser.add_argument("--to", type=Path, required=True, metavar="DIR", help="where it goes")
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    given = option_parser().parse_args(arguments)
    options = ExportOptions(
        checkpoint=given.checkpoint,
        to=given.to,
        part=given.part,
        format=given.format,
        size=given.size,
    )

    def run() -> None:
        export(options)

    return exit_code(run)


if __name__ == "__main__":
    sys.exit(main())
