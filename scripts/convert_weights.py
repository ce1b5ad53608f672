"""Detectors of others in our form:
    python -m scripts.convert_weights FILE [--run kl_loss/r50_fpn_kl]

FILE holds a Faster or Mask R-CNN with a ResNet, with a feature pyramid or C4, of torchvision
(.pth), Detectron (.pkl; also of the KL Loss authors) or Detectron2 (.pkl, .pth), or one of these as
.safetensors. The result is a checkpoint: python -m scripts.detect takes it, and with --run python
-m scripts.train takes it as --resume. Without --run the network is the file's own, with the
conventions of its code base; with it, that run's, and what the file does not have keeps its initial
values. Exit code: 0 converted, 2 the file does not fit.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from scripts.engine.command import command_parser, exit_code
from scripts.engine.numbers import not_negative
from scripts.engine.weights.convert import convert


def option_parser() -> argparse.ArgumentParser:
    parser = command_parser("convert_weights", __doc__)
    parser.add_argument(
        "file", type=Path, metavar="FILE", help="weights of torchvision, Detectron or Detectron2"
    )
    parser.add_argument(
        "--run",
        default=None,
        metavar="PAPER/RUN",
        help="the network to fill (default: the file's own)",
    )
    parser.add_argument(
        "--out",
        type=Path,
        default=None,
        metavar="FILE.pt",
        help="where the checkpoint goes (default: FILE with the ending .converted.pt)",
    )
    parser.add_argument(
        "--norm-eps",
        type=not_negative,
        default=0.0,
        metavar="EPS",
        help="torchvision only: eps of its norms, 0 in the published COCO weights (default), 1e-5 "
        "in networks trained from ImageNet weights",
    )
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    given = option_parser().parse_args(arguments)
    out = given.out or given.file.with_suffix(".converted.pt")
    return exit_code(lambda: convert(given.file, out, given.run, given.norm_eps))


if __name__ == "__main__":
    sys.exit(main())
