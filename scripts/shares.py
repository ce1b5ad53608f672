"""Counts what a first stage is trained on:
    python -m scripts.shares kl_rpn/vgg16_coco kl_rpn/vgg16_voc --scale mini

Objects and positive anchors an image, the share of positives among the sampled anchors, positives a
level under a pyramid, and the sizes of objects beside those of anchors; from the labels of the
training images alone. A small scale that keeps these shares asks the same question as the paper.
"""

import argparse
import sys
from collections.abc import Sequence

from scripts.engine.command import command_parser, exit_code
from scripts.engine.environment import Environment, add_environment_options, environment_from
from scripts.engine.explore.shares import Shares, count_shares
from scripts.engine.numbers import at_least_one


def option_parser() -> argparse.ArgumentParser:
    parser = command_parser("shares", __doc__)
    parser.add_argument("runs", nargs="+", metavar="RUN", help="paper/run")
    parser.add_argument(
        "--images",
        type=at_least_one,
        default=None,
        metavar="N",
        help="training images, spread evenly",
    )
    add_environment_options(parser)
    return parser


def shares_text(name: str, shares: Shares) -> str:
    """What is printed of one run."""
    levels = ", ".join(f"{level:.1f}" for level in shares.levels)
    anchors = ", ".join(f"{size:g}" for size in shares.anchor_sizes)
    first, median, third = shares.side_quartiles
    return "\n".join([
        f"{name}: {shares.images} images, {shares.objects:.1f} objects an image",
        f"  positive anchors: {shares.positive:.1f} of {shares.sampled:.0f} sampled an image "
        f"({shares.positive_share:.1f} %); {shares.without:.1f} % of the images have none",
        f"  anchors inside an image: {shares.anchors:,.0f}; positive on each level: {levels}",
        f"  sides of objects, sqrt(w h): quartiles {first:.0f}, {median:.0f}, {third:.0f} px; "
        f"anchors {anchors} px",
    ])  # fmt: skip


def print_shares(runs: Sequence[str], environment: Environment, images: int | None) -> None:
    """Counts and prints one run after the other."""
    for name in runs:
        print(shares_text(name, count_shares(name, environment, images)), flush=True)


def main(arguments: Sequence[str] | None = None) -> int:
    given = vars(option_parser().parse_args(arguments))
    environment = environment_from(given)
    return exit_code(lambda: print_shares(given["runs"], environment, given["images"]))


if __name__ == "__main__":
    sys.exit(main())
