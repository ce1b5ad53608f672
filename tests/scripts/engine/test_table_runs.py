"""A network comes after what it starts from and after what proposes for it, and is trained once."""

from dataclasses import replace
from typing import get_args

import pytest

from experiments.records import Command
from experiments.scales import SCALES, at_scale
from scripts.engine.places import EXPERIMENTS, find_table, runs_of
from scripts.engine.table_runs import COMMANDS, training_order, training_rounds

TABLES = sorted("/".join(path.parts[-3:-1]) for path in EXPERIMENTS.glob("*/*/rows.py"))


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("name", TABLES)
def test_every_run_of_a_table_comes_once_after_what_it_needs(name, scale):
    table, paper = find_table(name), name.partition("/")[0]
    names = [at_scale(run, scale).name for run in training_order(table, paper, scale)]
    if table.command == "benchmark":
        assert names == []
        return
    assert len(names) == len(set(names))
    assert {at_scale(row.run, scale).name for row in table.rows} <= set(names)
    runs = runs_of(paper)
    for run in training_order(table, paper, scale):
        for needed in {run.start, run.proposals} & runs.keys():
            before = names.index(at_scale(runs[needed], scale).name)
            assert before < names.index(at_scale(run, scale).name)


def test_a_round_needs_earlier_rounds_alone():
    """Table 6: Fast R-CNN learns from the proposals of a network, its IoU head on a Fast R-CNN."""
    rounds = training_rounds(find_table("kl_loss/table6"), "kl_loss", "mini")
    assert [sorted(run.name.removeprefix("r50_fpn_") for run in runs) for runs in rounds] == [
        ["1x", "2x", "iou", "kl", "rpn"],
        ["fast_1x", "fast_2x", "fast_kl"],
        ["fast_iou"],
    ]


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("name", TABLES)
def test_no_run_needs_one_of_its_own_or_a_later_round(name, scale):
    paper = name.partition("/")[0]
    runs, before = runs_of(paper), set()
    for round_ in training_rounds(find_table(name), paper, scale):
        for run in round_:
            scaled = at_scale(run, scale)
            needed = {scaled.start, scaled.proposals} & runs.keys()
            assert {at_scale(runs[other], scale).name for other in needed} <= before
        before |= {at_scale(run, scale).name for run in round_}


def test_a_starting_network_and_proposals_come_first_even_if_no_row_shows_them():
    table = find_table("kl_loss/table6")
    # IoU-NMS, on the finished baseline
    one_row = replace(table, rows=table.rows[2:3], comparisons=())
    order = [run.name for run in training_order(one_row, "kl_loss", "mini")]
    assert order == ["r50_fpn_rpn", "r50_fpn_fast_2x", "r50_fpn_fast_iou"]


def test_runs_that_a_scale_makes_equal_are_trained_once():
    table = find_table("kl_loss/table5")
    assert len(training_order(table, "kl_loss", "mini")) == 4
    assert [run.name for run in training_order(table, "kl_loss", "lite")] == [
        "vggm_voc",
        "vggm_voc_kl",
    ]


def test_every_command_of_a_table_is_known():
    assert COMMANDS.keys() == set(get_args(Command))
    scripts = EXPERIMENTS.parent / "scripts"
    assert all((scripts / f"{name}.py").is_file() for names in COMMANDS.values() for name in names)
