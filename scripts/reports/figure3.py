"""KL-RPN Figure 3: offsets of proposals with high and low objectness, drawn and as numbers."""

import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from numpy.typing import NDArray

from data.scoring.offset_distribution import COORDINATES
from experiments.scales import scale_title
from scripts.reports.files import Report, ReportPlace, write_report
from scripts.reports.pictures import save_picture
from scripts.reports.provenance import report_page
from scripts.reports.results import Results, csv_numbers
from scripts.reports.shown import Grid, Item, Shown, level, step
from scripts.reports.summary import Column, Summary, summary_text

BINS = 40
SHOWN = 99.0  # percentile of all offsets of a column at which its axis ends
AXES = {
    "x": "|x - x$_p$| / w$_p$", "y": "|y - y$_p$| / h$_p$", "w": "|ln(w / w$_p$)|",
    "h": "|ln(h / h$_p$)|",
}  # fmt: skip
QUANTITIES = {
    "median_high": "median high", "median_low": "median low", "ks": "KS",
    "wasserstein": "Wasserstein",
}  # fmt: skip
NOTE = (
    "`high`, `low`: the 5 x G proposals with the highest and the lowest objectness of each image "
    "with G objects, among those that overlap an object; `n` of each. `KS` (Kolmogorov-Smirnov, "
    "0..1) and `Wasserstein` are distances between the distributions of their absolute offsets."
)
CAPTION = (
    "*Seed 0; red: high objectness, blue: low. p is the proposal. An axis ends at the "
    f"{SHOWN:g}th percentile of all offsets of its column; each panel says how much lies outside.*"
)

Values = NDArray[np.float64]
Offsets = tuple[Values, Values]  # (M, 4) of high objectness, (M, 4) of low


def shared_bins(offsets: list[Offsets], column: int) -> Values:
    """The edges (BINS + 1,) of one column's histograms: from 0 to its SHOWN-th percentile over all
    networks."""
    parts = [part[:, column] for pair in offsets for part in pair]
    values = np.concatenate([np.zeros(0), *parts])
    end = float(np.percentile(values, SHOWN)) if len(values) else 0.0
    return np.linspace(0.0, end or 1.0, BINS + 1)


def density(values: Values, edges: Values) -> Values:
    """The share of all values in each bin, per unit of offset: its area is the share that lies
    inside the axis."""
    return np.histogram(values, edges)[0] / max(len(values), 1) / np.diff(edges)


def outside(values: Values, edges: Values) -> float:
    """Percent of the values that lie beyond the axis."""
    return 100.0 * float((values > edges[-1]).mean()) if len(values) else 0.0


def draw_panel(axis: Axes, high: Values, low: Values, edges: Values) -> None:
    """One coordinate of one network."""
    for values, color, name in ((high, "tab:red", "high"), (low, "tab:blue", "low")):
        heights = density(values, edges)
        axis.stairs(heights, edges, color=color, linewidth=1.5, label=f"{name} objectness")
    text = (
        f"n = {len(high)} + {len(low)}\noutside: {outside(high, edges):.1f} % of high\n"
        f"{outside(low, edges):.1f} % of low"
    )
    axis.text(0.97, 0.95, text, transform=axis.transAxes, ha="right", va="top", fontsize=8)


def draw_network(axes: Sequence[Axes], offsets: Offsets | None, bins: Sequence[Values]) -> None:
    """One row of the picture: the four coordinates of one network, None if it was not run."""
    for i, (axis, name) in enumerate(zip(axes, COORDINATES, strict=True)):
        if offsets is None:
            axis.text(0.5, 0.5, "not run", transform=axis.transAxes, ha="center", va="center")
        else:
            draw_panel(axis, offsets[0][:, i], offsets[1][:, i], bins[i])
        axis.set_xlim(0.0, bins[i][-1])
        axis.set_xlabel(AXES[name])
        axis.tick_params(labelbottom=True)
        axis.grid(alpha=0.3)


