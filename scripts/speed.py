"""How fast it is: operators, post-processing, networks, new image sizes, loading, scoring and
start-up beside their peers, in one process and in turn:
    python -m scripts.speed --device auto

Numbers are medians with quartiles; ratios are of medians. Writes DEVICE.json and DEVICE.png (the
scaling curves) into --out.
"""

import argparse
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import torch

from scripts.engine.command import command_parser, exit_code
from scripts.engine.environment import device_name, pick_device
from scripts.engine.numbers import at_least_one
from scripts.engine.speed.curves import draw_curves
from scripts.engine.speed.floor import matrix_rate
from scripts.engine.speed.image_sizes import image_sizes
from scripts.engine.speed.loading import loading
from scripts.engine.speed.measure import growth, line, measure, sweeps
from scripts.engine.speed.networks import detection, training
from scripts.engine.speed.pooling import pooling
from scripts.engine.speed.postprocessing import postprocessing
from scripts.engine.speed.results import write_results
from scripts.engine.speed.scoring import scoring
from scripts.engine.speed.startup import startup
from scripts.engine.speed.work import Measured, Work

PARTS: dict[str, Callable[[torch.device], Iterator[Work]]] = {
    "postprocessing": postprocessing,
    "pooling": pooling,
    "detection": detection,
    "training": training,
    "sizes": image_sizes,
    "loading": loading,
    "scoring": scoring,
    "startup": startup,
}
SLOW = {"detection", "training"}  # a call takes seconds on a CPU
SLOW_REPEATS = 5


def option_parser() -> argparse.ArgumentParser:
    parser = command_parser("speed", __doc__)
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")
    parser.add_argument(
        "--repeats",
        type=at_least_one,
        default=15,
        help=f"timed calls of each; of whole networks on a CPU at most {SLOW_REPEATS}",
    )
    parser.add_argument("--out", type=Path, default=Path("runs/benchmark"))
    return parser


def measurements(part: str, device: torch.device, repeats: int, rate: float) -> Iterator[Measured]:
    """Measures one part and prints each line as it comes."""
    calls = min(repeats, SLOW_REPEATS) if part in SLOW and device.type == "cpu" else repeats
    for work in PARTS[part](device):
        measured = measure(work, calls, device, rate)
        print(line(measured), flush=True)
        yield measured


def benchmark(parts: Sequence[str], wanted: str, repeats: int, out: Path) -> None:
    """Measures, prints and writes the parts; what is measured is written after each part.

    Args:
        parts: keys of PARTS.
        wanted: the device that was asked for.
        repeats: timed calls of each side.
        out: folder of the results.
    """
    device = pick_device(wanted)
    rate = matrix_rate(device)
    print(
        f"{device_name(wanted)}; torch {torch.__version__}, {torch.get_num_threads()} threads; "
        f"float32 matrix product {rate / 1e9:,.0f} GFLOP/s; medians (quartiles)",
        flush=True,
    )
    found: list[Measured] = []
    for part in parts:
        found.extend(measurements(part, device, repeats, rate))
        path = write_results(out, wanted, repeats, rate, found)
    print(f"-> {path}")
    if curves := sweeps(found):
        for sweep in curves:
            print(growth_line(sweep))
        draw_curves(curves, path.with_suffix(".png"))
        print(f"-> {path.with_suffix('.png')}")


def growth_line(sweep: Sequence[Measured]) -> str:
    """How the time of one work grows, as a line of text."""
    fit = growth(sweep)
    peer = f"; {sweep[0].peer_name} ~ {fit['peer_exponent']}" if "peer_exponent" in fit else ""
    return f"{fit['name']}: time ~ {fit['grows']} ^ {fit['exponent']}{peer}"


def main(arguments: Sequence[str] | None = None) -> int:
    given = option_parser().parse_args(arguments)
    return exit_code(lambda: benchmark(given.parts, given.device, given.repeats, given.out))


if __name__ == "__main__":
    sys.exit(main())
