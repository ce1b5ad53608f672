"""Every committed report is what its committed JSON says, to the last byte."""

import json
from pathlib import Path

import pytest

from scripts.engine.places import EXPERIMENTS, find_table
from scripts.reports import figure3, figure5, first_stage, length, recall, swap, tables
from scripts.reports.files import ReportPlace
from scripts.reports.results import Results, csv_text

REPORTS = {
    "first_stage": first_stage.first_stage_report,
    "recall": recall.recall_report,
    "figure3": figure3.figure3_report,
    "figure5": figure5.figure5_report,
}
PATHS = sorted(
    path for path in EXPERIMENTS.glob("*/*/results/*.json") if not path.stem.endswith("_operations")
)
LENGTHS = sorted(EXPERIMENTS.glob("*/*/results/*_length.md"))  # each of several JSON files


def rendered(path: Path) -> dict[str, str]:
    """{suffix: text} of the report beside a JSON file."""
    scale, _, kind = path.stem.partition("_")
    table = find_table("/".join(path.parts[-4:-2]))
    seeds = json.loads(path.read_text())
    if kind == "swap":
        return {".md": swap.swap_text(table, scale, seeds)}
    results = Results(table, seeds)
    report = REPORTS.get(table.metric, tables.table_report)(results, results, scale)
    return {".md": report.markdown, ".csv": csv_text(report.csv_lines)}


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.relative_to(EXPERIMENTS).as_posix())
def test_a_report_is_rendered_from_its_json(path):
    for suffix, text in rendered(path).items():
        assert path.with_suffix(suffix).read_text() == text


def test_every_committed_report_has_its_json():
    reports = {path.with_suffix("") for path in EXPERIMENTS.glob("*/*/results/*.md")}
    assert reports - {path.with_suffix("") for path in LENGTHS} == {
        path.with_suffix("") for path in PATHS
    }


@pytest.mark.parametrize("path", LENGTHS, ids=lambda path: path.relative_to(EXPERIMENTS).as_posix())
def test_curves_over_length_are_those_of_the_committed_json(path, tmp_path):
    base, name = path.stem.removesuffix("_length"), "/".join(path.parts[-4:-2])
    table = find_table(name)
    lengths = length.measured_lengths(ReportPlace(table=name, scale=base, out=tmp_path), table)
    assert path.read_text() == length.length_text(lengths, table, base)
    assert path.with_suffix(".csv").read_text() == csv_text(length.csv_lines(lengths, table))
