"""The report of a table of AP: what the paper prints, what was measured here, and each step."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from experiments.scales import TITLES
from scripts.engine.places import find_table
from scripts.reports.provenance import provenance
from scripts.reports.results import (
    Cell,
    Results,
    Step,
    csv_numbers,
    markdown_table,
    signed,
    stored_seeds,
    write_report,
)


def difference(ours: Cell, paper: float | None) -> str:
    """Ours minus the paper's, in ours' digits."""
    if ours.mean is None or paper is None:
        return "-"
    return f"{ours.mean - paper:+.{ours.decimals}f}"


def main_section(results: Results, part: str | None) -> str:
    """For each row three lines: paper, ours, difference."""
    columns = list(results.table.columns)
    lines = []
    for index, row in enumerate(results.rows):
        ours = {column: results.cell(index, column, part) for column in columns}
        printed = results.table.printed(row)
        source = "paper (cited)" if row.cited else "paper"
        paper = [f"{printed[c]:g}" if c in printed else "-" for c in columns]
        lines += [
            [f"{row.name} (ours)", "no such row in the paper", *paper]
            if row.added else [row.name, source, *paper],
            ["", "ours", *map(str, ours.values())],
            ["", "difference", *[difference(ours[c], printed.get(c)) for c in columns]],
        ]  # fmt: skip
    return markdown_table(["row", "", *columns], lines)


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
        ours = [results.comparison(step.better, step.base, column, part) for column in columns]
        paper = [paper_step(results, step, column) for column in columns]
        texts = [f"{a} / {signed(b)}" for a, b in zip(paper, ours, strict=True)]
        lines.append([step.name, *texts])
    return markdown_table(["step: paper / ours", *columns], lines)


def paper_step(results: Results, step: Step, column: str) -> str:
    """The paper's difference of two rows, "-" where it prints only one of them."""
    better, base = (results.table.printed(results.rows[i]) for i in (step.better, step.base))
    if column not in better or column not in base:
        return "-"
    return f"{better[column] - base[column]:+.1f}"


def compared_columns(results: Results) -> list[str]:
    """The columns in which steps are shown: the paper's first three and ours' first two, no AR."""
    table = results.table
    columns = dict.fromkeys([*table.columns[:3], *table.extra[:2]])
    return [column for column in columns if not column.startswith("AR")]


def report_text(results: Results, scale: str) -> str:
    """The markdown file of a table."""
    table, compared = results.table, compared_columns(results)
    parts = [f"# {table.title}", f"**{TITLES[scale]}**"]
    if results.has("clean"):
        parts += clean_sections(results, compared)
    parts += [
        main_section(results, None),
        "## What each step adds", comparison_section(results, compared, None),
        "## Beside the paper's columns", extra_section(results, table.extra, None),
        "\n".join(f"* {line}" for line in provenance(results, scale)),
    ]  # fmt: skip
    return "\n\n".join(parts) + "\n"


def clean_sections(results: Results, compared: Sequence[str]) -> list[str]:
    """What comes first where the clean boxes are known."""
    table = results.table
    overlaps = [c for c in table.extra if c.startswith("A") and c not in table.columns]
    return [
        "## Scored against the clean boxes (val_clean)", main_section(results, "clean"),
        "## What each step adds, clean boxes", comparison_section(results, compared, "clean"),
        "## High overlap, clean boxes", extra_section(results, overlaps, "clean"),
        "## Scored against the noisy labels (val, as in COCO)",
    ]  # fmt: skip


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


def not_evaluated(results_of: str) -> list[dict[str, Any]]:
    """The one seed of a table of which nothing was evaluated."""
    rows = [{"label": row.label, "run": row.run.name, "metrics": None, "why": "not evaluated"}
            for row in find_table(results_of).rows]  # fmt: skip
    return [{"seed": 0, "device": "none", "rows": rows}]


def write_table(name: str, scale: str, out: Path, folder: Path) -> str:
    """Writes the three files of a table's report into ``folder``.

    Args:
        name: "paper/table", for example "kl_loss/table1".
        out: where runs are kept; the seeds lie in <out>/<scale>/<name>.

    Returns:
        The markdown text.

    Raises:
        ValueError: the table has a report of its own.
    """
    table = find_table(name)
    if not table.columns:
        raise ValueError(f"{name} has its own report: experiments/{name}/eval.sh prints it.")
    seeds = stored_seeds(out / scale / name) or not_evaluated(name)
    results = Results(table, seeds)
    text = report_text(results, scale)
    write_report(folder, scale, markdown=text, csv_lines=csv_lines(results), seeds=seeds)
    return text
