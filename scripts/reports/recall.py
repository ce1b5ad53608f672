"""The report of proposal recall: at each number of proposals and each IoU, and their differences."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from scripts.reports.provenance import report_page
from scripts.reports.results import (
    Results,
    cell,
    csv_numbers,
    differences,
    markdown_table,
    signed,
    write_report,
)

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


def lines_of(
    results: Results, column: str, part: str | None
) -> list[tuple[str, str, list[float | None]]]:
    """(group, row, one value a seed) of one number: the rows of a group, then its steps."""
    values = [results.values(i, column, part) for i in range(len(results.rows))]
    lines = []
    for group in dict.fromkeys(row.group for row in results.rows):
        for row, line in zip(results.rows, values, strict=True):
            if row.group == group:
                lines.append((group, row.label, line))
        for step in results.steps():
            if step.group == group:
                line = differences(values[step.better], values[step.base])
                lines.append((group, step.label, line))
    return lines


def section(results: Results, count: int, part: str | None) -> str:
    """The markdown table of one count."""
    headings = columns(count)
    rows = {row.label for row in results.rows}
    texts: dict[str, list[str]] = {}
    for column in headings.values():
        for group, label, values in lines_of(results, column, part):
            name = f"{group}: {label}" if group else label
            text = str(cell(values)) if label in rows else signed(cell(values))
            texts.setdefault(name, []).append(text)
    lines = [[name, *line] for name, line in texts.items()]
    return markdown_table([f"best {count}", *headings], lines)


def sections(results: Results) -> list[str]:
    """All tables, against the clean boxes first where they are known."""
    parts = []
    for part, title in (("clean", "Against the clean boxes, %"), (None, "Against the labels, %")):
        if part is None or results.has(part):
            parts += [f"## {title}", *[section(results, count, part) for count in COUNTS]]
    return [*parts, NOTE]


def csv_lines(results: Results) -> list[list[Any]]:
    """One line a count, column and row; differences are rows of their own."""
    lines: list[list[Any]] = [
        ["group", "row", "scored_on", "count", "column", "value", "spread", "seeds"]
    ]
    for part in (None, "clean") if results.has("clean") else (None,):
        for count in COUNTS:
            for heading, column in columns(count).items():
                for group, label, values in lines_of(results, column, part):
                    names = [group, label, part or "labels", count, heading]
                    lines.append([*names, *csv_numbers(cell(values))])
    return lines


def write_recall(results: Results, scale: str, folder: Path) -> str:
    """Writes the three files of the report into ``folder`` and returns the markdown text."""
    text = report_page(results, scale, sections(results))
    seeds: Sequence[dict[str, Any]] = results.seeds
    write_report(folder, scale, markdown=text, csv_lines=csv_lines(results), seeds=seeds)
    return text
