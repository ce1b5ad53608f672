"""The report of proposal recall at each number of proposals and each IoU, and its differences."""

from typing import Any

from scripts.reports.files import Report, ReportPlace, write_report
from scripts.reports.provenance import report_page
from scripts.reports.results import Cell, Results, csv_numbers
from scripts.reports.shown import Grid, Item, level, step
from scripts.reports.summary import Column, Summary, summary_text

COUNTS = (100, 300, 1000)  # proposals an image
IOUS = (0.5, 0.6, 0.7, 0.8, 0.9)
NOTE = (
    "Differences are taken within each seed. `AR` is the mean recall over IoU 0.5, 0.55, ..., "
    "0.95; `proposals` is how many an image had, of those asked for."
)


def columns(count: int) -> dict[str, str]:
    """{heading: name of the number} of the section of one count."""
    return {
        **{f"IoU {iou}": f"recall@{count} IoU {iou}" for iou in IOUS},
        "AR": f"AR@{count}",
        "proposals": f"proposals@{count}",
    }


def lines_of(results: Results, column: str, part: str | None) -> list[tuple[str, str, Cell]]:
    """(group, row, number) of one column: the rows of a group, then its steps."""
    lines = []
    for group in dict.fromkeys(row.group for row in results.rows):
        for index, row in enumerate(results.rows):
            if row.group == group:
                lines.append((group, row.label, results.cell(index, column, part)))
        for one in results.steps():
            if one.group == group:
                change = results.comparison(one.better, one.base, column, part)
                lines.append((group, one.label, change))
    return lines


def recall_grid(results: Results, count: int, part: str | None) -> Grid:
    """The table of one count."""
    headings = columns(count)
    rows = {row.label for row in results.rows}
    items: dict[str, list[Item]] = {}
    for column in headings.values():
        for group, label, number in lines_of(results, column, part):
            name = f"{group}: {label}" if group else label
            items.setdefault(name, []).append(level(number) if label in rows else step(number))
    lines = [[name, *line] for name, line in items.items()]
    return Grid(header=[f"best {count}", *headings], lines=lines)


def sections(results: Results) -> list[str]:
    """All tables, against the clean boxes first where they are known."""
    parts = []
    for part, title in (("clean", "Against the clean boxes, %"), (None, "Against the labels, %")):
        if part is None or results.has(part):
            parts += [f"## {title}", *[str(recall_grid(results, count, part)) for count in COUNTS]]
    return [*parts, NOTE]


def csv_lines(results: Results) -> list[list[Any]]:
    """One line a count, column and row; differences are rows of their own."""
    lines: list[list[Any]] = [
        ["group", "row", "scored_on", "count", "column", "value", "spread", "seeds"]
    ]
    for part in (None, "clean") if results.has("clean") else (None,):
        for count in COUNTS:
            for heading, column in columns(count).items():
                for group, label, number in lines_of(results, column, part):
                    names = [group, label, part or "labels", count, heading]
                    lines.append([*names, *csv_numbers(number)])
    return lines


def recall_summary(results: Results, committed: Results, scale: str) -> str:
    """What is printed: the mean recall over IoU, rows at the fewest and the most proposals."""
    part = "clean" if results.has("clean") else None
    columns = [Column(heading=f"AR@{n}", name=f"AR@{n}", part=part) for n in COUNTS]
    note = f"recall against the {'clean boxes' if part else 'labels'}, %"
    summary = Summary(steps=columns, rows=[columns[0], columns[-1]], note=note)
    return summary_text(results, committed, scale, summary)


def recall_report(results: Results, committed: Results, scale: str) -> Report:
    """The report in all its forms."""
    return Report(
        markdown=report_page(results, scale, sections(results)),
        summary=recall_summary(results, committed, scale),
        seeds=results.seeds,
        csv_lines=csv_lines(results),
    )


def write_recall(results: Results, place: ReportPlace) -> str:
    """Writes the report and returns what is to be printed."""
    committed = Results(results.table, place.committed_seeds())
    report = recall_report(results, committed, place.scale)
    return write_report(report, place.folder, place.scale)
