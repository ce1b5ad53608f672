"""KL Loss Figure 6: the change of each AP with the vote temperature sigma_t, drawn and in words."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from matplotlib import pyplot as plt
from matplotlib.axes import Axes

from experiments.records import Table
from experiments.scales import scale_title
from scripts.engine.places import find_table
from scripts.reports.files import ReportPlace, evaluated_seeds
from scripts.reports.pictures import save_picture
from scripts.reports.results import Cell, Results

# what is scored against, in the order of the panels
PARTS = {"clean": "clean boxes", None: "labels, as in COCO"}
MARKERS = "osD^vP*"

Curve = Sequence[Cell]  # the change of one AP at each sigma_t


def check_sweep(name: str, table: Table) -> None:
    """Raises if the table is no sweep of sigma_t.

    Raises:
        ValueError: its rows differ in something else, or the first one votes.
    """
    others = {repr((row.run.name, replace(row.postprocess, sigma_t=0.0))) for row in table.rows}
    scored = table.metric in ("coco", "voc")
    if not scored or len(others) > 1 or table.rows[0].postprocess.sigma_t > 0:
        raise ValueError(
            f"{name} is no sweep of sigma_t: its rows must differ in nothing else, the first has "
            "none; draw kl_loss/figure6."
        )


def curves(results: Results, part: str | None) -> dict[str, Curve]:
    """{AP: its change against sigma_t = 0 at each row}, differenced within each seed."""
    rows = range(len(results.rows))
    return {
        column: [results.comparison(row, 0, column, part) for row in rows]
        for column in results.table.columns
    }


def highest(name: str, curve: Curve, ticks: Sequence[str]) -> str:
    """One sentence: where a curve has its maximum, the first one of equals, and by how much."""
    known = {i: cell.mean for i, cell in enumerate(curve) if cell.mean is not None}
    if len(known) < 2:
        return f"{name}: not run."
    best = max(known, key=known.__getitem__)
    if best > 0:
        end = " (the end of the sweep)" if best == len(curve) - 1 else ""
        change = f"{known[best]:+.2f}{spread(curve[best])}"
        return f"{name}: largest at sigma_t = {ticks[best]}{end}, {change} over no voting."
    second = max(list(known)[1:], key=known.__getitem__)
    change = f"{known[second]:+.2f}{spread(curve[second])}"
    return f"{name}: largest without voting; the best vote, sigma_t = {ticks[second]}, is {change}."


def spread(cell: Cell) -> str:
    return "" if cell.spread is None else f" ± {cell.spread:.2f}"


def draw_panel(axis: Axes, panel: dict[str, Curve]) -> None:
    """The curves of all APs at equal steps; a bar is the sample standard deviation over seeds."""
    cells = [cell for curve in panel.values() for cell in curve]
    several = any(cell.spread is not None for cell in cells)
    for index, (name, curve) in enumerate(panel.items()):
        # bars of several curves at one step stand side by side
        shift = 0.04 * (index - (len(panel) - 1) / 2) if several else 0.0
        draw_curve(axis, name, curve, index, shift, bars=several)
    if all(cell.mean is None for cell in cells):
        axis.text(0.5, 0.5, "not run", transform=axis.transAxes, ha="center", va="center")
    axis.axhline(0.0, color="0.4", linewidth=0.8)
    axis.grid(alpha=0.3)


def draw_curve(
    axis: Axes, name: str, curve: Curve, index: int, shift: float, *, bars: bool
) -> None:
    """One AP; a row that was not run is a gap."""
    heights = [float("nan") if cell.mean is None else cell.mean for cell in curve]
    axis.errorbar(
        [place + shift for place in range(len(curve))], heights, capsize=3, elinewidth=1,
        yerr=[cell.spread or 0.0 for cell in curve] if bars else None,
        label=name, color=f"C{index}", marker=MARKERS[index % len(MARKERS)], linewidth=1.6,
    )  # fmt: skip


def draw(
    results: Results, parts: Sequence[str | None], ticks: Sequence[str], path: Path, title: str
) -> None:
    """One panel for each of ``parts``, with one scale of changes."""
    figure, axes = plt.subplots(
        1, len(parts), figsize=(6.2 * len(parts) + 0.8, 5.2), squeeze=False, sharey=True,
        constrained_layout=True,
    )  # fmt: skip
    names = [tick + ("\n(ours)" if row.added else "")
             for tick, row in zip(ticks, results.rows, strict=True)]  # fmt: skip
    for axis, part in zip(axes[0], parts, strict=True):
        draw_panel(axis, curves(results, part))
        axis.set_title(f"scored against the {PARTS[part]}", fontsize=11)
        axis.set_xticks(range(len(names)), names)
        axis.set_xlabel("$\\sigma_t$ (steps not to scale, as in the paper)")
    axes[0, 0].set_ylabel("change of AP against no voting (points of 100)")
    handles = axes[0, 0].get_legend_handles_labels()
    figure.legend(*handles, loc="outside lower center", ncols=len(results.table.columns))
    figure.suptitle(title)
    save_picture(figure, path)


def sentences(results: Results, parts: Sequence[str | None], ticks: Sequence[str]) -> list[str]:
    """What the curves say, one line each, and which rows are missing."""
    lines = []
    for part in parts:
        lines.append(f"against the {PARTS[part]}:")
        for name, curve in curves(results, part).items():
            lines.append(f"  {highest(name, curve, ticks)}")
    first = results.table.columns[0]
    missing = [row.label for i, row in enumerate(results.rows)
               if results.cell(i, first).mean is None]  # fmt: skip
    return [*lines, *[f"not run: {label}" for label in missing]]


def seeds_text(results: Results) -> str:
    """How many seeds stand behind the picture."""
    first = results.table.columns[0]
    counts = [results.cell(i, first).seeds for i in range(len(results.rows))]
    least, most = min(filter(None, counts), default=0), max(counts)
    if most < 2:
        return "1 seed" if most else "not run"
    several = f"{most}" if least == most else f"{least} to {most}"
    return f"mean of {several} seeds, bars: standard deviation"


def write_figure6(place: ReportPlace) -> str:
    """Draws the picture of a table; returns what its curves say and where the picture is.

    Raises:
        ValueError: the table is no sweep of sigma_t, or nothing of it was evaluated.
    """
    table = find_table(place.table)
    check_sweep(place.table, table)
    results = Results(table, place.with_committed(evaluated_seeds(place)))
    parts: list[str | None] = [part for part in PARTS if part is None or results.has(part)]
    ticks = [f"{row.postprocess.sigma_t:g}" for row in results.rows]
    path = place.folder / f"{place.scale}.png"
    title = f"{table.title}\n{scale_title(place.scale)}; {seeds_text(results)}"
    draw(results, parts, ticks, path, title)
    return "\n".join([*sentences(results, parts, ticks), f"picture: {path}"])
