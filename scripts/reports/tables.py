"""The report of a table of AP: what each step adds, what the paper prints, what was measured."""

from collections.abc import Sequence
from typing import Any

from experiments.records import Table
from experiments.scales import scale_title
from scripts.engine.places import find_table
from scripts.reports.files import Report, ReportPlace, evaluated_seeds, write_report
from scripts.reports.provenance import provenance
from scripts.reports.results import Cell, Results, csv_numbers
from scripts.reports.shown import Grid, Item, beside_paper, level, printed, step
from scripts.reports.summary import Column, Summary, paper_step, summary_text

STEPS = 3  # columns in which the printed summary shows what a step adds


def main_grid(results: Results, part: str | None, *, comparable: bool) -> Grid:
    """Each row as the paper prints it and as measured; with ``comparable`` their difference too."""
    columns = list(results.table.columns)
    lines: list[list[Item]] = []
    for index, row in enumerate(results.rows):
        ours = [results.cell(index, column, part) for column in columns]
        paper = [results.paper(index, column) for column in columns]
        name = f"{row.name} (ours)" if row.added else row.name
        source = "paper (cited)" if row.cited else "paper"
        lines += [
            [name, "no such row in the paper" if row.added else source,
             *map(printed, paper)],
            ["", "ours", *map(level, ours)],
        ]  # fmt: skip
        if comparable:
            lines.append(["", "difference", *map(beside_paper, ours, paper)])
    return Grid(header=["row", "", *columns], lines=lines)


def extra_grid(results: Results, columns: Sequence[str], part: str | None) -> Grid:
    """One line a row: the columns that the paper does not have."""
    lines: list[list[Item]] = [
        [row.name, *[level(results.cell(index, column, part), "-") for column in columns]]
        for index, row in enumerate(results.rows)
    ]
    return Grid(header=["row (ours)", *columns], lines=lines)


def comparison_grid(results: Results, columns: Sequence[str], part: str | None) -> Grid:
    """Differences between rows, paper / ours; with seeds, the mean of the paired differences."""
    lines: list[list[Item]] = []
    for one in results.steps():
        pairs = [
            (
                paper_step(results, one, column),
                step(results.comparison(one.better, one.base, column, part)),
            )
            for column in columns
        ]
        lines.append([one.name, *pairs])
    return Grid(header=["step: paper / ours", *columns], lines=lines)


def compared_columns(table: Table) -> list[str]:
    """The columns in which steps are shown: the paper's first three and ours' first two, no AR."""
    columns = dict.fromkeys([*table.columns[:3], *table.extra[:2]])
    return [column for column in columns if not column.startswith("AR")]


def overlap_columns(table: Table) -> list[str]:
    """The columns of ours that are an AP, which alone is scored against the clean boxes too."""
    return [c for c in table.extra if c.startswith("A") and c not in table.columns]


def report_text(results: Results, scale: str) -> str:
    """The markdown file of a table; only the paper's own scale is compared with its numbers."""
    table, compared, comparable = results.table, compared_columns(results.table), scale == "paper"
    parts = [f"# {table.title}", f"**{scale_title(scale)}**"]
    if results.has("clean"):
        overlaps = overlap_columns(table)
        parts += [
            "## What each step adds, clean boxes", str(comparison_grid(results, compared, "clean")),
            "## Scored against the clean boxes (val_clean)",
            str(main_grid(results, "clean", comparable=comparable)),
        ]  # fmt: skip
        if overlaps:
            grid = extra_grid(results, overlaps, "clean")
            parts += ["## High overlap, clean boxes", str(grid)]
    noisy = "## Scored against the noisy labels (val, as in COCO)"
    parts += [
        "## What each step adds", str(comparison_grid(results, compared, None)),
        noisy if results.has("clean") else "## Paper and ours",
        str(main_grid(results, None, comparable=comparable)),
        "## Beside the paper's columns", str(extra_grid(results, table.extra, None)),
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
