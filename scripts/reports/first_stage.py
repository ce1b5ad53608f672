"""The report of first stages: one line a network, and the differences that the table compares."""

from collections.abc import Sequence
from typing import Any

from scripts.reports.files import Report, ReportPlace, write_report
from scripts.reports.provenance import report_page
from scripts.reports.results import Cell, Results, csv_numbers
from scripts.reports.shown import Grid, Item, Shown
from scripts.reports.summary import Column, Summary, summary_text

# heading, name of the number, whether it is there against the clean boxes as well
COLUMNS = (
    ("recall 0.5", "recall50", True),
    ("recall 0.7", "recall70", True),
    ("recall 0.9", "recall90", True),
    ("mean IoU", "mean_iou", True),
    ("AUC", "auc", False),
    ("offset error", "offset_error", False),
    ("ln var positive", "log_variance_positive", False),
    ("ln var negative", "log_variance_negative", False),
    ("Figure 3 KS", "ks", False),
)
SCREEN = 12  # rows that are printed beside their differences
NOTE = (
    "Recall (%) and mean IoU (% overlap of an object with its best proposal) are those of the best "
    "100 proposals. `AUC`: how often a positive anchor ranks above a negative one, %. `offset "
    "error`: the median absolute error of the means of positive anchors. `ln var`: the mean log "
    "variance of positive and negative anchors (a negative one should have ln 1/3 = -1.10). "
    "`Figure 3 KS`: how far apart the offsets of good and bad proposals are, 0..1. Differences are "
    "taken within each seed."
)


def columns(results: Results) -> list[tuple[str, str, str | None]]:
    """(heading, name, part) of what is shown: recall against the clean boxes where these are
    known."""
    part = "clean" if results.has("clean") else None
    return [(heading, name, part if clean else None) for heading, name, clean in COLUMNS]


def text(shown: Cell) -> str:
    """A number with three decimals below 1."""
    if shown.mean is None:
        return "-"
    decimals = 1 if abs(shown.mean) >= 10 else 2 if abs(shown.mean) >= 1 else 3
    spread = "" if shown.spread is None else f" ± {shown.spread:.{decimals}f}"
    return f"{shown.mean:.{decimals}f}{spread}"


def shown(number: Cell) -> Shown:
    """A number of a network."""
    return Shown(text=text(number), cell=number, missing=number.absent)


def rows_grid(results: Results) -> Grid:
    """One line a network."""
    known = columns(results)
    lines: list[list[Item]] = [
        [row.name, *[shown(results.cell(i, name, part)) for _, name, part in known]]
        for i, row in enumerate(results.rows)
    ]
    return Grid(header=["network", *[heading for heading, _, _ in known]], lines=lines)


def steps_grid(results: Results) -> Grid:
    """One line a comparison."""
    known = columns(results)
    lines: list[list[Item]] = []
    for step in results.steps():
        cells = [results.comparison(step.better, step.base, name, part) for _, name, part in known]
        lines.append([step.name, *map(shown_step, cells)])
    return Grid(header=["difference", *[heading for heading, _, _ in known]], lines=lines)


def shown_step(step: Cell) -> Shown:
    """A difference with its sign."""
    plain = step.mean is None or step.mean < 0
    return Shown(text=text(step) if plain else f"+{text(step)}", cell=step, missing=step.absent)


def csv_lines(results: Results) -> list[list[Any]]:
    """One line a network and number, then one a difference and number."""
    lines: list[list[Any]] = [
        ["kind", "group", "row", "column", "part", "value", "spread", "seeds"]
    ]
    for _, name, part in columns(results):
        for i, row in enumerate(results.rows):
            numbers = csv_numbers(results.cell(i, name, part))
            lines.append(["network", row.group, row.label, name, part or "labels", *numbers])
        for step in results.steps():
            numbers = csv_numbers(results.comparison(step.better, step.base, name, part))
            lines.append(["difference", step.group, step.label, name, part or "labels", *numbers])
    return lines


def first_stage_summary(results: Results, committed: Results, scale: str) -> str:
    """What is printed: recall at 0.5 and 0.7 and AUC; of a long table the differences alone."""
    shown = [Column(heading=h, name=n, part=p) for h, n, p in columns(results)]
    picked = [shown[0], shown[1], shown[4]]
    note = f"recall against the {'clean boxes' if shown[0].part else 'labels'}, %"
    rows = picked[:2] if len(results.rows) <= SCREEN else []
    summary = Summary(steps=picked, rows=rows, note=note)
    return summary_text(results, committed, scale, summary)


def sections(results: Results) -> Sequence[str]:
    """The parts of the markdown file below the title."""
    against = "the clean boxes" if results.has("clean") else "the labels"
    return [
        f"## Networks (recall against {against})", str(rows_grid(results)),
        "## Differences", str(steps_grid(results)), NOTE,
    ]  # fmt: skip


def first_stage_report(results: Results, committed: Results, scale: str) -> Report:
    """The report in all its forms."""
    return Report(
        markdown=report_page(results, scale, sections(results)),
        summary=first_stage_summary(results, committed, scale),
        seeds=results.seeds,
        csv_lines=csv_lines(results),
    )


def write_first_stage(results: Results, place: ReportPlace) -> str:
    """Writes the report and returns what is to be printed."""
    committed = Results(results.table, place.committed_seeds())
    report = first_stage_report(results, committed, place.scale)
    return write_report(report, place.folder, place.scale)
