"""The declarations: every run can be built at every scale, a comparison changes what it compares, rows are the paper's."""

import importlib
import re
from dataclasses import asdict, replace
from pathlib import Path

import pytest
import torch

from experiments.records import PAPER_TABLES, Run
from experiments.scales import SCALES, TITLES
from models.build import build_detector, parameter_counts
from scripts.checkpoint import differences, plain

EXPERIMENTS = Path(__file__).parents[1] / "experiments"
MODULES = {path.parent.name: importlib.import_module(f"experiments.{path.parent.name}.runs")
           for path in sorted(EXPERIMENTS.glob("*/runs.py"))}
RUNS = {f"{paper}/{key}": value for paper, module in MODULES.items() for key, value in vars(module).items()
        if isinstance(value, Run)}
TABLES = {f"{path.parent.parent.name}_{path.parent.name}":
          importlib.import_module(f"experiments.{path.parent.parent.name}.{path.parent.name}.rows")
          for path in sorted(EXPERIMENTS.glob("*/*/rows.py"))}
PAIRS = [(name, f"{name}_kl") for name in RUNS if f"{name}_kl" in RUNS]
at_every_scale = pytest.mark.parametrize("scale", SCALES)


@pytest.mark.parametrize("name", RUNS)
def test_a_run_is_called_what_it_is_called(name):
    assert RUNS[name].name == name.partition("/")[2]


@at_every_scale
@pytest.mark.parametrize("name", RUNS)
def test_a_run_can_be_built(scale, name):
    run = SCALES[scale](RUNS[name])
    with torch.device("meta"):
        total, _ = parameter_counts(build_detector(run.model))
    assert total < {"mini": 4e6, "lite": 3e7, "paper": 3e8}[scale]  # parameters
    assert replace(run) == run
    assert all(drop < run.train.iterations for drop in run.train.lr_drops)
    assert len(plain(asdict(run))) == 5


@at_every_scale
@pytest.mark.parametrize(("baseline", "kl"), PAIRS)
def test_a_kl_run_differs_from_its_baseline_in_nothing_else(scale, baseline, kl):
    changed = differences(*(plain(asdict(SCALES[scale](RUNS[name]))) for name in (baseline, kl)))
    assert {line.partition(":")[0] for line in changed} == {"name", "model.box_coding", "model.log_variance"}
    assert "model.box_coding: center_size -> edges" in changed


def test_lite_runs_with_one_name_are_one_run():
    """Tables that end up with the same network share it: its name must not hide a difference."""
    runs = {}
    for run in (SCALES["lite"](run) for run in RUNS.values()):
        assert runs.setdefault(run.name, run) == run


def test_scales():
    assert SCALES.keys() == TITLES.keys() == {"mini", "lite", "paper"}
    assert all("not comparable" in TITLES[scale] for scale in ("mini", "lite"))
    assert all(SCALES["paper"](run) == run for run in RUNS.values())


def spelled(label):
    """One spelling of a row's name: without citation marks, one space at each side of a plus."""
    return re.sub(r"\s*\+\s*", " + ", re.sub(r"\s*\[\d+\]", "", label))


@pytest.mark.parametrize("name", TABLES)
def test_rows_are_those_of_the_paper_in_its_order(name):
    printed, rows = PAPER_TABLES[name]["rows"], TABLES[name].ROWS
    assert [row.label for row in rows] == [spelled(line.get("label") or line.get("method")) for line in printed]
    assert [row.published for row in rows] == [line["metrics"] for line in printed]
    assert [row.group for row in rows] == [line.get("backbone", "") for line in printed]
    assert list(TABLES[name].COLUMNS) == PAPER_TABLES[name]["columns"]


@pytest.mark.parametrize("name", TABLES)
def test_rows_use_known_runs_and_say_what_their_labels_say(name):
    table, paper = TABLES[name], name.rpartition("_")[0]
    assert table.TITLE
    assert table.METRIC in ("coco", "voc", "latency")
    known = {id(run) for key, run in RUNS.items() if key.startswith(paper + "/")}
    for row in table.ROWS:
        assert id(row.run) in known
        if table.METRIC != "latency" and not row.missing:
            assert ("KL Loss" in row.label) == row.run.model.log_variance
            assert ("soft-NMS" in row.label) == (row.postprocess.suppression == "soft_gaussian")
            assert ("var voting" in row.label) == (row.postprocess.sigma_t > 0)
    labels = {row.label for row in table.ROWS}
    assert {label for pair in table.COMPARISONS for label in pair} <= labels


def test_the_papers_headline_is_in_table_1():
    """KL Loss, abstract: VGG-16 Faster R-CNN from 23.6 to 29.1 AP on MS-COCO."""
    rows = TABLES["kl_loss_table1"].ROWS
    assert (rows[0].published["AP"], rows[-1].published["AP"]) == (23.6, 29.1)


@pytest.mark.parametrize("name", TABLES)
def test_every_table_has_its_two_commands(name):
    paper, _, table = name.rpartition("_")
    for script in ("train.sh", "eval.sh"):
        path = EXPERIMENTS / paper / table / script
        assert path.stat().st_mode & 0o111, f"{path} is not executable"
