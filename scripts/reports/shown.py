"""Numbers as a report shows them, and tables of them, which print as Markdown and as HTML."""

from collections.abc import Sequence
from dataclasses import dataclass

from scripts.reports.results import Cell, markdown_table, signed


@dataclass(frozen=True, kw_only=True)
class Shown:
    """One number and its text.

    Args:
        text: as Markdown prints it.
        cell: the number itself, and where it is from.
        missing: what a page says instead where there is no number.
    """

    text: str
    cell: Cell
    missing: str = ""

    def __str__(self) -> str:
        return self.text


Item = str | Shown | tuple[Shown, ...]  # several numbers of one cell: paper / ours


@dataclass(frozen=True, kw_only=True)
class Grid:
    """A table: headings, and lines of as many items.

    A line whose first item is "" belongs to the row of the line before.
    """

    header: Sequence[str]
    lines: Sequence[Sequence[Item]]

    def __str__(self) -> str:
        """As Markdown."""
        texts = [[item_text(item) for item in line] for line in self.lines]
        return markdown_table(self.header, texts)


def item_text(item: Item) -> str:
    """An item as Markdown prints it."""
    return " / ".join(map(str, item)) if isinstance(item, tuple) else str(item)


def level(cell: Cell, absent: str = "not run") -> Shown:
    """A number over seeds; ``absent`` is its text where no seed has it."""
    return Shown(text=absent if cell.mean is None else str(cell), cell=cell, missing=cell.absent)


def step(cell: Cell) -> Shown:
    """A difference over seeds, with its sign."""
    return Shown(text=signed(cell), cell=cell, missing=cell.absent)


def printed(cell: Cell) -> Shown:
    """A number as the paper prints it."""
    text = "-" if cell.mean is None else f"{cell.mean:g}"
    return Shown(text=text, cell=cell, missing=cell.absent)


def no_number(why: str) -> Shown:
    """Where there is no number to show."""
    return Shown(text="-", cell=Cell(mean=None, spread=None, absent=why), missing=why)


def beside_paper(ours: Cell, paper: Cell) -> Shown:
    """Ours minus the paper's, in ours' digits."""
    if ours.mean is None or paper.mean is None:
        return no_number(ours.absent if ours.mean is None else paper.absent)
    gap = Cell(
        mean=ours.mean - paper.mean,
        spread=ours.spread,
        seeds=ours.seeds,
        origin=f"({ours.origin}) - ({paper.origin})",
    )
    return Shown(text=f"{gap.mean:+.{ours.decimals}f}", cell=gap)
