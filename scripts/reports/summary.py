"""What is printed of a report: each step's gain, then paper, committed and new numbers of the rows.

A screen holds it; the full report is in a file.
"""

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass, replace

from experiments.scales import scale_title
from scripts.reports.provenance import line_name, row_lines, unfinished_networks
from scripts.reports.results import Cell, Results, Step, counted, markdown_table, signed
from scripts.reports.shown import Shown, no_number

SCREEN = 120  # columns


@dataclass(frozen=True, kw_only=True)
class Column:
    """One number of the summary: its heading, its name in the results, and the part it is from."""

    heading: str
    name: str
    part: str | None = None


@dataclass(frozen=True, kw_only=True)
class Summary:
    """What a report chooses to print.

    Args:
        steps: the columns in which the table's comparisons are shown.
        rows: the columns in which its rows are shown; none: the rows are in the report alone.
        note: a sentence below the title, "" for none.
    """

    steps: Sequence[Column]
    rows: Sequence[Column]
    note: str = ""


def summary_text(results: Results, committed: Results, scale: str, summary: Summary) -> str:
    """The printed text.

    Args:
        committed: the committed seeds of the same table and scale; without any, their columns are
            left out.
    """
    seeds = f"yours: {counted(results.seeds)}"
    if committed.seeds:
        seeds += f"; committed: {counted(committed.seeds)}"
    parts = [
        "\n".join(filter(None, [results.table.title, scale_title(scale), summary.note, seeds])),
        steps_table(results, summary.steps),
        rows_table(results, committed, summary.rows) if summary.rows else "",
        "\n".join(
            textwrap.fill(line, SCREEN, break_long_words=False, break_on_hyphens=False)
            for line in warning_lines(results)
        ),
    ]
    return "\n\n".join(part for part in parts if part)


def paper_step(results: Results, step: Step, column: str) -> Shown:
    """The paper's difference of two rows, "-" where it prints only one of them."""
    better, base = (results.paper(row, column) for row in (step.better, step.base))
    if better.mean is None or base.mean is None:
        return no_number(better.absent if better.mean is None else base.absent)
    change = Cell(
        mean=better.mean - base.mean, spread=None, origin=f"{better.origin} - {base.origin}"
    )
    return Shown(text=f"{change.mean:+.1f}", cell=change)


def steps_table(results: Results, columns: Sequence[Column]) -> str:
    """What each step adds, means over seeds: paper / yours, yours alone where the paper prints
    no numbers."""
    printed, lines = is_printed(results), []
    for step in results.steps():
        texts = []
        for column in columns:
            yours = results.comparison(step.better, step.base, column.name, column.part)
            paper = f"{paper_step(results, step, column.name)} / " if printed else ""
            texts.append(f"{paper}{signed(replace(yours, spread=None))}")
        lines.append([step.name, *texts])
    if not lines:
        return ""
    title = "what each step adds" + (": paper / yours" if printed else "")
    return markdown_table([title, *[column.heading for column in columns]], lines)


def rows_table(results: Results, committed: Results, columns: Sequence[Column]) -> str:
    """The rows: paper, committed, yours; the first two only where there are such numbers."""
    printed = is_printed(results)
    lines = []
    for index, row in enumerate(results.rows):
        texts = []
        for column in columns:
            if printed:
                texts.append(paper_text(results.table.printed(row).get(column.name)))
            for some in (committed, results):
                if some.seeds:
                    texts.append(str(some.cell(index, column.name, column.part)))
        lines.append([row.name, *texts])
    return markdown_table(["row", *rows_header(results, committed, columns)], lines)


def rows_header(results: Results, committed: Results, columns: Sequence[Column]) -> list[str]:
    """The headings of the columns of ``rows_table``; several columns are named more shortly."""
    header = []
    for column in columns:
        names = ["paper"] if is_printed(results) else []
        for name, some in (("committed", committed), ("yours", results)):
            if some.seeds:
                names.append(f"{name} ({counted(some.seeds)})" if len(columns) == 1 else name)
        header += [f"{column.heading}: {names[0]}", *names[1:]]
    return header


def is_printed(results: Results) -> bool:
    """Whether the paper prints numbers of this table."""
    return any(row.printed for row in results.rows)


def paper_text(value: float | None) -> str:
    """A number as the paper prints it."""
    return "-" if value is None else f"{value:g}"


def warning_lines(results: Results) -> list[str]:
    """Rows without numbers, and networks that were not trained to their end."""
    lines = unfinished_networks(results.seeds)
    missing = [line for line in row_lines(results.seeds) if "why" in line]
    if missing:
        count = len({line_name(line) for line in missing})  # several seeds may lack a row
        first = f"{missing[0]['label']}: {missing[0]['why']}"
        lines.append(f"not run: {count} of {len(results.rows)} rows; {first}")
    return lines
