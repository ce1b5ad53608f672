"""KL-RPN Figure 3, offsets of good and bad proposals: python -m scripts.figure3 kl_rpn/figure3 --scale mini --seeds 3

The first 100 test images, the proposals that the second stage gets. Writes into the table's results folder <scale>.png
(seed 0) and, as numbers over all seeds, <scale>.md, .csv and .json.
"""

import argparse
import itertools
import sys
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")
import numpy as np
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from numpy.typing import NDArray

from data.records import Dataset, Target
from data.scoring.offset_distribution import COORDINATES, offset_distribution, separation
from experiments.scales import TITLES
from scripts.engine.command import exit_code
from scripts.proposals import (
    arguments,
    first_stages,
    results_folder,
    scaled_runs,
    seed_record,
    signed,
    table_of,
    write_results,
)
from scripts.report import Results, cell, markdown_table

IMAGES = 100  # as in the paper
BINS = 40
SHOWN = 99.0  # percentile of all offsets of a column at which its axis ends
AXES = {"x": "|x - x$_p$| / w$_p$", "y": "|y - y$_p$| / h$_p$", "w": "|ln(w / w$_p$)|", "h": "|ln(h / h$_p$)|"}
QUANTITIES = {"median_high": "median high", "median_low": "median low", "ks": "KS", "wasserstein": "Wasserstein"}
NOTE = ("`high`, `low`: the 5 x G proposals with the highest and the lowest objectness of each image with G objects, "
        "among those that overlap an object; `n` of each. `KS` (Kolmogorov-Smirnov, 0..1) and `Wasserstein` are "
        "distances between the distributions of their absolute offsets.")
CAPTION = (f"*Seed 0; red: high objectness, blue: low. p is the proposal. An axis ends at the {SHOWN:g}th percentile "
           "of all offsets of its column; each panel says how much lies outside.*")

Offsets = tuple[NDArray[np.float64], NDArray[np.float64]]  # (M, 4) of high objectness, (M, 4) of low


def shared_bins(offsets: list[Offsets], column: int) -> NDArray[np.float64]:
    """The edges (BINS + 1,) of one column's histograms, from 0 to its SHOWN-th percentile over all networks."""
    values = np.concatenate([np.zeros(0), *(part[:, column] for pair in offsets for part in pair)])
    end = float(np.percentile(values, SHOWN)) if len(values) else 0.0
    return np.linspace(0.0, end or 1.0, BINS + 1)


def density(values: NDArray[np.float64], edges: NDArray[np.float64]) -> NDArray[np.float64]:
    """The share of all values in each bin, per unit of offset: its area is the share that lies inside the axis."""
    return np.histogram(values, edges)[0] / max(len(values), 1) / np.diff(edges)


def outside(values: NDArray[np.float64], edges: NDArray[np.float64]) -> float:
    """Percent of the values that lie beyond the axis."""
    return 100.0 * float((values > edges[-1]).mean()) if len(values) else 0.0


def draw_panel(axis: Axes, high: NDArray[np.float64], low: NDArray[np.float64], edges: NDArray[np.float64]) -> None:
    """One coordinate of one network."""
    for values, color, name in ((high, "tab:red", "high"), (low, "tab:blue", "low")):
        axis.stairs(density(values, edges), edges, color=color, linewidth=1.5, label=f"{name} objectness")
    axis.text(0.97, 0.95, f"n = {len(high)} + {len(low)}\noutside: {outside(high, edges):.1f} % of high\n"
              f"{outside(low, edges):.1f} % of low", transform=axis.transAxes, ha="right", va="top", fontsize=8)


