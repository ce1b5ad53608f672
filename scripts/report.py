"""Prints a table beside the paper's: python -m scripts.report kl_loss/table1 --scale mini

Reads what scripts/evaluate.py (or scripts/benchmark.py) wrote for each seed; writes <scale>.md, .csv and .json into
the table's results folder. A row that was not run stays, as "not run".
"""

import argparse
import csv
import datetime
import io
import json
import math
import statistics
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from experiments.records import Row, Table
from experiments.scales import SCALES, TITLES
from scripts.engine.checkpoint import write_atomically
from scripts.engine.command import exit_code
from scripts.engine.places import EXPERIMENTS, find_table


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One number of a row over seeds: mean and sample standard deviation, None where there is nothing."""

    mean: float | None
    spread: float | None
    exact: bool = False  # a count in millions: always two digits, and the same with every seed

    @property
    def decimals(self) -> int:
        return 2 if self.exact or self.mean is None else digits(self.mean)

    def __str__(self) -> str:
        if self.mean is None:
            return "not run"
        spread = "" if self.spread is None or self.exact else f" ± {self.spread:.{self.decimals}f}"
        return f"{self.mean:.{self.decimals}f}{spread}"


def digits(value: float) -> int:
    return 1 if abs(value) >= 10 else 2


def cell(values: list[float | None], *, exact: bool = False) -> Cell:
    known = [value for value in values if value is not None and math.isfinite(value)]
    if not known:
        return Cell(mean=None, spread=None)
    spread = statistics.stdev(known) if len(known) > 1 else None
    return Cell(mean=statistics.mean(known), spread=spread, exact=exact)


def markdown_table(header: list[str], rows: list[list[str]]) -> str:
    """An aligned markdown table."""
    widths = [max(len(line[i]) for line in [header, *rows]) for i in range(len(header))]
    lines = ["| " + " | ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)) + " |"
             for line in [header, ["-" * width for width in widths], *rows]]
    return "\n".join(lines)


def number(line: dict[str, Any], column: str, part: str | None) -> float | None:
    """A row's ``column``, from its ``part`` ("clean") if given."""
    metrics = line["metrics"]
    if metrics is None:
        return None
    return (metrics if part is None else metrics.get(part, {})).get(column)


class Results:
    """The seeds of one table at one scale."""

    def __init__(self, table: Table, seeds: list[dict[str, Any]]) -> None:
        self.table, self.seeds = table, seeds
        self.rows: tuple[Row, ...] = table.rows

    def values(self, row: int, column: str, part: str | None = None) -> list[float | None]:
        """One value a seed. Rows are found by their names: a file of an earlier version may hold others."""
        name = (self.rows[row].group, self.rows[row].label)
        return [next((number(line, column, part) for line in seed["rows"]
                      if (line.get("group", ""), line["label"]) == name), None) for seed in self.seeds]

    def cell(self, row: int, column: str, part: str | None = None) -> Cell:
        return cell(self.values(row, column, part), exact=column == "params_M")

    def has(self, part: str) -> bool:
        return any((line["metrics"] or {}).get(part) for seed in self.seeds for line in seed["rows"])

    def comparison(self, better: int, base: int, column: str, part: str | None) -> Cell:
        """``better`` minus ``base`` within each seed: the spread of a difference is not that of its two parts."""
        pairs = zip(self.values(better, column, part), self.values(base, column, part), strict=True)
        return cell([None if a is None or b is None else a - b for a, b in pairs])


def main_section(results: Results, part: str | None) -> str:
    """For each row three lines: paper, ours, difference."""
    columns = list(results.table.columns)
    lines = []
    for index, row in enumerate(results.rows):
        ours = [results.cell(index, column, part) for column in columns]
        printed = results.table.printed(row)
        source = "no such row in the paper" if row.added else "paper (cited)" if row.cited else "paper"
        lines.append([row.name + (" (ours)" if row.added else ""), source,
                      *[f"{printed[c]:g}" if printed.get(c) is not None else "-" for c in columns]])
        lines.append(["", "ours", *map(str, ours)])
        lines.append(["", "difference", *[
            "-" if o.mean is None or printed.get(c) is None
            else f"{o.mean - printed[c]:+.{o.decimals}f}" for o, c in zip(ours, columns, strict=True)]])
    return markdown_table(["row", "", *columns], lines)


def extra_section(results: Results, columns: list[str], part: str | None) -> str:
    lines = []
    for index, row in enumerate(results.rows):
        cells = [results.cell(index, column, part) for column in columns]
        lines.append([row.name, *["-" if c.mean is None else str(c) for c in cells]])
    return markdown_table(["row (ours)", *columns], lines)


def comparison_section(results: Results, columns: list[str], part: str | None) -> str:
    """Differences between rows, paper and ours side by side; with seeds, the mean of the paired differences."""
    lines = []
    groups = list(dict.fromkeys(row.group for row in results.rows))
    for group in groups:
        places = {row.label: i for i, row in enumerate(results.rows) if row.group == group}
        for better, base in results.table.comparisons:
            if better not in places or base not in places:
                continue
            i, j = places[better], places[base]
            line = [f"{group + ': ' if group else ''}{better} - {base}"]
            for column in columns:
                paper = [results.table.printed(results.rows[k]).get(column) for k in (i, j)]
                printed = "-" if paper[0] is None or paper[1] is None else f"{paper[0] - paper[1]:+.1f}"
                ours = results.comparison(i, j, column, part)
                sign = "+" if ours.mean is not None and ours.mean >= 0 else ""
                line.append(f"{printed} / {'-' if ours.mean is None else sign + str(ours)}")
            lines.append(line)
    return markdown_table(["step: paper / ours", *columns], lines)


