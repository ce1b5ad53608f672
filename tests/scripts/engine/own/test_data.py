"""What is found in a folder: which splits are trained and validated on, and what is said of it."""

import json
from pathlib import Path

import pytest

from data.errors import DataError
from data.finding.records import FoundLayout, FoundSplit
from data.mini.ambiguous import write_dataset
from scripts.engine.own.data import (
    HELD_BACK,
    OwnFolder,
    alike,
    chosen_splits,
    find_data,
    open_own_data,
)


def layout(*names):
    splits = tuple(FoundSplit(name=name, labels=Path(), images=Path()) for name in names)
    return FoundLayout(layout="coco", root=Path("photos"), splits=splits, sentences=())


@pytest.mark.parametrize(
    ("names", "given", "expected"),
    [
        (("test", "train", "trainval", "val"), None, ("train", "val")),
        (("train", "valid"), None, ("train", "valid")),
        (("train", "test"), None, ("train", HELD_BACK)),  # the test split stays unseen
        (("all",), None, ("all", HELD_BACK)),
        (("a", "b"), "a:b", ("a", "b")),
        (("a", "b"), "b", ("b", HELD_BACK)),
        (("train", "val"), "train:", ("train", HELD_BACK)),
    ],
)
def test_splits_by_their_names_or_as_they_are_given(names, given, expected):
    assert chosen_splits(layout(*names), given) == expected


def test_splits_whose_names_say_nothing_are_asked_for():
    with pytest.raises(DataError, match=r"photos has the splits a, b; which is trained on\?"):
        chosen_splits(layout("a", "b"), None)
    with pytest.raises(DataError, match="names no split"):
        chosen_splits(layout("a"), ":b")


def test_names_that_look_alike_are_flagged():
    assert alike(["cat", "dog"]) == []
    (sentence,) = alike(["Cat", "cat", "traffic light", "traffic_light", "dog"])
    assert "'Cat', 'cat', 'traffic light', 'traffic_light' are different classes" in sentence


def test_results_are_called_after_the_data(tmp_path):
    assert OwnFolder(root=tmp_path / "photos").name == "photos"
    assert OwnFolder(root=None, annotations=Path("a/cells.json"), images=tmp_path).name == "cells"
    both = OwnFolder(root=tmp_path, annotations=Path("a/cells.json"), images=tmp_path)
    with pytest.raises(DataError, match=r"--data .* goes without --annotations and --images"):
        find_data(both)
    with pytest.raises(DataError, match="belong together"):
        find_data(OwnFolder(root=tmp_path, images=tmp_path))
    with pytest.raises(DataError, match="Which images"):
        find_data(OwnFolder(root=None))


def test_images_without_objects_are_said_to_be_left_out_or_trained_on(tmp_path):
    root = write_dataset(tmp_path / "set", seed=0, train=2, val=1) / "coco"
    file = root / "annotations" / "instances_train.json"
    content = json.loads(file.read_text())
    empty = content["images"][0]["id"]
    content["annotations"] = [line for line in content["annotations"] if line["image_id"] != empty]
    file.write_text(json.dumps(content))
    left_out = "are left out; --empty-images trains on them as background"
    for train_empty, use in ((False, left_out), (True, "are trained on as background")):
        data = open_own_data(OwnFolder(root=root), train_empty=train_empty)
        assert f"note: 1 training images have no object and {use}" in data.sentences
