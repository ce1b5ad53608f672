"""What is printed: steps first, then paper, committed and new numbers, on one screen."""

import json
from dataclasses import replace

import pytest

from experiments.kl_loss.runs import vgg16_coco
from experiments.records import Row, Table
from postprocess.pipeline import PostprocessConfig
from scripts.engine.places import find_table
from scripts.reports.results import Results
from scripts.reports.summary import (
    Column,
    Summary,
    rows_table,
    steps_table,
    summary_text,
    warning_lines,
)
from scripts.reports.tables import table_summary
from tests.scripts.reports.test_committed_results import EXPERIMENTS, PATHS, REPORTS

AP = Column(heading="AP", name="AP")
ROWS = tuple(
    Row(label, vgg16_coco, PostprocessConfig(), (ap,))
    for label, ap in (("base", 20.0), ("better", 22.0))
)
TABLE = Table(
    title="a table", metric="coco", rows=ROWS, columns=("AP",), comparisons=(("better", "base"),)
)
OURS = Table(
    title="ours",
    metric="coco",
    rows=tuple(Row(row.label, row.run, row.postprocess) for row in ROWS),
    columns=("AP",),
    comparisons=(("better", "base"),),
)


def seed(*values):
    return {
        "seed": 0,
        "device": "CPU",
        "rows": [
            {
                "group": "",
                "label": row.label,
                "run": "r",
                "metrics": None if value is None else {"AP": value},
                **({"why": "no network"} if value is None else {}),
            }
            for row, value in zip(ROWS, values, strict=True)
        ],
    }


def cells(text):
    return [[part.strip() for part in line.split("|")[1:-1]] for line in text.splitlines()]


def test_steps_stand_beside_the_papers():
    assert cells(steps_table(Results(TABLE, [seed(10.0, 11.0), seed(20.0, 22.0)]), [AP]))[2:] == [
        ["better - base", "+2.0 / +1.50"]
    ]
    assert cells(steps_table(Results(OURS, [seed(10.0, 11.0)]), [AP]))[2:] == [
        ["better - base", "+1.00"]
    ]


def test_rows_show_paper_committed_and_yours():
    yours, committed = (
        Results(TABLE, [seed(10.0, 11.0)]),
        Results(TABLE, [seed(12.0, 13.0), seed(14.0, 15.0)]),
    )
    assert cells(rows_table(yours, committed, [AP])) == [
        ["row", "AP: paper", "committed (2 seeds)", "yours (1 seed)"],
        ["-" * n for n in (6, 9, 19, 14)],
        ["base", "20", "13.0 ± 1.4", "10.0"],
        ["better", "22", "14.0 ± 1.4", "11.0"],
    ]
    assert cells(rows_table(yours, Results(TABLE, []), [AP]))[0] == [
        "row",
        "AP: paper",
        "yours (1 seed)",
    ]
    assert cells(rows_table(Results(OURS, yours.seeds), Results(OURS, []), [AP, AP]))[0] == [
        "row",
        "AP: yours",
        "AP: yours",
    ]


def test_rows_that_were_not_run_are_counted_with_a_reason():
    text = summary_text(
        Results(TABLE, [seed(10.0, None)]),
        Results(TABLE, []),
        "mini",
        Summary(steps=[AP], rows=[AP]),
    )
    assert text.splitlines()[:3] == [
        "a table",
        "mini (synthetic scenes): trend only, not comparable with the paper's numbers",
        "yours: 1 seed",
    ]
    assert text.splitlines()[-1] == "not run: 1 of 2 rows; better: no network"


def test_a_row_that_was_not_run_counts_once():
    """However many seeds lack it, each for a reason of its own; groups may share a label."""
    groups = tuple(replace(ROWS[0], group=group) for group in ("first", "second"))
    table = replace(TABLE, rows=groups, comparisons=())
    lines = [
        {"group": row.group, "label": row.label, "run": "r", "metrics": None} for row in groups
    ]
    seeds = [
        {"seed": i, "rows": [line | {"why": f"no seed{i}"} for line in lines]} for i in range(3)
    ]
    assert warning_lines(Results(table, seeds)) == ["not run: 2 of 2 rows; base: no seed0"]


@pytest.mark.parametrize(
    "path",
    [path for path in PATHS if "_" not in path.stem],
    ids=lambda path: path.relative_to(EXPERIMENTS).as_posix(),
)
def test_a_screen_holds_every_summary(path):
    table, seeds = find_table("/".join(path.parts[-4:-2])), json.loads(path.read_text())
    results = Results(table, seeds)
    if table.metric in REPORTS:
        text = REPORTS[table.metric](results, results, path.stem).summary
    else:
        text = table_summary(results, results, path.stem)
    lines = text.splitlines()
    assert len(lines) <= 42
    assert max(map(len, lines)) <= 120
