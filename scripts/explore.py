"""Shows what a training is fed with: python -m scripts.explore [RUN] --data DIR

One HTML page, without server, script or network: labels, the images as the network sees them,
matched anchors, sampled RoIs with their targets, histograms, and which objects no anchor reaches.
RUN is own/small (the default with --data), another recipe of own/, or a run of the papers such as
kl_loss/vgg16_coco_kl (the default without --data: the rendered scenes of the scale mini).
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from scripts.engine.command import command_parser, exit_code
from scripts.engine.environment import add_environment_options, environment_from
from scripts.engine.explore.explore import Exploration, explore
from scripts.engine.explore.explored import ExploreOptions
from scripts.engine.numbers import at_least_one, whole
from scripts.engine.own.recipe import OwnOptions
from scripts.reports.explore import ExploreReport, ImageView, write_explore

DEFAULT, OWN_DEFAULT = "kl_loss/vgg16_coco_kl", "own/small"


def option_parser() -> argparse.ArgumentParser:
    parser = command_parser("explore", __doc__)
    parser.add_argument("run", nargs="?", default=None, metavar="RUN")
    add_environment_options(parser)
    parser.add_argument(
        "--images", nargs="+", default=["12"], metavar="N",
        help="how many images are shown, spread over the data set, or their names (default: 12)",
    )  # fmt: skip
    parser.add_argument(
        "--counted", type=at_least_one, default=None, metavar="N",
        help="count the objects of N images, spread evenly (default: of all)",
    )  # fmt: skip
    parser.add_argument(
        "--checkpoint", type=Path, default=None, metavar="FILE",
        help="the network that proposes RoIs, or the folder of its run; its settings take the "
        "place of RUN's (default: an untrained network)",
    )  # fmt: skip
    parser.add_argument("--short-side", type=whole(32), metavar="PX", help="own/*: as in training")
    parser.add_argument("--augment", action="store_true", help="own/*: as in training")
    parser.add_argument(
        "--to", type=Path, default=Path("explore.html"), metavar="FILE",
        help="the page (default: explore.html)",
    )  # fmt: skip
    return parser


def options_from(given: dict[str, Any]) -> ExploreOptions:
    """The options of the command line."""
    images: list[str] = given["images"]
    counts = len(images) == 1 and images[0].isdecimal()
    run = given["run"] or (DEFAULT if given["data_root"] is None else OWN_DEFAULT)
    return ExploreOptions(
        run=run,
        environment=environment_from(given),
        checkpoint=given["checkpoint"],
        images=max(1, int(images[0])) if counts else images,
        counted=given["counted"],
        own=OwnOptions(short_side=given["short_side"], augment=given["augment"]),
    )


def report_of(exploration: Exploration, options: ExploreOptions) -> ExploreReport:
    """What the page shows of what was found."""
    explored, shares = exploration.explored, exploration.shares
    rpn = explored.run.model.rpn
    root = options.environment.data_root
    return ExploreReport(
        data=f"{options.environment.scale} data" if root is None else root.resolve().name,
        facts=exploration.facts,
        classes=explored.dataset.classes,
        reach=exploration.reach,
        positives=shares.positive,
        percent=shares.positive_share,
        anchor_sizes=rpn.anchor_sizes,
        anchor_ratios=rpn.anchor_ratios,
        positive_iou=rpn.positive_iou,
        images=[
            ImageView(
                name=image.name,
                pictures=[(titled.picture, titled.caption) for titled in image.pictures],
                anchor_groups=image.anchor_groups,
                anchor_counts=image.anchor_counts,
            )
            for image in exploration.images
        ],
        unreadable=exploration.unreadable,
    )


def main(arguments: Sequence[str] | None = None) -> int:
    given = vars(option_parser().parse_args(arguments))

    def work() -> None:
        options = options_from(given)
        print(write_explore(report_of(explore(options), options), given["to"]))

    return exit_code(work)


if __name__ == "__main__":
    sys.exit(main())
