"""What the command line names is found, or the error lists what there is."""

import argparse
from pathlib import Path

import pytest
import torch

from data.errors import DataError
from data.mini.ambiguous import ensure_dataset
from experiments.kl_loss import runs
from experiments.kl_loss.table1 import rows
from experiments.scales import SCALES
from scripts.engine import places as lookup
from scripts.engine.places import (
    add_common_arguments,
    data_root,
    find_run,
    find_table,
    on_this_data,
    open_dataset,
    pick_device,
    run_folder,
)
from tests.tiny import TINY, arguments, tiny_dataset


def test_runs_and_tables_by_name():
    assert find_run("kl_loss/vgg16_coco_kl") is runs.vgg16_coco_kl
    assert find_table("kl_loss/table1") is rows.TABLE


@pytest.mark.parametrize(("find", "name", "sentence"), [
    (find_run, "kl_los/vgg16_coco", r"no paper 'kl_los' .*choose one of \['kl_loss'"),
    (find_run, "kl_loss/vgg17", r"no run 'vgg17' in experiments/kl_loss/runs\.py; choose one of .*'vgg16_coco'"),
    (find_run, "kl_loss/COCO", "no run 'COCO'"),  # a name in the file, but no run
    (find_run, "", "no paper ''"),
    (find_table, "kl_loss/table9", r"no table 'kl_loss/table9'; choose one of \[.*'kl_loss/table1'"),
    (find_table, "../etc", "no table"),
])
def test_an_unknown_name_lists_the_known(find, name, sentence):
    with pytest.raises(ValueError, match=sentence):
        find(name)


def test_splits_and_bad_boxes_change_the_data_only(tmp_path):
    args = arguments(tmp_path, tmp_path, splits="a+b:c", skip_bad_boxes=True)
    run = on_this_data(TINY, args)
    assert (run.data.train, run.data.test, run.data.on_bad_box) == (("a", "b"), "c", "skip")
    assert (run.model, run.train) == (TINY.model, TINY.train)
    assert on_this_data(TINY, arguments(tmp_path, tmp_path)) == TINY


@pytest.mark.parametrize("splits", ["train", "train:", ":val", ""])
def test_splits_have_two_halves(tmp_path, splits):
    with pytest.raises(ValueError, match="is not of the form TRAIN:TEST"):
        on_this_data(TINY, arguments(tmp_path, tmp_path, splits=splits))


def test_data_set_of_a_split(tmp_path):
    data = tiny_dataset(tmp_path)
    assert len(open_dataset(TINY, arguments(data, tmp_path), TINY.data.train)) == 12
    assert len(open_dataset(TINY, arguments(data, tmp_path), TINY.data.test)) == 3


def test_a_missing_data_folder_says_how_to_get_one(tmp_path):
    with pytest.raises(DataError, match=r"nowhere does not exist; pass --data-root DIR .*get_data voc2007"):
        data_root("lite", tmp_path / "nowhere", "voc")
    assert data_root("lite", tmp_path, "voc") == tmp_path


def test_devices(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert pick_device("auto").type == pick_device("cpu").type == "cpu"
    with pytest.raises(ValueError, match="--device cuda: torch sees no GPU"):
        pick_device("cuda")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert pick_device("auto").type == pick_device("cuda").type == "cuda"
    assert pick_device("cpu").type == "cpu"


def test_a_run_has_its_folder():
    assert run_folder(Path("runs"), "mini", "vgg16_coco", "kl_loss", 2) == Path("runs/mini/kl_loss/vgg16_coco/seed2")


def test_the_command_line_has_no_hyper_parameters():
    parser = argparse.ArgumentParser()
    add_common_arguments(parser)
    assert set(vars(parser.parse_args([]))) == {
        "scale", "data_root", "splits", "skip_bad_boxes", "out", "device", "workers"}  # fmt: skip


@pytest.mark.parametrize("run", [runs.vgg16_coco, runs.vggm_voc, runs.vgg16_voc_kl], ids=lambda run: run.name)
def test_the_mini_data_set_opens_in_the_layout_of_every_run(tmp_path, monkeypatch, run):
    """Both layouts hold the same images and classes; the run at mini scale names splits that are there."""
    monkeypatch.setattr(lookup, "ensure_dataset", lambda root: ensure_dataset(root, train=4, val=2))
    run = SCALES["mini"](run)
    args = arguments(tmp_path, tmp_path, scale="mini")
    train, test = (open_dataset(run, args, split) for split in (run.data.train, run.data.test))
    assert (len(train), len(test)) == (4, 2)
    assert len(train.classes) == len(test.classes) == run.model.num_classes
