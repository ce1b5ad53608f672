"""Latency of a table's networks:
    python -m scripts.benchmark kl_loss/table2 --scale paper --device auto

All rows are timed in one process, in turn (A B A B ...), so that a warm or busy machine slows both
alike; numbers are medians. Weights are random and candidates synthetic
(scripts/engine/speed/latency.py says why that is fair). ``python -m scripts.speed`` times
everything else.
"""

import argparse
import sys
from collections.abc import Sequence

import torch

from experiments.records import Run, Table
from experiments.scales import at_scale
from scripts.engine.command import command_parser, exit_code
from scripts.engine.environment import Environment, device_name, pick_device
from scripts.engine.evaluation.results import row_line, seed_results
from scripts.engine.files import write_json
from scripts.engine.numbers import at_least_one
from scripts.engine.places import TablePlace, add_place_options, find_table, table_place
from scripts.engine.speed.latency import Latencies, time_rows
from scripts.reports.results import markdown_table


def option_parser() -> argparse.ArgumentParser:
    parser = command_parser("benchmark", __doc__)
    parser.add_argument(
        "table", help="paper/table that is measured in time, for example kl_loss/table2"
    )
    add_place_options(parser)
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")
    parser.add_argument("--repeats", type=at_least_one, default=20, help="timed calls of each")
    parser.add_argument(
        "--train-step", action="store_true", help="also time one training step of each run"
    )
    return parser


def benchmark(
    table: Table, place: TablePlace, environment: Environment, repeats: int, train_step: bool
) -> None:
    """Times a table's rows, prints and writes them."""
    if table.metric != "latency":
        raise ValueError(
            f"{place.name} is scored by {table.metric!r}, not by time; use python -m "
            f"scripts.{table.command}."
        )
    device = pick_device(environment.device)
    runs = [at_scale(row.run, environment.scale) for row in table.rows]
    print(
        f"{table.title}; scale {environment.scale}; {device_name(environment.device)}; torch "
        f"{torch.__version__}",
        flush=True,
    )
    latencies = time_rows(table.rows, runs, repeats, device, train_step=train_step)
    print(latency_table(table, runs, latencies), flush=True)
    lines = []
    for index, (row, run) in enumerate(zip(table.rows, runs, strict=True)):
        lines.append({**row_line(row, run), "metrics": latencies.metrics(index)})
    write_json(place.seed_file(0), seed_results(table, place, environment, 0, lines))
    print(f"-> {place.seed_file(0)}")


def latency_table(table: Table, runs: Sequence[Run], latencies: Latencies) -> str:
    """The times of all rows as a markdown table."""
    lines = []
    for index, (row, run) in enumerate(zip(table.rows, runs, strict=True)):
        times = [str(times[index]) for times in latencies.times.values()]
        lines.append([row.label, run.name, *times, f"{latencies.ratio(index):.3f}"])
    heads = [f"{name} ms" for name in latencies.times]
    return markdown_table(["row", "run", *heads, "ratio"], lines)


def main(arguments: Sequence[str] | None = None) -> int:
    given = option_parser().parse_args(arguments)
    environment = Environment(scale=given.scale, out=given.out, device=given.device)
    place = table_place(given.table, scale=given.scale, out=given.out)
    return exit_code(
        lambda: benchmark(
            find_table(given.table), place, environment, given.repeats, given.train_step
        )
    )


if __name__ == "__main__":
    sys.exit(main())
