"""The options of scripts.train that only the recipes of experiments/own/ have, and those that they
lack.
"""

import argparse
from pathlib import Path
from typing import Any

from scripts.engine.numbers import at_least_one, positive, whole

# name among the options -> option
OWN_ALONE = {
    "epochs": "--epochs",
    "short_side": "--short-side",
    "lr": "--lr",
    "backbone": "--backbone",
    "empty_images": "--empty-images",
    "augment": "--augment",
    "annotations": "--annotations",
    "images": "--images",
}
PAPERS_ALONE = {
    "scale": "--scale",
    "proposals": "--proposals",
    "skip_bad_boxes": "--skip-bad-boxes",
}


def add_own_options(parser: argparse.ArgumentParser) -> None:
    """What a user may choose where there is no paper to be faithful to."""
    group = parser.add_argument_group("own/* alone (--batch-size as well)")
    group.add_argument(
        "--annotations", type=Path, metavar="FILE", help="COCO's annotations, instead of --data"
    )
    group.add_argument(
        "--images", type=Path, metavar="DIR", help="the images that --annotations names"
    )
    group.add_argument("--epochs", type=at_least_one, help="how often each image is seen")
    group.add_argument(
        "--short-side", type=whole(32), metavar="PX", help="of an image in the network"
    )
    group.add_argument("--lr", type=positive, help="learning rate, for the batch size")
    group.add_argument("--backbone", metavar="NAME", help="such as resnet101")
    group.add_argument(
        "--empty-images", action="store_true", help="train on images without objects as well"
    )
    group.add_argument(
        "--augment",
        action="store_true",
        help="vary sizes, windows and colors of the images, for long trainings",
    )


def check_options_of(given: dict[str, Any], *, is_own: bool) -> None:
    """Checks that no option is given that the run does not have.

    Args:
        given: the options of the command line; None or False: not given.
        is_own: whether the run is a recipe of own/.

    Raises:
        ValueError: if one is, naming it.
    """
    foreign = PAPERS_ALONE if is_own else OWN_ALONE
    named = [option for name, option in foreign.items() if given[name] not in (None, False)]
    if not named:
        return
    if is_own:
        reason = "such a recipe reads the data of --data, and leaves unusable boxes out, each named"
        if "--scale" in named:
            reason = "the recipes of own/ have one scale of their own; choose the recipe instead"
    else:
        reason = (
            "a paper's run is trained as its recipe says; own/small, own/standard and own/mask have"
            " these options"
        )
    raise ValueError(f"{', '.join(named)}: not for {given['run']}: {reason}.")
