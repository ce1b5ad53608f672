"""Plots of the page: small, one idea each, as SVG in a data URI."""

import base64
import io
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator
from PIL import Image

from scripts.reports.page.views import PictureView
from scripts.reports.results import Cell

matplotlib.use("Agg")
WIDTH, INSIDE = 4.5, 2.6  # inches; a phone shows the text at about its own size
NAME = 26  # letters of a line of a name at the left of a plot
LINE = 0.19  # inches of a line of a legend
SIDE_BY_SIDE = 28  # letters of the longest name up to which a legend has two columns
JPEG_QUALITY = 75  # of 100
MARKED = 12  # points up to which each has a marker
STYLE: dict[Any, Any] = {
    "font.size": 9, "legend.fontsize": 8, "legend.frameon": False, "svg.hashsalt": "report",
    "svg.fonttype": "none",  # the reader's own font: a third of the size
}  # fmt: skip
MARKERS = "osD^vP*X<>"
COLORS = (  # Okabe and Ito: told apart by those who do not see all colors
    "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#7F7F7F",
)  # fmt: skip

Curve = Mapping[float, Cell]  # by x


@dataclass(frozen=True, kw_only=True)
class Labels:
    """The words of a plot. title: also what a screen reader says."""

    title: str
    x: str = ""
    y: str = ""


def new_plot(
    labels: Labels, *, inside: float, left: float = 0.62, below: float = 0.0
) -> tuple[Figure, Axes]:
    """An empty plot with its words.

    Its place is computed here, because matplotlib's own layouts draw everything twice.

    Args:
        labels: the words.
        inside: the height of the axes, in inches.
        left: what the names at its left need.
        below: what a legend at the bottom needs.
    """
    top, bottom = 0.32, below + (0.48 if labels.x else 0.3)
    height = inside + top + bottom
    figure = plt.figure(figsize=(WIDTH, height))
    box = (left / WIDTH, bottom / height, 1 - (left + 0.12) / WIDTH, inside / height)
    axis = figure.add_axes(box)
    figure.suptitle(labels.title, fontsize=9.5, y=1 - 0.06 / height)
    axis.set_xlabel(labels.x)
    axis.set_ylabel(labels.y)
    axis.grid(alpha=0.3)
    return figure, axis


def finished(figure: Figure, labels: Labels, caption: str) -> PictureView:
    """The picture of a plot, which is closed."""
    file = io.BytesIO()
    figure.savefig(file, format="svg", metadata={"Date": None})
    plt.close(figure)
    return PictureView(
        uri=data_uri(file.getvalue(), "svg+xml"), alt=f"Plot: {labels.title}.", caption=caption
    )


def data_uri(content: bytes, kind: str) -> str:
    """A picture as an address that contains it."""
    return f"data:image/{kind};base64,{base64.b64encode(content).decode()}"


def png(path: Path, alt: str, caption: str) -> PictureView | None:
    """A picture that was drawn when the results were measured; None if it is not there."""
    if not path.is_file():
        return None
    uri = data_uri(path.read_bytes(), "png")
    return PictureView(uri=uri, alt=alt, caption=caption, wide=True)


def jpeg(picture: Image.Image, alt: str, caption: str) -> PictureView:
    """A picture in memory, small enough for a page with a hundred of them."""
    file = io.BytesIO()
    picture.save(file, format="JPEG", quality=JPEG_QUALITY, optimize=True)
    return PictureView(uri=data_uri(file.getvalue(), "jpeg"), alt=alt, caption=caption)


