"""The report: means and spreads over seeds, differences within a seed, rows that were not run."""

import json

import pytest

from experiments.kl_loss.runs import vgg16_coco
from experiments.records import Row, Table
from postprocess.pipeline import PostprocessConfig
from scripts.reports.provenance import provenance
from scripts.reports.results import Results, cell, csv_text, markdown_table, stored_seeds
from scripts.reports.tables import comparison_grid, csv_lines, main_grid

ROWS = tuple(
    Row(label=label, run=vgg16_coco, postprocess=PostprocessConfig(), printed=(ap,))
    for label, ap in (("base", 20.0), ("better", 22.0))
)
TABLE = Table(
    title="t", metric="coco", rows=ROWS, columns=("AP",), comparisons=(("better", "base"),)
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
            }
            for row, value in zip(ROWS, values, strict=True)
        ],
    }


def test_a_cell_is_mean_and_sample_deviation_of_what_is_there():
    assert str(cell([10.0, 14.0])) == "12.0 ± 2.8"  # deviations -2, +2: sqrt(8 / 1)
    assert str(cell([10.0, None, float("nan")])) == "10.0"
    assert str(cell([0.5])) == "0.50"
    assert str(cell([None])) == "not run"


def test_a_count_has_two_digits_and_no_spread():
    assert str(cell([138.31, 138.31], constant=True)) == "138.31"


def test_rows_of_ours_and_cited_rows_are_marked():
    rows = (
        Row(
            label="theirs",
            run=vgg16_coco,
            postprocess=PostprocessConfig(),
            printed=(1.0,),
            cited="a paper",
        ),
        Row(label="new", run=vgg16_coco, postprocess=PostprocessConfig(), added=True),
    )
    table = Table(
        title="t", metric="coco", rows=rows, columns=("AP",), notes={"paper": ("a proxy",)}
    )
    results = Results(table, [{"seed": 0, "device": "CPU", "rows": []}])
    text = str(main_grid(results, None, comparable=False))
    assert "| paper (cited) " in text
    assert "| new (ours) | no such row in the paper | -" in text
    assert provenance(results, "paper")[-2:] == [
        "cited by the paper: theirs from a paper",
        "a proxy",
    ]
    assert "a proxy" not in provenance(results, "mini")


def test_a_step_is_differenced_within_each_seed():
    """Seeds move both rows by 10, the step is 1 and 2: spread 0.71, not the 7 of the rows."""
    results = Results(TABLE, [seed(10.0, 11.0), seed(20.0, 22.0)])
    step = results.comparison(1, 0, "AP", None)
    assert step.mean == pytest.approx(1.5)
    assert step.spread == pytest.approx(0.5**0.5)
    assert "+2.0 / +1.50 ± 0.71" in str(comparison_grid(results, ["AP"], None))


def test_a_row_that_was_not_run_stays_visible():
    text = str(main_grid(Results(TABLE, [seed(10.0, None)]), None, comparable=True))
    lines = [[part.strip() for part in line.split("|")[1:-1]] for line in text.splitlines()[2:]]
    assert lines == [
        ["base", "paper", "20"],
        ["", "ours", "10.0"],
        ["", "difference", "-10.0"],
        ["better", "paper", "22"],
        ["", "ours", "not run"],
        ["", "difference", "-"],
    ]


def test_rows_are_found_by_name_whatever_their_order():
    swapped = seed(10.0, 11.0)
    swapped["rows"].reverse()
    assert Results(TABLE, [swapped]).values(0, "AP") == [10.0]
    del swapped["rows"][0]
    assert Results(TABLE, [swapped]).values(1, "AP") == [None]


def test_the_csv_counts_the_seeds_behind_each_number():
    text = csv_text(csv_lines(Results(TABLE, [seed(10.0, 11.0), seed(14.0, None)])))
    assert text.splitlines()[1:] == [
        ",base,labels,AP,20.0,12.0,-8.0,2.8284,2",
        ",better,labels,AP,22.0,11.0,-11.0,,1",
    ]


def test_a_markdown_table_is_aligned():
    assert markdown_table(["a", "long"], [["xyz", "1"]]).splitlines() == [
        "| a   | long |",
        "| --- | ---- |",
        "| xyz | 1    |",
    ]


def test_seed_10_comes_after_seed_2(tmp_path):
    for number in (0, 2, 10):
        (tmp_path / f"seed{number}.json").write_text(json.dumps({"seed": number, "rows": []}))
    assert [one["seed"] for one in stored_seeds(tmp_path)] == [0, 2, 10]