def draw(networks: dict[str, Offsets | None], path: Path, title: str) -> None:
    """One row a network, (a), (b), ...; one column a coordinate, both axes shared within a column.

    Args:
        networks: {label: offsets}; None for one that was not run, its row says so.
    """
    figure, axes = plt.subplots(len(networks), len(COORDINATES), figsize=(13, 3.1 * len(networks) + 1.2), squeeze=False,
                                sharex="col", sharey="col", constrained_layout=True)
    bins = [shared_bins([o for o in networks.values() if o is not None], i) for i in range(len(COORDINATES))]
    for row, (label, offsets) in enumerate(networks.items()):
        for i, (axis, name) in enumerate(zip(axes[row], COORDINATES, strict=True)):
            if offsets is None:
                axis.text(0.5, 0.5, "not run", transform=axis.transAxes, ha="center", va="center")
            else:
                draw_panel(axis, offsets[0][:, i], offsets[1][:, i], bins[i])
            axis.set_xlim(0.0, bins[i][-1])
            axis.set_xlabel(AXES[name])
            axis.tick_params(labelbottom=True)
            axis.grid(alpha=0.3)
            if row == 0:
                axis.set_title(f"offset of {name}", fontsize=11)
        axes[row, 0].set_ylabel(f"({'abcdefgh'[row]}) {label}\ndensity")
    lines = {name: line for axis in axes.flat for line, name in zip(*axis.get_legend_handles_labels(), strict=True)}
    figure.legend(lines.values(), lines.keys(), loc="outside lower center", ncols=2)
    figure.suptitle(title)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=90)
    plt.close(figure)


def section(results: Results) -> str:
    """One line a network and coordinate; at the end how much further apart the other network's offsets are."""
    lines = []
    for index, row in enumerate(results.rows):
        count = results.cell(index, "n")
        for name in COORDINATES:
            lines.append([row.name, name, "-" if count.mean is None else f"{count.mean:.0f}",
                          *[str(results.cell(index, quantity, name)) for quantity in QUANTITIES]])
    places = {row.label: i for i, row in enumerate(results.rows)}
    for better, base in results.table.comparisons:
        for name in COORDINATES:
            steps = [results.comparison(places[better], places[base], q, name) for q in ("ks", "wasserstein")]
            lines.append([f"{better} - {base}", name, "", "", "", *map(signed, steps)])
    return markdown_table(["network", "offset", "n", *QUANTITIES.values()], lines)


def csv_lines(results: Results) -> list[list[Any]]:
    lines: list[list[Any]] = [["row", "offset", "column", "value", "spread", "seeds"]]
    for index, row in enumerate(results.rows):
        for part, column in [(None, "n"), *itertools.product(COORDINATES, QUANTITIES)]:
            values = results.values(index, column, part)
            shown = cell(values)
            lines.append([row.label, part, column, "not run" if shown.mean is None else round(shown.mean, 4),
                          None if shown.spread is None else round(shown.spread, 4),
                          sum(value is not None for value in values)])
    return lines


def evaluate(args: argparse.Namespace) -> str:
    """Measures both networks with every seed, draws seed 0, writes the results and returns the markdown text."""
    table = table_of(args, "figure3")
    datasets: dict[tuple[str, str], tuple[Dataset, list[Target]]] = {}
    runs, seeds, drawn = scaled_runs(table, args), [], {}
    for seed in range(args.seeds):
        facts = {}
        for stage in first_stages(table, args, seed, datasets, images=IMAGES):
            facts[stage.run.name] = stage.facts
            if stage.proposals is not None:
                high, low = offset_distribution(stage.proposals, stage.targets)
                facts[stage.run.name] = {**stage.facts, "metrics": {"n": len(high), **separation(high, low)}}
                drawn[stage.run.name, seed] = high, low
        seeds.append(seed_record(table, args, seed, facts))
    parts = [NOTE, section(Results(table, seeds))]
    if any(seed == 0 for _, seed in drawn):
        path = results_folder(args) / f"{args.scale}.png"
        draw({row.label: drawn.get((runs[row.run.name].name, 0)) for row in table.rows}, path,
             f"Offset of proposals from their objects by objectness, seed 0\n{TITLES[args.scale]}")
        parts.append(f"![densities of the four offsets]({path.name})\n\n{CAPTION}")
    return write_results(args, Results(table, seeds), parts, csv_lines(Results(table, seeds)))


def main() -> int:
    args = arguments(__doc__, "kl_rpn/figure3")
    return exit_code(lambda: print(evaluate(args)))


if __name__ == "__main__":
    sys.exit(main())
