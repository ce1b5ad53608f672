"""The results of one seed of a table as they are kept: what was measured, with what, and when."""

import datetime
import re
from collections.abc import Mapping, Sequence
from typing import Any

from data.coco_splits import PAPER_SPLITS
from data.scoring.coco_evaluators import evaluator_with_version
from experiments.records import Row, Run, Table
from scripts.engine.environment import Environment, device_name, scaled_run
from scripts.engine.evaluation.recipe_key import row_recipe
from scripts.engine.files import json_safe
from scripts.engine.git import NO_COMMIT, git, has_changes
from scripts.engine.places import RunPlace, TablePlace
from scripts.engine.results_version import RESULTS_VERSION
from scripts.engine.run_folder.finished import finished_network, last_is_lost
from scripts.engine.run_folder.starts import training_commit

PAPERS_NAME = re.compile(r"\d{4}_\w+|[a-z-]+\d{4}")  # "2007_test", "val2017"
Line = dict[str, Any]  # a row with its numbers, "metrics", and what was run


def row_line(row: Row, run: Run) -> Line:
    """A row without numbers."""
    return {"group": row.group, "label": row.label, "run": run.name, "metrics": None}


def missing_line(row: Row, run: Run, place: RunPlace) -> Line:
    """A row that was not run, and why."""
    return {**row_line(row, run), "why": row.missing or not_trained(place)}


def not_trained(place: RunPlace) -> str:
    """Why a row was not run: its network is not there, or not finished."""
    if place.is_finished and finished_network(place) is None:
        return f"{last_is_lost(place)}; --unfinished takes the newest whole checkpoint"
    if place.has_checkpoints:
        return f"the network in {place.name} is not finished; train on, or add --unfinished"
    return f"no trained network in {place.name}"


def run_facts(place: RunPlace, updates: int, of_updates: int, test_data: Mapping[str, str]) -> Line:
    """What a row says about its network beside the numbers, and on what it was measured.

    Args:
        place: of the run.
        updates, of_updates: that were made, and that were planned.
        test_data: {name of a test set: hash}.
    """
    commit = training_commit(place.starts)
    return {
        "updates": updates,
        "of_updates": of_updates,
        "training": place.training_facts(),
        **({} if commit is None else {"training_commit": commit}),
        "test_data": dict(test_data),
    }


def seed_header(place: TablePlace, environment: Environment, seed: int) -> dict[str, Any]:
    """Which table, scale and seed was measured, on what, and with which version of the code."""
    return {
        "table": place.name,
        "scale": environment.scale,
        "seed": seed,
        "device": device_name(environment.device),
        **own_splits(environment.splits),
        **commit_and_date(),
        "results_version": RESULTS_VERSION,
    }


def own_splits(splits: str | None) -> dict[str, str]:
    """{"own_splits"} of data that no paper measures on, {} otherwise.

    Args:
        splits: "TRAIN:TEST" of the command line; None: those of the run.
    """
    test = None if splits is None else splits.partition(":")[2]
    if not test or test in PAPER_SPLITS or PAPERS_NAME.fullmatch(test):
        return {}
    return {"own_splits": str(splits)}


def seed_results(
    table: Table, place: TablePlace, environment: Environment, seed: int, lines: Sequence[Line]
) -> dict[str, Any]:
    """The results of one seed; NaN becomes null.

    Args:
        table: what was measured.
        place: of the table.
        environment: of the command.
        seed: of the networks.
        lines: one for each row.
    """
    rows = [
        {**line, "recipe": row_recipe(row, place.paper, environment)}
        for row, line in zip(table.rows, lines, strict=True)
    ]
    scorer = {"coco_evaluator": evaluator_with_version()} if table.metric == "coco" else {}
    return {**seed_header(place, environment, seed), **scorer, "rows": json_safe(rows)}


def scaled_runs(table: Table, environment: Environment) -> dict[str, Run]:
    """The runs of a table at the scale and on the data of a command, by their names in runs.py."""
    return {row.run.name: scaled_run(row.run, environment) for row in table.rows}


def lines_of_runs(table: Table, environment: Environment, facts: Mapping[str, Line]) -> list[Line]:
    """One line for each row of a table in which all rows of a run have the same numbers.

    Args:
        table: what was measured.
        environment: of the command.
        facts: "metrics" and ``run_facts``, or "why", of each run by its name at this scale.
    """
    runs = scaled_runs(table, environment)
    lines = []
    for row in table.rows:
        run = runs[row.run.name]
        known = {"why": row.missing} if row.missing else facts[run.name]
        lines.append({**row_line(row, run), **known})
    return lines


def commit_and_date() -> dict[str, str]:
    """{"commit", "date"} of an evaluation that happens now.

    The commit is git's short hash, with "+changes" if the code differs from it (``has_changes``),
    and NO_COMMIT outside a repository. The date is ISO 8601.
    """
    changes = "+changes" if has_changes() else ""
    commit = git("rev-parse", "--short", "HEAD") + changes
    date = datetime.date.today().isoformat()
    return {"commit": commit or NO_COMMIT, "date": date}
