"""The report of a table of AP: what each step adds, what the paper prints, what was measured."""

from collections.abc import Sequence
from typing import Any

from experiments.records import Table
from experiments.scales import scale_title
from scripts.engine.places import find_table
from scripts.reports.files import Report, ReportPlace, evaluated_seeds, write_report
from scripts.reports.provenance import provenance
from scripts.reports.results import (
    Cell,
    Results,
    csv_numbers,
    markdown_table,
    signed,
)
from scripts.reports.summary import Column, Summary, paper_step, paper_text, summary_text

STEPS = 3  # columns in which the printed summary shows what a step adds


def main_section(results: Results, part: str | None, *, comparable: bool) -> str:
    """Each row as the paper prints it and as measured; with ``comparable`` their difference too."""
    columns = list(results.table.columns)
    lines = []
    for index, row in enumerate(results.rows):
        ours = {column: results.cell(index, column, part) for column in columns}
        printed = results.table.printed(row)
        name = f"{row.name} (ours)" if row.added else row.name
        source = "paper (cited)" if row.cited else "paper"
        lines += [
            [name, "no such row in the paper" if row.added else source,
             *[paper_text(printed.get(column)) for column in columns]],
            ["", "ours", *map(str, ours.values())],
        ]  # fmt: skip
        if comparable:
            texts = [difference(ours[column], printed.get(column)) for column in columns]
            lines.append(["", "difference", *texts])
    return markdown_table(["row", "", *columns], lines)


def difference(ours: Cell, paper: float | None) -> str:
    """Ours minus the paper's, in ours' digits."""
    if ours.mean is None or paper is None:
        return "-"
    return f"{ours.mean - paper:+.{ours.decimals}f}"


def extra_section(results: Results, columns: Sequence[str], part: str | None) -> str:
    """One line a row: the columns that the paper does not have."""
    lines = []
    for index, row in enumerate(results.rows):
        cells = [results.cell(index, column, part) for column in columns]
        lines.append([row.name, *["-" if c.mean is None else str(c) for c in cells]])
    return markdown_table(["row (ours)", *columns], lines)


def comparison_section(results: Results, columns: Sequence[str], part: str | None) -> str:
    """Differences between rows, paper / ours; with seeds, the mean of the paired differences."""
    lines = []
    for step in results.steps():
        texts = []
        for column in columns:
            ours = results.comparison(step.better, step.base, column, part)
            texts.append(f"{paper_step(results, step, column)} / {signed(ours)}")
        lines.append([step.name, *texts])
    return markdown_table(["step: paper / ours", *columns], lines)


def compared_columns(table: Table) -> list[str]:
    """The columns in which steps are shown: the paper's first three and ours' first two, no AR."""
    columns = dict.fromkeys([*table.columns[:3], *table.extra[:2]])
    return [column for column in columns if not column.startswith("AR")]


def report_text(results: Results, scale: str) -> str:
    """The markdown file of a table; only the paper's own scale is compared with its numbers."""
    table, compared, comparable = results.table, compared_columns(results.table), scale == "paper"
    parts = [f"# {table.title}", f"**{scale_title(scale)}**"]
    if results.has("clean"):
        overlaps = [c for c in table.extra if c.startswith("A") and c not in table.columns]
        parts += [
            "## What each step adds, clean boxes", comparison_section(results, compared, "clean"),
            "## Scored against the clean boxes (val_clean)",
            main_section(results, "clean", comparable=comparable),
            "## High overlap, clean boxes", extra_section(results, overlaps, "clean"),
        ]  # fmt: skip
    noisy = "## Scored against the noisy labels (val, as in COCO)"
    parts += [
        "## What each step adds", comparison_section(results, compared, None),
        noisy if results.has("clean") else "## Paper and ours",
        main_section(results, None, comparable=comparable),
        "## Beside the paper's columns", extra_section(results, table.extra, None),
        "\n".join(f"* {line}" for line in provenance(results, scale)),
    ]  # fmt: skip
    return "\n\n".join(parts) + "\n"


def csv_lines(results: Results) -> list[list[Any]]:
    """One line a row, part and column."""
    lines: list[list[Any]] = [
        ["group", "row", "scored_on", "column", "paper", "ours", "difference", "spread", "seeds"]
    ]
    parts = ("labels", "clean") if results.has("clean") else ("labels",)
    for index, row in enumerate(results.rows):
        printed = results.table.printed(row)
        for part in parts:
            for column in [*results.table.columns, *results.table.extra]:
                ours = results.cell(index, column, None if part == "labels" else part)
                paper = printed.get(column)
                value, spread, seeds = csv_numbers(ours)
                lines.append([row.group, row.label, part, column, paper, value,
                              csv_difference(ours, paper), spread, seeds])  # fmt: skip
    return lines


def csv_difference(ours: Cell, paper: float | None) -> float | None:
    return None if ours.mean is None or paper is None else round(ours.mean - paper, 4)


def table_summary(results: Results, committed: Results, scale: str) -> str:
    """What is printed: steps in the first columns, rows in the first one."""
    part = "clean" if results.has("clean") else None
    columns = [Column(heading=c, name=c, part=part) for c in compared_columns(results.table)]
    note = "scored against the clean boxes" if part else ""
    main = Column(heading=results.table.columns[0], name=results.table.columns[0], part=part)
    summary = Summary(steps=columns[:STEPS], rows=[main], note=note)
    return summary_text(results, committed, scale, summary)


def table_report(results: Results, committed: Results, scale: str) -> Report:
    """The report of a table in all its forms."""
    return Report(
        markdown=report_text(results, scale),
        summary=table_summary(results, committed, scale),
        seeds=results.seeds,
        csv_lines=csv_lines(results),
    )


def write_table(place: ReportPlace) -> str:
    """Writes the report of a table of which the seeds were evaluated.

    Returns:
        What is to be printed.

    Raises:
        ValueError: the table has a report of its own, or nothing of it was evaluated.
    """
    table = find_table(place.table)
    if not table.columns:
        raise ValueError(
            f"{place.table} has its own report: experiments/{place.table}/eval.sh prints it."
        )
    results = Results(table, place.with_committed(evaluated_seeds(place)))
    report = table_report(results, Results(table, place.committed_seeds()), place.scale)
    return write_report(report, place.folder, place.scale)
