"""What a scale may replace: the size of a paper's run, and nothing of a run that someone added."""

from dataclasses import replace

import pytest

from experiments.kl_loss import runs
from experiments.scales import SCALES
from scripts.engine.places import papers, runs_of
from scripts.engine.training.kept_by_scale import (
    check_keeps_own_run,
    is_needed_by_a_table,
    overridden,
)

MINE = replace(
    runs.vgg16_voc_kl, name="mine", train=replace(runs.vgg16_voc_kl.train, iterations=200)
)


@pytest.mark.parametrize("paper", ["kl_loss", "kl_rpn"])
def test_every_run_of_a_paper_is_needed_by_a_table(paper):
    """Also those that only others start from, and the one whose proposals others use."""
    assert paper in papers()
    assert all(is_needed_by_a_table(f"{paper}/{name}") for name in runs_of(paper))
    assert not is_needed_by_a_table(f"{paper}/mine")


def test_what_a_scale_would_replace_is_named_and_refused():
    """200 updates of one's own would become lite's 2,360 of another network."""
    with pytest.raises(ValueError, match="kl_loss/mine is in no table") as error:
        check_keeps_own_run("kl_loss/mine", MINE, SCALES["lite"](MINE), "lite")
    for change in ("name: mine -> mobilenet_voc_kl", "train.iterations: 200 -> 2360"):
        assert change in str(error.value)
    assert "--scale paper" in str(error.value)


def test_a_layout_and_splits_that_would_be_replaced_are_named():
    coco = replace(runs.vgg16_coco_kl, name="mine")
    changed = overridden(coco, SCALES["lite"](coco))
    assert "data.layout: coco -> voc" in changed
    assert "data.test: val2014 -> 2007_test" in changed


def test_a_run_as_it_is_written_and_the_papers_runs_are_fine():
    check_keeps_own_run("kl_loss/mine", MINE, SCALES["paper"](MINE), "paper")
    run = runs.vgg16_voc_kl
    check_keeps_own_run("kl_loss/vgg16_voc_kl", run, SCALES["lite"](run), "lite")
