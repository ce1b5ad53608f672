"""The scaling curves of a benchmark as one picture."""

from collections.abc import Sequence
from pathlib import Path
from textwrap import fill

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter

from scripts.engine.speed.work import Measured

COLUMNS = 3
TITLE = 50  # letters in a line of a title
PANEL = (4.2, 3.2)  # width and height of one curve, inches


def draw_curves(sweeps: Sequence[Sequence[Measured]], path: Path) -> None:
    """Draws the time of a call over the size of the work, ours and the peer's, with quartiles.

    Args:
        sweeps: one work in several sizes each.
        path: of the PNG file.
    """
    rows = -(-len(sweeps) // COLUMNS)
    figure = Figure(figsize=(PANEL[0] * COLUMNS, PANEL[1] * rows), layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(rows, COLUMNS, squeeze=False).flat
    for sweep, panel in zip(sweeps, panels, strict=False):
        draw_curve(panel, sweep)
    for panel in panels:  # those that are left over
        panel.set_axis_off()
    figure.savefig(path, dpi=110)


def draw_curve(panel: Axes, sweep: Sequence[Measured]) -> None:
    """One curve on logarithmic axes."""
    sizes = [one.size for one in sweep]
    sides = [("ours", [one.ours for one in sweep])]
    peers = [one.peer for one in sweep if one.peer is not None]
    if len(peers) == len(sweep):
        sides.append((sweep[0].peer_name, peers))
    for label, times in sides:
        panel.plot(sizes, [each.median for each in times], marker="o", markersize=3, label=label)
        panel.fill_between(
            sizes, [each.q1 for each in times], [each.q3 for each in times], alpha=0.2
        )
    panel.set(xscale="log", yscale="log", xlabel=sweep[0].grows, ylabel="ms a call")
    panel.set_title(fill(sweep[0].name, TITLE), fontsize=9)
    panel.set_xticks(sizes, [f"{size:,}" for size in sizes], fontsize=7)
    panel.set_xticks([], minor=True)
    panel.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    panel.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    panel.yaxis.set_minor_formatter(NullFormatter())
    low, high = panel.get_ylim()
    panel.set_ylim(low, high * (high / low) ** 0.35)  # room for the legend
    panel.grid(visible=True, which="major", alpha=0.3)
    panel.legend(fontsize=7, loc="upper left")
