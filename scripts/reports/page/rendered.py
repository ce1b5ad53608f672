"""From what a page holds to one HTML file that needs no script, no network and no other file."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import jinja2
from markupsafe import Markup, escape

from scripts.engine.files import write_atomically
from scripts.reports.page.views import Section, Sentence
from scripts.reports.shown import Grid, Item, Shown

MEGABYTES = 10  # a page of more is not what anybody opens on a phone
MARKS = ((r"`([^`]+)`", r"<code>\1</code>"), (r"\*\*([^*]+)\*\*", r"<strong>\1</strong>"))


@dataclass(frozen=True, kw_only=True)
class SectionsPage:
    """A page of sections alone, for the template sections.html.

    start: what it is about. warned: what the warnings have in common.
    """

    title: str
    start: Sequence[Sentence]
    sections: Sequence[Section]
    warnings: Sequence[str] = ()
    warned: str = "Something is missing below."


def prose(text: str) -> Markup:
    """Plain text with `code` and **strong** words as HTML."""
    html = str(escape(text))
    for pattern, replacement in MARKS:
        html = re.sub(pattern, replacement, html)
    return Markup(html)


def numbers(item: Item) -> tuple[Shown, ...]:
    """The numbers of a cell; of a cell of words none."""
    if isinstance(item, tuple):
        return item
    return (item,) if isinstance(item, Shown) else ()


def groups(grid: Grid) -> list[list[Sequence[Item]]]:
    """The lines of a table by rows: a line whose first item is "" belongs to the one before."""
    rows: list[list[Sequence[Item]]] = []
    for line in grid.lines:
        if line[0] == "" and rows:
            rows[-1].append(line)
        else:
            rows.append([line])
    return rows


def rendered(template: str, page: object) -> str:
    """The HTML of a page, which the template calls ``page``."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"prose": prose, "numbers": numbers, "groups": groups}
    return environment.get_template(template).render(page=page)


def write_html(path: Path, text: str) -> float:
    """Writes a page; returns its size in MB.

    Raises:
        ValueError: it is too large.
    """
    size = len(text.encode("utf-8", "surrogateescape")) / 1e6
    if size > MEGABYTES:
        raise ValueError(f"The page would have {size:.1f} MB; its pictures are too large.")
    write_atomically(path, text)
    return size
