"""The environment: what the command line says about data, folders and devices, and nothing about
hyper-parameters.
"""

import argparse
from pathlib import Path

import pytest
import torch

from data.errors import DataError
from data.mini.ambiguous import ensure_dataset
from experiments.kl_loss import runs
from experiments.scales import SCALES
from scripts.engine import environment as module
from scripts.engine.environment import (
    Environment,
    add_environment_options,
    data_root,
    environment_from,
    on_this_data,
    open_dataset,
    pick_device,
    scaled_run,
)
from tests.tiny import TINY, tiny_dataset


def test_splits_and_bad_boxes_change_the_data_only():
    run = on_this_data(TINY, Environment(splits="a+b:c", skip_bad_boxes=True))
    assert (run.data.train, run.data.test, run.data.on_bad_box) == (("a", "b"), "c", "skip")
    assert (run.model, run.train) == (TINY.model, TINY.train)
    assert on_this_data(TINY, Environment()) == TINY


def test_a_run_is_scaled_and_put_on_the_data():
    run = scaled_run(runs.vgg16_coco, Environment(scale="lite", splits="a:b"))
    assert run.data.test == "b"
    assert run.model == SCALES["lite"](runs.vgg16_coco).model


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({"data_root": Path("photos")}, "--data-root photos: the scale mini renders"),
        ({"splits": "train:val"}, "--splits train:val: the scale mini renders"),
        (
            {"data_root": Path("photos"), "splits": "train:val"},
            "--data-root photos --splits train:val: ",
        ),
    ],
)
def test_data_that_the_scale_would_not_read_are_refused(tmp_path, monkeypatch, given, named):
    """Nothing is rendered, least of all into the named folder."""
    monkeypatch.chdir(tmp_path)
    environment = Environment(**given)
    for attempt in (
        lambda: scaled_run(runs.vgg16_coco, environment),
        lambda: open_dataset(TINY, environment, TINY.data.train),
    ):
        with pytest.raises(ValueError, match=named) as error:
            attempt()
        assert "--scale lite or --scale paper" in str(error.value)
        assert "own/small --data DIR" in str(error.value)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("splits", ["train", "train:", ":val", ""])
def test_splits_have_two_halves(splits):
    with pytest.raises(ValueError, match="is not of the form TRAIN:TEST"):
        on_this_data(TINY, Environment(splits=splits))


def test_data_set_of_a_split(tmp_path):
    environment = Environment(scale="lite", data_root=tiny_dataset(tmp_path))
    assert len(open_dataset(TINY, environment, TINY.data.train)) == 12
    assert len(open_dataset(TINY, environment, TINY.data.test)) == 3


def test_another_layout_than_the_scale_reads_is_named(tmp_path):
    """The lite scale turns a COCO run into one that reads VOC."""
    root = tiny_dataset(tmp_path)
    environment = Environment(scale="lite", data_root=root, splits="train:val")
    run = scaled_run(runs.vgg16_coco, environment)
    with pytest.raises(DataError, match="is in the COCO layout, and mobilenet_voc at the scale"):
        open_dataset(run, environment, run.data.train)


def test_a_missing_data_folder_says_how_to_get_one(tmp_path):
    with pytest.raises(
        DataError, match=r"nowhere does not exist; pass --data-root DIR .*get_data voc2007"
    ):
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


def test_the_command_line_has_no_hyper_parameters():
    parser = argparse.ArgumentParser()
    add_environment_options(parser)
    assert set(vars(parser.parse_args([]))) == {
        "scale", "data_root", "splits", "skip_bad_boxes", "out", "device", "workers"}  # fmt: skip


def test_the_command_line_becomes_a_record():
    parser = argparse.ArgumentParser()
    add_environment_options(parser, proposals=True, unfinished=True)
    parser.add_argument("--seed", type=int, default=3)  # of the command alone
    assert environment_from(vars(parser.parse_args([]))) == Environment()
    given = [
        "--scale",
        "lite",
        "--out",
        "x",
        "--proposals",
        "a:b",
        "--unfinished",
        "--device",
        "cpu",
    ]
    assert environment_from(vars(parser.parse_args(given))) == Environment(
        scale="lite", out=Path("x"), proposals="a:b", unfinished=True, device="cpu"
    )
    assert environment_from({"scale": "paper"}) == Environment(scale="paper")


@pytest.mark.parametrize(
    "run", [runs.vgg16_coco, runs.vggm_voc, runs.vgg16_voc_kl], ids=lambda run: run.name
)
def test_the_mini_data_set_opens_in_the_layout_of_every_run(tmp_path, monkeypatch, run):
    """Both layouts hold the same images and classes; the run at mini scale names splits that are
    there.
    """
    monkeypatch.setattr(module, "ensure_dataset", lambda root: ensure_dataset(root, train=4, val=2))
    monkeypatch.chdir(tmp_path)
    run = SCALES["mini"](run)
    environment = Environment()
    train, test = (
        open_dataset(run, environment, split) for split in (run.data.train, run.data.test)
    )
    assert (len(train), len(test)) == (4, 2)
    assert len(train.classes) == len(test.classes) == run.model.num_classes
