"""Reports go below OUT; only --publish writes into the repository."""

import argparse
import json
from pathlib import Path

import pytest

from scripts import report
from scripts.engine.places import EXPERIMENTS
from scripts.reports import files
from scripts.reports.files import Report, ReportPlace, add_report_options, write_report


def place(**options):
    return ReportPlace(table="kl_loss/table1", scale="mini", out=Path("runs"), **options)


def test_a_report_is_written_below_out_unless_it_is_published():
    assert place().folder == Path("runs/mini/kl_loss/table1/report")
    assert place(results=Path("elsewhere")).folder == Path("elsewhere")
    assert place(publish=True).folder == EXPERIMENTS / "kl_loss" / "table1" / "results"
    assert place().evaluated == Path("runs/mini/kl_loss/table1")


@pytest.mark.parametrize("inside", ["kl_loss/table1/results", "own"])
def test_results_of_the_repository_need_publish(inside):
    with pytest.raises(ValueError, match="is in experiments/, where committed results lie"):
        _ = place(results=EXPERIMENTS / inside).folder


def test_publishing_and_another_folder_exclude_each_other(capsys):
    parser = argparse.ArgumentParser()
    add_report_options(parser)
    assert vars(parser.parse_args([])) == {"publish": False, "results": None}
    with pytest.raises(SystemExit):
        parser.parse_args(["--publish", "--results", "there"])
    assert "not allowed with argument" in capsys.readouterr().err


def test_committed_seeds_are_those_of_the_scale():
    assert [seed["seed"] for seed in place().committed_seeds()] == [0, 1, 2]
    assert (
        ReportPlace(table="kl_loss/table1", scale="paper", out=Path("runs")).committed_seeds() == []
    )


def test_the_last_line_names_the_full_report(tmp_path):
    report = Report(
        markdown="# all\n", summary="short", seeds=[{"seed": 0}], csv_lines=[["a", "b"], [1, None]]
    )
    assert write_report(report, tmp_path, "mini") == f"short\n\nfull report: {tmp_path}/mini.md"
    assert (tmp_path / "mini.md").read_text() == "# all\n"
    assert (tmp_path / "mini.csv").read_text() == "a,b\n1,\n"
    assert json.loads((tmp_path / "mini.json").read_text()) == [{"seed": 0}]


def test_the_command_leaves_the_checkout_alone_unless_it_publishes(tmp_path, monkeypatch, capsys):
    committed = json.loads(
        (EXPERIMENTS / "kl_loss" / "table1" / "results" / "mini.json").read_text()
    )
    before = {path: path.stat().st_mtime_ns for path in EXPERIMENTS.rglob("*")}
    evaluated = tmp_path / "mini" / "kl_loss" / "table1"
    evaluated.mkdir(parents=True)
    (evaluated / "seed0.json").write_text(json.dumps(committed[1]))
    assert report.main(["kl_loss/table1", "--out", str(tmp_path)]) == 0
    printed = capsys.readouterr().out.splitlines()
    assert printed[-1] == f"full report: {evaluated}/report/mini.md"
    assert len(printed) < 40
    assert "yours: 1 seed; committed: 3 seeds" in printed
    assert {path: path.stat().st_mtime_ns for path in EXPERIMENTS.rglob("*")} == before
    monkeypatch.setattr(files, "EXPERIMENTS", tmp_path / "experiments")
    assert report.main(["kl_loss/table1", "--out", str(tmp_path), "--publish"]) == 0
    published = tmp_path / "experiments" / "kl_loss" / "table1" / "results"
    assert sorted(path.name for path in published.iterdir()) == ["mini.csv", "mini.json", "mini.md"]
    assert (published / "mini.md").read_text() == (evaluated / "report" / "mini.md").read_text()