def draw(networks: dict[str, Offsets | None], path: Path, title: str) -> None:
    """One row a network, (a), (b), ...; one column a coordinate, both axes shared within a column.

    Args:
        networks: {label: offsets}; None for one that was not run, its row says so.
    """
    figure, axes = plt.subplots(
        len(networks), len(COORDINATES), figsize=(13, 3.1 * len(networks) + 1.2), squeeze=False,
        sharex="col", sharey="col", constrained_layout=True,
    )  # fmt: skip
    known = [offsets for offsets in networks.values() if offsets is not None]
    bins = [shared_bins(known, i) for i in range(len(COORDINATES))]
    for row, (label, offsets) in enumerate(networks.items()):
        draw_network(axes[row], offsets, bins)
        axes[row, 0].set_ylabel(f"({'abcdefgh'[row]}) {label}\ndensity")
    for axis, name in zip(axes[0], COORDINATES, strict=True):
        axis.set_title(f"offset of {name}", fontsize=11)
    lines = {}
    for axis in axes.flat:
        for line, name in zip(*axis.get_legend_handles_labels(), strict=True):
            lines[name] = line
    figure.legend(lines.values(), lines.keys(), loc="outside lower center", ncols=2)
    figure.suptitle(title)
    save_picture(figure, path)


def offsets_grid(results: Results) -> Grid:
    """One line a network and offset, then how much further apart the other's offsets are."""
    lines: list[list[Item]] = []
    for index, row in enumerate(results.rows):
        count = results.cell(index, "n")
        for name in COORDINATES:
            cells = [results.cell(index, quantity, name) for quantity in QUANTITIES]
            text = "-" if count.mean is None else f"{count.mean:.0f}"
            number = Shown(text=text, cell=count, missing=count.absent)
            lines.append([row.name, name, number, *map(level, cells)])
    for one in results.steps():
        for name in COORDINATES:
            distances = [results.comparison(one.better, one.base, quantity, name)
                         for quantity in ("ks", "wasserstein")]  # fmt: skip
            lines.append([one.name, name, "", "", "", *map(step, distances)])
    return Grid(header=["network", "offset", "n", *QUANTITIES.values()], lines=lines)


def csv_lines(results: Results) -> list[list[Any]]:
    """One line a network, offset and quantity."""
    lines: list[list[Any]] = [["row", "offset", "column", "value", "spread", "seeds"]]
    for index, row in enumerate(results.rows):
        for part, column in [(None, "n"), *itertools.product(COORDINATES, QUANTITIES)]:
            numbers = csv_numbers(results.cell(index, column, part))
            lines.append([row.label, part, column, *numbers])
    return lines


def sections(results: Results, scale: str) -> list[str]:
    """The markdown of the figure; the picture is there if seed 0 of any network was measured."""
    parts = [NOTE, str(offsets_grid(results))]
    first = [seed for seed in results.seeds if seed["seed"] == 0]
    if any(line["metrics"] for seed in first for line in seed["rows"]):
        parts.append(f"![densities of the four offsets]({scale}.png)\n\n{CAPTION}")
    return parts


def figure3_report(results: Results, committed: Results, scale: str) -> Report:
    """The report in all its forms; how far apart good and bad proposals are is what is printed."""
    columns = [Column(heading=f"KS {name}", name="ks", part=name) for name in COORDINATES]
    note = "Kolmogorov-Smirnov distance of proposals with high and low objectness"
    summary = Summary(steps=columns, rows=columns[::2], note=note)  # rows: of a position, a size
    return Report(
        markdown=report_page(results, scale, sections(results, scale)),
        summary=summary_text(results, committed, scale, summary),
        seeds=results.seeds,
        csv_lines=csv_lines(results),
    )


def write_figure3(results: Results, place: ReportPlace, offsets: dict[str, Offsets | None]) -> str:
    """Writes the report and its picture.

    Args:
        offsets: of seed 0, by the label of the row; None for a network that was not run.

    Returns:
        What is to be printed.
    """
    committed = Results(results.table, place.committed_seeds())
    report = figure3_report(results, committed, place.scale)
    drawn = [pair is not None for pair in offsets.values()]
    if all(drawn) or (any(drawn) and not place.publish):
        title = "Offset of proposals from their objects by objectness, seed 0"
        path = place.folder / f"{place.scale}.png"
        draw(offsets, path, f"{title}\n{scale_title(place.scale)}")
    return write_report(report, place.folder, place.scale)
