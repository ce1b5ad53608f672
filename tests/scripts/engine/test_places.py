"""What the command line names is found, or the error lists what there is; and everything has its
folder.
"""

from dataclasses import replace
from pathlib import Path

import pytest

from experiments.kl_loss import runs
from experiments.kl_loss.table1 import rows
from scripts.engine.places import (
    RunPlace,
    find_run,
    find_table,
    seeds_of,
    table_names,
    table_place,
)


def test_runs_and_tables_by_name():
    assert find_run("kl_loss/vgg16_coco_kl") is runs.vgg16_coco_kl
    assert find_table("kl_loss/table1") is rows.TABLE


@pytest.mark.parametrize(
    ("find", "name", "sentence"),
    [
        (find_run, "kl_los/vgg16_coco", r"no paper 'kl_los' .*choose one of \['kl_loss'"),
        (
            find_run,
            "kl_loss/vgg17",
            r"no run 'vgg17' in experiments/kl_loss/runs\.py; choose one of .*'vgg16_coco'",
        ),
        (find_run, "kl_loss/COCO", "no run 'COCO'"),  # a name in the file, but no run
        (find_run, "", "no paper ''"),
        (
            find_table,
            "kl_loss/table9",
            r"no table 'kl_loss/table9'; choose one of \[.*'kl_loss/table1'",
        ),
        (find_table, "../etc", "no table"),
    ],
)
def test_an_unknown_name_lists_the_known(find, name, sentence):
    with pytest.raises(ValueError, match=sentence):
        find(name)


def test_a_run_has_its_folder():
    place = RunPlace(out=Path("runs"), scale="mini", paper="kl_loss", run="vgg16_coco", seed=2)
    assert place.folder == Path("runs/mini/kl_loss/vgg16_coco/seed2")
    assert place.candidates() == place.folder / "candidates.pt"
    assert place.candidates("val2017", rounds=2) == place.folder / "rounds2-candidates_val2017.pt"
    assert place.saved_proposals("test") == place.folder / "proposals-test.npz"


def test_a_sibling_is_another_run_of_runs_py_at_the_same_scale():
    """At lite, all backbones of a table are one network of one name."""
    place = RunPlace(
        out=Path("runs"), scale="lite", paper="kl_loss", run="mobilenet_voc_kl", seed=1
    )
    assert place.sibling("vgg16_coco").folder == Path("runs/lite/kl_loss/mobilenet_voc/seed1")
    assert replace(place, scale="mini").sibling("vgg16_coco").run == "vgg16_coco"
    with pytest.raises(ValueError, match="no run 'vgg17'"):
        place.sibling("vgg17")


def test_what_a_training_leaves(tmp_path):
    place = RunPlace(out=tmp_path, scale="mini", paper="kl_loss", run="r", seed=0)
    assert (place.is_finished, place.has_checkpoints, place.training_facts(), seeds_of(place)) == (
        False,
        False,
        None,
        [],
    )
    for seed in (0, 3):
        replace(place, seed=seed).folder.mkdir(parents=True)
    (place.folder / "step-00000001.pt").touch()
    place.finished.write_text('{"step": 1}')
    assert (place.is_finished, place.has_checkpoints, place.training_facts()) == (
        True,
        True,
        {"step": 1},
    )
    assert [other.seed for other in seeds_of(place)] == [0, 3]


def test_a_table_has_its_folder_and_knows_the_places_of_its_runs(tmp_path):
    place = table_place("kl_loss/table1", scale="mini", out=tmp_path)
    assert place.name == "kl_loss/table1"
    assert place.seed_file(2) == tmp_path / "mini" / "kl_loss" / "table1" / "seed2.json"
    assert (
        place.run_place(runs.vgg16_coco, 1).folder
        == tmp_path / "mini" / "kl_loss" / "vgg16_coco" / "seed1"
    )


def test_every_table_has_a_name():
    assert {"kl_loss/table1", "kl_rpn/figure3"} <= set(table_names())
