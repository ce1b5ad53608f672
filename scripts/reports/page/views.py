"""What the page is made of: sections of parts, each with sentences, tables and pictures."""

from collections.abc import Sequence
from dataclasses import dataclass

from scripts.reports.shown import Grid, Shown

Sentence = Sequence[str | Shown]  # a paragraph; numbers in it know where they are from


@dataclass(frozen=True, kw_only=True)
class TableView:
    """A table of the page.

    caption: what it shows. note: what its columns mean. closed: whether it is folded until a reader
    opens it; print shows it.
    """

    caption: str
    grid: Grid
    note: str = ""
    closed: bool = False


@dataclass(frozen=True, kw_only=True)
class PictureView:
    """A picture of the page.

    uri: the picture itself, as a data URI. alt: for those who do not see it. caption: what it
    shows. wide: it has many panels, so a phone scrolls it instead of shrinking it.
    """

    uri: str
    alt: str
    caption: str
    wide: bool = False


@dataclass(frozen=True, kw_only=True)
class Part:
    """A titled part of a section.

    anchor: its link. facts: (term, description), what ran or what a word means. source: the file
    that its numbers are from. verdict, reason: of a claim, "" elsewhere. listed: what the table of
    contents calls it; "": it does not.
    """

    anchor: str
    title: str
    text: Sequence[Sentence] = ()
    tables: Sequence[TableView] = ()
    pictures: Sequence[PictureView] = ()
    facts: Sequence[tuple[str, str]] = ()
    source: str = ""
    verdict: str = ""
    reason: str = ""
    listed: str = ""


@dataclass(frozen=True, kw_only=True)
class Section:
    """A section of the page, as the table of contents lists it."""

    anchor: str
    title: str
    text: Sequence[Sentence] = ()
    tables: Sequence[TableView] = ()
    parts: Sequence[Part] = ()


def plain(*sentences: str) -> list[Sentence]:
    """Paragraphs without numbers."""
    return [[sentence] for sentence in sentences]


def anchor(*names: str) -> str:
    """A link from names: "kl_loss/table1", "mini" is "kl_loss-table1-mini"."""
    text = "-".join(names).lower()
    return "".join(letter if letter.isalnum() or letter in "-_" else "-" for letter in text)
