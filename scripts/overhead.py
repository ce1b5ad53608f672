"""What an update costs beyond its arithmetic:
    python -m scripts.overhead kl_loss/vgg16_coco_kl --scale mini

Checks, losses, statistics and progress against forward, backward and step alone; the only process
of torchrun against one without it; checkpoints as a share of the time. Ratios of medians of
updates that are timed in turn. Weights are random and images synthetic.
"""

import argparse
import sys
from collections.abc import Sequence

import torch

from experiments.scales import at_scale
from models.build import build_detector
from scripts.engine.command import command_parser, exit_code
from scripts.engine.environment import device_name, pick_device
from scripts.engine.numbers import at_least_one
from scripts.engine.places import add_place_options, find_run
from scripts.engine.speed.overhead import measure_overhead
from scripts.engine.synthetic import batch_for, largest_size
from scripts.engine.weights.start import freeze_for_training


def option_parser() -> argparse.ArgumentParser:
    parser = command_parser("overhead", __doc__)
    parser.add_argument("run", help="paper/run, for example kl_loss/vgg16_coco_kl")
    add_place_options(parser)
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")
    parser.add_argument("--repeats", type=at_least_one, default=40, help="timed updates of each")
    return parser


def print_overhead(name: str, scale: str, device_option: str, repeats: int) -> None:
    """Measures the updates of a run and prints what is added to them."""
    run, device = at_scale(find_run(name), scale), pick_device(device_option)
    torch.manual_seed(0)
    batch = batch_for(run, images=run.train.batch_size, size=largest_size(run.data)).to(device)
    detector = build_detector(run.model).to(device)
    freeze_for_training(detector, run, pretrained=run.start != "scratch")
    found = measure_overhead(detector, run, batch, repeats)
    print(f"{name}, {scale}, {device_name(device_option)}, torch {torch.__version__}")
    print(f"forward, backward, step:        {found.bare} ms")
    print(f"as scripts.train makes it:      {found.trained} ms, {found.trained_percent:+.1f} %")
    print(f"as the one process of torchrun: {found.shared} ms, {found.shared_percent:+.1f} % more")
    print(f"a checkpoint: {found.save:.0f} ms, {found.save_percent:.2f} % of the time")


def main(arguments: Sequence[str] | None = None) -> int:
    given = option_parser().parse_args(arguments)
    return exit_code(lambda: print_overhead(given.run, given.scale, given.device, given.repeats))


if __name__ == "__main__":
    sys.exit(main())
