"""Where a report lies, what its files are, and the committed results of the same table."""

import argparse
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scripts.engine.files import read_json, write_atomically
from scripts.engine.places import EXPERIMENTS
from scripts.reports.merge import merge_notes, merged
from scripts.reports.one_device import times_of_one_device
from scripts.reports.results import csv_text, stored_seeds
from scripts.reports.same_evaluation import check_same_evaluation


def add_report_options(parser: argparse.ArgumentParser) -> None:
    """The options that say where a report is written: --publish or --results."""
    group = parser.add_mutually_exclusive_group()
    group.add_argument(
        "--publish",
        action="store_true",
        help="write into the table's results folder in experiments/",
    )
    group.add_argument("--results", type=Path, default=None, metavar="DIR",
                       help="where to write (default: OUT/SCALE/PAPER/TABLE/report)")  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class ReportPlace:
    """Where the report of a table at one scale is written.

    Args:
        table: "paper/table", for example "kl_loss/table1".
        scale: "mini", "lite", "lite600", "paper", or a longer one such as "mini-4x".
        out: where runs are kept.
        results: the folder to write into; None: the table's folder below ``out``.
        publish: write into the table's results folder in experiments/.
    """

    table: str
    scale: str
    out: Path
    results: Path | None = None
    publish: bool = False

    @property
    def evaluated(self) -> Path:
        """Where the seeds of the table are."""
        return self.out / self.scale / self.table

    @property
    def committed(self) -> Path:
        """The table's results folder, which belongs to the repository."""
        return EXPERIMENTS / self.table / "results"

    @property
    def folder(self) -> Path:
        """Where the report is written.

        Raises:
            ValueError: --results is in experiments/, whose results belong to the repository.
        """
        if self.publish:
            return self.committed
        if self.results is not None and self.results.resolve().is_relative_to(EXPERIMENTS):
            raise ValueError(
                f"--results {self.results} is in experiments/, where committed results lie; give "
                "another folder, or --publish to replace the committed ones."
            )
        return self.results or self.evaluated / "report"

    def committed_seeds(self, suffix: str = "") -> list[dict[str, Any]]:
        """The committed seeds of this scale; empty if there are none."""
        path = self.committed / f"{self.scale}{suffix}.json"
        if not path.is_file():
            return []
        return read_json(path, "restore the committed file", kind=list)

    def with_committed(self, seeds: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
        """What a report shows of new ``seeds``: published, they are added to the committed ones.
        What is left out is said.
        """
        shown, merging = list(seeds), list[str]()
        if self.publish:
            committed = self.committed_seeds()
            shown, merging = merged(committed, seeds), merge_notes(committed, seeds)
        shown, timing = times_of_one_device(shown)
        for note in [*merging, *timing]:
            print(note)
        return shown


def evaluated_seeds(place: ReportPlace) -> list[dict[str, Any]]:
    """The seeds of a table that scripts.evaluate or scripts.benchmark measured.

    Raises:
        ValueError: none of its rows was measured, they are of someone's own data, or they do not
            belong together.
    """
    seeds = stored_seeds(place.evaluated)
    if not any(row["metrics"] for seed in seeds for row in seed["rows"]):
        raise ValueError(
            f"Nothing of {place.table} was evaluated at the scale {place.scale} below {place.out}, "
            f"so there is nothing to report; run experiments/{place.table}/eval.sh, or give the "
            "--scale and --out of the evaluation."
        )
    check_same_evaluation(seeds, str(place.evaluated))
    return seeds


def report_place_from(options: dict[str, Any]) -> ReportPlace:
    """The ReportPlace among the options of a command line.

    Args:
        options: ``vars`` of what the parser returns.
    """
    names = ReportPlace.__dataclass_fields__
    return ReportPlace(**{name: value for name, value in options.items() if name in names})


@dataclass(frozen=True, kw_only=True)
class Report:
    """A report in all its forms.

    Args:
        markdown: the full report.
        summary: the few lines that are printed.
        seeds: the records from which the report can be rendered again.
        csv_lines: its header first; None for a report without a CSV file.
    """

    markdown: str
    summary: str
    seeds: Sequence[dict[str, Any]]
    csv_lines: Sequence[Sequence[Any]] | None = None


def write_report(report: Report, folder: Path, name: str) -> str:
    """Writes ``name``.md, .csv and .json into ``folder``; returns what is to be printed."""
    write_atomically(folder / f"{name}.md", report.markdown)
    if report.csv_lines is not None:
        write_atomically(folder / f"{name}.csv", csv_text(report.csv_lines))
    write_atomically(folder / f"{name}.json", json.dumps(report.seeds, indent=1) + "\n")
    return f"{report.summary}\n\nfull report: {folder / name}.md"