def line_plot(
    curves: Mapping[str, Curve], labels: Labels, caption: str, order: Sequence[str] = ()
) -> PictureView:
    """One line a name; a band is the sample standard deviation over seeds.

    Args:
        curves: the lines by their names.
        labels: the words.
        caption: what is seen.
        order: the names of all plots that share colors; (): these alone.
    """
    with matplotlib.rc_context(STYLE):
        columns = 1 if longest(curves) > SIDE_BY_SIDE else 2
        below = LINE * -(-len(curves) // columns) + 0.08
        figure, axis = new_plot(labels, inside=INSIDE, below=below)
        for index, (name, curve) in enumerate(curves.items()):
            draw_line(axis, name, curve, index if not order else order.index(name))
        axis.axhline(0.0, color="0.4", linewidth=0.8)
        figure.legend(loc="lower center", ncols=columns)
        return finished(figure, labels, caption)


def names_width(names: Mapping[str, object]) -> float:
    """What names at the left of a plot need, in inches."""
    return 0.25 + 0.062 * min(longest(names), NAME)


def wrapped(names: Mapping[str, object]) -> list[str]:
    """Names at the left of a plot, long ones in two lines."""
    return [textwrap.fill(name, NAME, break_on_hyphens=False) for name in names]


def draw_line(axis: Axes, name: str, curve: Curve, index: int) -> None:
    """One curve with its band."""
    known = {x: cell for x, cell in curve.items() if cell.mean is not None}
    x, y = list(known), [cell.mean or 0.0 for cell in known.values()]
    color = COLORS[index % len(COLORS)]
    marker = MARKERS[index % len(MARKERS)] if len(known) <= MARKED else ""
    style = "-" if index < len(COLORS) else "--"
    axis.plot(x, y, label=name, color=color, marker=marker, markersize=4, linewidth=1.3,
              linestyle=style)  # fmt: skip
    spreads = [cell.spread or 0.0 for cell in known.values()]
    if any(spreads):
        low = [a - b for a, b in zip(y, spreads, strict=True)]
        high = [a + b for a, b in zip(y, spreads, strict=True)]
        axis.fill_between(x, low, high, color=color, alpha=0.15, linewidth=0)


def longest(names: Mapping[str, object]) -> int:
    """The length of the longest name."""
    return max(map(len, names), default=0)


def dot_plot(
    rows: Mapping[str, Sequence[Cell]],
    series: Sequence[str],
    targets: Sequence[float | None],
    labels: Labels,
    caption: str,
) -> PictureView:
    """One line a row with one dot a series; a dashed line is what a series should be.

    Args:
        rows: {name: one number a series}.
        series: their names.
        targets: where each should lie, None where there is no such value.
        labels: the words.
        caption: what is seen.
    """
    with matplotlib.rc_context(STYLE):
        figure, axis = new_plot(
            labels, inside=0.25 + 0.28 * len(rows), left=names_width(rows), below=LINE + 0.08
        )
        for i, name in enumerate(series):
            target = targets[i]
            if target is not None:
                axis.axvline(target, color=COLORS[i], linestyle="--", linewidth=1)
            known = {y: cells[i] for y, cells in enumerate(rows.values())
                     if cells[i].mean is not None}  # fmt: skip
            axis.errorbar(
                [cell.mean or 0.0 for cell in known.values()], list(known),
                xerr=[cell.spread or 0.0 for cell in known.values()], label=name, color=COLORS[i],
                marker=MARKERS[i], markersize=5, linestyle="none", capsize=2,
            )  # fmt: skip
        axis.set_yticks(range(len(rows)), wrapped(rows), fontsize=8)
        axis.set_ylim(len(rows) - 0.5, -0.5)
        figure.legend(loc="lower center", ncols=len(series))
        return finished(figure, labels, caption)


def bar_plot(
    rows: Mapping[str, Sequence[Cell]],
    totals: Sequence[Cell | str],
    series: Sequence[str],
    labels: Labels,
    caption: str,
) -> PictureView:
    """One bar a row, its parts one after the other, with a number at its end.

    Args:
        rows: {name: one part a series}.
        totals: the number at the end of each bar, or its text.
        series: the names of the parts.
        labels: the words.
        caption: what is seen.
    """
    with matplotlib.rc_context(STYLE):
        figure, axis = new_plot(
            labels, inside=0.2 + 0.32 * len(rows), left=names_width(rows),
            below=LINE + 0.08 if len(series) > 1 else 0.0,
        )  # fmt: skip
        names = list(rows)
        starts = [0.0] * len(names)
        for i, part in enumerate(series):
            widths = [rows[name][i].mean or 0.0 for name in names]
            axis.barh(
                range(len(names)), widths, left=starts, color=COLORS[i], label=part, height=0.65
            )
            starts = [start + width for start, width in zip(starts, widths, strict=True)]
        for y, total in enumerate(totals):
            text = total.absent if isinstance(total, Cell) and total.mean is None else str(total)
            axis.text(starts[y], y, f" {text}", va="center", fontsize=8)
        axis.set_xlim(0.0, 1.35 * max([*starts, 1e-9]))
        axis.set_yticks(range(len(names)), wrapped(rows), fontsize=8)
        axis.invert_yaxis()
        axis.grid(visible=False, axis="y")
        if len(series) > 1:
            figure.legend(loc="lower center", ncols=len(series))
        return finished(figure, labels, caption)


def histogram(
    edges: Sequence[float],
    counts: Sequence[float],
    labels: Labels,
    caption: str,
    marks: Sequence[float] = (),
) -> PictureView:
    """One bar a bin.

    Args:
        edges: of the bins, one more than there are bins; positive ones that grow by a factor are
            drawn on a logarithmic axis, others on one with whole numbers.
        counts: of each bin.
        labels: the words.
        caption: what is seen.
        marks: values at which a dashed line is drawn.
    """
    with matplotlib.rc_context(STYLE):
        figure, axis = new_plot(labels, inside=INSIDE * 0.75)
        axis.stairs(counts, edges, fill=True, color=COLORS[0])
        for mark in marks:
            axis.axvline(mark, color=COLORS[1], linestyle="--", linewidth=1)
        if edges[0] > 0 and edges[-1] - edges[-2] > 1.01 * (edges[1] - edges[0]):
            axis.set_xscale("log", base=2)
            axis.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        else:
            axis.xaxis.set_major_locator(MaxNLocator(integer=True))
        axis.set_ylim(bottom=0)
        return finished(figure, labels, caption)
