"""The page: all sections in order, and the HTML that a template makes of them."""

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from scripts.reports.page.figures import figures_section
from scripts.reports.page.latency import latency_section
from scripts.reports.page.learning import learning_section
from scripts.reports.page.length import length_section
from scripts.reports.page.overlap import overlap_section
from scripts.reports.page.ran import ran_section
from scripts.reports.page.rendered import rendered, write_html
from scripts.reports.page.sigma import sigma_section
from scripts.reports.page.sources import (
    Sources,
    committed_files,
    read_sources,
    reported_files,
)
from scripts.reports.page.tables import paper_sections
from scripts.reports.page.verdicts import headline, verdict_counts, verdicts_section
from scripts.reports.page.views import Section, Sentence, plain
from scripts.reports.page.words import WORDS

Build = Callable[[Sources], Sequence[Section]]


@dataclass(frozen=True, kw_only=True)
class Page:
    """Everything that the template is given."""

    start: Sequence[Sentence]
    verdicts: Section
    sections: Sequence[Section]
    words: Sequence[tuple[str, str]]
    damaged: Sequence[str]


def one(build: Callable[[Sources], Section]) -> Build:
    """A section as a list of one."""
    return lambda sources: [build(sources)]


BUILDS: dict[str, Build] = {
    "Tables": paper_sections,
    "Figures 3, 5 and 6": one(figures_section),
    "AP over the IoU threshold": one(overlap_section),
    "Is sigma right?": one(sigma_section),
    "Latency": one(latency_section),
    "Length of training": one(length_section),
    "Learning curves": one(learning_section),
    "What ran": one(ran_section),
}


def page_of(sources: Sources) -> Page:
    """The page of some results; a section that cannot be made says why, and the others stay."""
    verdicts = guarded("The claims, one by one", one(verdicts_section), sources)[0]
    sections = [
        section for title, build in BUILDS.items() for section in guarded(title, build, sources)
    ]
    return Page(
        start=start(sources, verdicts),
        verdicts=verdicts,
        sections=sections,
        words=WORDS,
        damaged=sources.damaged,
    )


def guarded(title: str, build: Build, sources: Sources) -> Sequence[Section]:
    """The sections of one builder, or one that says why they cannot be shown."""
    try:
        return build(sources)
    except ValueError as error:
        link = re.sub(r"\W+", "-", title.lower())
        return [Section(anchor=link, title=title, text=plain(f"This cannot be shown: {error}"))]


def start(sources: Sources, verdicts: Section) -> list[Sentence]:
    """Three sentences: what this is, and what came out."""
    return [
        [
            "This page puts the numbers of two papers on object detectors that say how sure they "
            "are of each side of a box, KL Loss (He et al., CVPR 2019) and KL-RPN (Seo et al., "
            "ICIP 2020), beside what our own implementation of both measured."
        ],
        [f"{verdict_counts(verdicts)}, judged by networks that are smaller than the "
         "papers' and trained on other data: what can be compared is the sign and the rough size "
         "of a difference."],
        headline(sources),
    ]  # fmt: skip


def html(page: Page) -> str:
    """The page as one HTML file."""
    return rendered("page.html", page)


def write_page(path: Path, results: Path | None = None) -> str:
    """Writes the page.

    Args:
        path: the HTML file.
        results: a folder of runs whose reports take the place of committed ones of the same table
            and scale; None: the committed ones alone.

    Returns:
        What is to be printed.

    Raises:
        ValueError: the folder holds no reports, or the page is too large.
    """
    files: Iterable[Path] = committed_files()
    if results is not None:
        files = [*files, *reported_files(results)]
    sources = read_sources(files)
    size = write_html(path, html(page_of(sources)))
    lines = [f"not shown: {sentence}" for sentence in sources.damaged]
    return "\n".join([*lines, f"{len(sources.tables)} results, {size:.1f} MB -> {path}"])
