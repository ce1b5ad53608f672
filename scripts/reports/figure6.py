"""KL Loss Figure 6: the change of each AP with the vote temperature sigma_t, drawn and in words."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
from matplotlib import pyplot as plt
from matplotlib.axes import Axes

from experiments.scales import TITLES
from scripts.engine.places import find_table
from scripts.reports.results import Cell, Results, stored_seeds

PARTS = {"clean": "clean boxes", None: "labels, as in COCO"}  # what is scored against, in the order of the panels
MARKERS = "osD^vP*"

Curve = Sequence[Cell]  # the change of one AP at each sigma_t


def stored_results(name: str, scale: str, out: Path) -> Results:
    """The seeds of a table that are on disk, maybe none. Raises: ValueError if its rows are no sweep of sigma_t."""
    table = find_table(name)
    others = {repr((row.run.name, replace(row.postprocess, sigma_t=0.0))) for row in table.rows}
    if table.metric not in ("coco", "voc") or len(others) > 1 or table.rows[0].postprocess.sigma_t > 0:
        raise ValueError(f"{name} is no sweep of sigma_t: its rows must differ in nothing else, the first has none; "
                         "draw kl_loss/figure6.")
    return Results(table, stored_seeds(out / scale / name))


def curves(results: Results, part: str | None) -> dict[str, Curve]:
    """{AP: its change against sigma_t = 0 at each row}, differenced within each seed."""
    return {column: [results.comparison(row, 0, column, part) for row in range(len(results.rows))]
            for column in results.table.columns}


def highest(name: str, curve: Curve, ticks: Sequence[str]) -> str:
    """One sentence: where a curve has its maximum, the first one of equals, and by how much."""
    known = {i: cell.mean for i, cell in enumerate(curve) if cell.mean is not None}
    if len(known) < 2:
        return f"{name}: not run."
    best = max(known, key=known.__getitem__)
    if best > 0:
        end = " (the end of the sweep)" if best == len(curve) - 1 else ""
        return (f"{name}: largest at sigma_t = {ticks[best]}{end}, {known[best]:+.2f}{spread(curve[best])} "
                "over no voting.")
    second = max(list(known)[1:], key=known.__getitem__)
    return (f"{name}: largest without voting; the best vote, sigma_t = {ticks[second]}, is {known[second]:+.2f}"
            f"{spread(curve[second])}.")


def spread(cell: Cell) -> str:
    return "" if cell.spread is None else f" ± {cell.spread:.2f}"


def draw_panel(axis: Axes, found: dict[str, Curve]) -> None:
    """The curves of all APs at equal steps; a bar is the sample standard deviation over seeds."""
    several = any(cell.spread is not None for curve in found.values() for cell in curve)
    for index, (name, curve) in enumerate(found.items()):
        aside = 0.04 * (index - (len(found) - 1) / 2) if several else 0.0  # so that bars do not hide each other
        heights = [float("nan") if cell.mean is None else cell.mean for cell in curve]
        axis.errorbar([place + aside for place in range(len(curve))], heights, capsize=3, elinewidth=1,
                      yerr=[cell.spread or 0.0 for cell in curve] if several else None,
                      label=name, color=f"C{index}", marker=MARKERS[index % len(MARKERS)], linewidth=1.6)
    if all(cell.mean is None for curve in found.values() for cell in curve):
        axis.text(0.5, 0.5, "not run", transform=axis.transAxes, ha="center", va="center")
    axis.axhline(0.0, color="0.4", linewidth=0.8)
    axis.grid(alpha=0.3)


def draw(results: Results, parts: Sequence[str | None], ticks: Sequence[str], path: Path, title: str) -> None:
    """One panel for each of ``parts``, with one scale of changes."""
    figure, axes = plt.subplots(1, len(parts), figsize=(6.2 * len(parts) + 0.8, 5.2), squeeze=False, sharey=True,
                                constrained_layout=True)
    names = [tick + ("\n(ours)" if row.added else "") for tick, row in zip(ticks, results.rows, strict=True)]
    for axis, part in zip(axes[0], parts, strict=True):
        draw_panel(axis, curves(results, part))
        axis.set_title(f"scored against the {PARTS[part]}", fontsize=11)
        axis.set_xticks(range(len(names)), names)
        axis.set_xlabel("$\\sigma_t$ (steps not to scale, as in the paper)")
    axes[0, 0].set_ylabel("change of AP against no voting (points of 100)")
    figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside lower center",
                  ncols=len(results.table.columns))
    figure.suptitle(title)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=90)
    plt.close(figure)


def sentences(results: Results, parts: Sequence[str | None], ticks: Sequence[str]) -> list[str]:
    """What the curves say, one line each, and which rows are missing."""
    lines = []
    for part in parts:
        lines += [f"against the {PARTS[part]}:",
                  *[f"  {highest(name, curve, ticks)}" for name, curve in curves(results, part).items()]]
    missing = [row.label for i, row in enumerate(results.rows)
               if results.cell(i, results.table.columns[0]).mean is None]
    return [*lines, *[f"not run: {label}" for label in missing]]


def write_figure6(name: str, scale: str, out: Path, folder: Path) -> str:
    """Draws the picture of a table into ``folder`` and returns what its curves say."""
    results = stored_results(name, scale, out)
    parts: list[str | None] = [part for part in PARTS if part is None or results.has(part)]
    ticks = [f"{row.postprocess.sigma_t:g}" for row in results.rows]
    path = folder / f"{scale}.png"
    count = max(sum(value is not None for value in results.values(i, results.table.columns[0]))
                for i in range(len(results.rows)))
    seeds = "not run" if count == 0 else "1 seed" if count == 1 else f"mean of {count} seeds, bars: standard deviation"
    draw(results, parts, ticks, path, f"{results.table.title}\n{TITLES[scale]}; {seeds}")
    return "\n".join([*sentences(results, parts, ticks), f"picture: {path}"])
