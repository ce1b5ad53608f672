"""Days of training: the arithmetic, and the table of the page."""

from pathlib import Path

import pytest

from scripts import training_days
from scripts.engine.full_size.training_days import EFFICIENCY, Cost, cost, days_line, tables_runs
from scripts.engine.places import find_run

PAGE = Path(__file__).parents[2] / "docs" / "scaling.md"
DAY = 86_400


def test_the_page_has_the_table_that_the_command_prints(capsys):
    assert training_days.main([]) == 0
    table = capsys.readouterr().out
    assert len(table.splitlines()) == 2 + 10 + 1
    assert table in PAGE.read_text()


def test_a_batch_uses_no_more_gpus_than_it_has_images():
    whole = Cost(images=1, operations=3 * DAY, gpus=16)
    assert whole.days(1.0, 1) == 3
    assert whole.days(1.0, 8) == pytest.approx(3 / 8 / EFFICIENCY)
    pair = Cost(images=1, operations=3 * DAY, gpus=2)
    assert pair.days(1.0, 8) == pytest.approx(3 / 2 / EFFICIENCY)
    assert Cost(images=1, operations=3 * DAY, gpus=1).days(1.0, 8) == 3


def test_a_run_costs_its_updates_times_its_images_times_a_step():
    """KL Loss' VGG-16: 490,000 updates of 2 images."""
    counts = {"kl_loss/vgg16_coco": 10, "kl_loss/r50_fpn_2x": 20}
    both = [cost(find_run(f"kl_loss/{name}"), counts) for name in ("vgg16_coco", "vgg16_coco_kl")]
    assert both == [Cost(images=980_000, operations=9_800_000, gpus=2)] * 2
    assert days_line("Table 1", both).startswith("| Table 1 | 2 | 1.96 | 0 | 2 | ")
    with pytest.raises(ValueError, match=r"r50_c4 are not counted; .* --count"):
        cost(find_run("kl_loss/r50_c4"), counts)


def test_networks_that_others_start_from_are_among_those_of_a_table():
    runs = tables_runs()
    assert {"kl_loss/r50_fpn_rpn", "kl_loss/r50_fpn_fast_2x"} < set(runs["KL Loss Table 6"])
    assert list(runs["KL Loss Figure 6"]) == ["kl_loss/r50_fpn_kl"]