def provenance(results: Results, scale: str) -> list[str]:
    commit = git("rev-parse", "--short", "HEAD") + ("+changes" if git("status", "--porcelain", "-uno") else "")
    devices = sorted({seed["device"] for seed in results.seeds})
    training = sorted({
        f"{line['run']} {line['training']['seconds'] / 60:.1f} min on {line['training']['device']}"
        + ("" if line["updates"] == line["of_updates"] else f" (stopped at {line['updates']} of {line['of_updates']})")
        for seed in results.seeds for line in seed["rows"] if line.get("training")})
    unfinished = sorted({f"{line['run']}: only {line['updates']} of {line['of_updates']} updates"
                         for seed in results.seeds for line in seed["rows"]
                         if line["metrics"] and not line.get("training") and "updates" in line})
    why = sorted({f"{line['label']}: {line['why']}"
                  for seed in results.seeds for line in seed["rows"] if "why" in line})
    commit = commit or "unknown (not a git checkout)"
    return [f"scale: {scale}; seeds: {[seed['seed'] for seed in results.seeds]}"
            + ("; ± is the sample standard deviation over seeds" if len(results.seeds) > 1 else ""),
            f"commit: {commit}; evaluated on: {', '.join(devices)}; date: {datetime.date.today().isoformat()}",
            *([f"training: {'; '.join(training)}"] if training else []),
            *([f"UNFINISHED: {'; '.join(unfinished)}"] if unfinished else []),
            *[f"not run: {line}" for line in why],
            *[f"cited by the paper: {row.name} from {row.cited}" for row in results.rows if row.cited],
            *results.table.notes.get(scale, ())]


def git(*arguments: str) -> str:
    """What git prints, "" outside a repository."""
    try:
        return subprocess.run(["git", *arguments], cwd=EXPERIMENTS, capture_output=True, text=True,
                              check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return ""


def report_text(results: Results, scale: str) -> str:
    table = results.table
    columns = list(table.columns)
    compared = [c for c in dict.fromkeys([*columns[:3], *table.extra[:2]]) if not c.startswith("AR")]
    extra = list(table.extra)
    parts: list[str] = [f"# {table.title}", f"**{TITLES[scale]}**"]
    if results.has("clean"):
        boxes = [c for c in [*columns, *extra] if c.startswith("A")]
        parts += ["## Scored against the clean boxes (val_clean)", main_section(results, "clean"),
                  "## What each step adds, clean boxes", comparison_section(results, compared, "clean"),
                  "## High overlap, clean boxes",
                  extra_section(results, [c for c in boxes if c not in columns], "clean"),
                  "## Scored against the noisy labels (val, as in COCO)", main_section(results, None)]
    else:
        parts.append(main_section(results, None))
    parts += ["## What each step adds", comparison_section(results, compared, None),
              "## Beside the paper's columns", extra_section(results, extra, None)]
    notes = "\n".join(f"* {line}" for line in provenance(results, scale))
    return "\n\n".join([*parts, notes]) + "\n"


def csv_text(results: Results) -> str:
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(["group", "row", "scored_on", "column", "paper", "ours", "difference", "spread", "seeds"])
    for index, row in enumerate(results.rows):
        for part in ("labels", "clean") if results.has("clean") else ("labels",):
            for column in [*results.table.columns, *results.table.extra]:
                values = results.values(index, column, None if part == "labels" else part)
                ours = cell(values)
                paper = results.table.printed(row).get(column)
                gap = None if ours.mean is None or paper is None else round(ours.mean - paper, 4)
                writer.writerow([row.group, row.label, part, column, paper,
                                 "not run" if ours.mean is None else round(ours.mean, 4), gap,
                                 None if ours.spread is None else round(ours.spread, 4),
                                 sum(value is not None for value in values)])
    return file.getvalue()


def report(name: str, scale: str, out: Path, folder: Path | None = None) -> str:
    """Writes the three result files of a table into ``folder`` (its results folder) and returns the markdown text."""
    folder = folder or EXPERIMENTS / name / "results"
    table = find_table(name)
    if not table.columns:
        raise ValueError(f"{name} has its own report: experiments/{name}/eval.sh prints it.")
    paths = sorted((out / scale / name).glob("seed*.json"))
    seeds = [json.loads(path.read_text()) for path in paths]
    if not seeds:
        empty = [{"label": row.label, "run": row.run.name, "metrics": None, "why": "not evaluated"}
                 for row in table.rows]
        seeds = [{"seed": 0, "device": "none", "rows": empty}]
    results = Results(table, seeds)
    text = report_text(results, scale)
    write_atomically(folder / f"{scale}.md", text)
    write_atomically(folder / f"{scale}.csv", csv_text(results))
    write_atomically(folder / f"{scale}.json", json.dumps(seeds, indent=1) + "\n")
    return text


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("table", help="paper/table, for example kl_loss/table1")
    parser.add_argument("--scale", choices=sorted(SCALES), default="mini")
    parser.add_argument("--out", type=Path, default=Path("runs"), metavar="DIR", help="where runs are kept")
    parser.add_argument("--results", type=Path, default=None, metavar="DIR",
                        help="where to write (default: the table's results folder)")
    args = parser.parse_args()
    return exit_code(lambda: print(report(args.table, args.scale, args.out, args.results)))


if __name__ == "__main__":
    sys.exit(main())
