"""Which images scripts.score scores on, where the command line does not name a split."""

from dataclasses import replace
from pathlib import Path

import pytest

from data.errors import DataError
from data.finding.records import FoundLayout, FoundSplit
from scripts.engine.score.data import LabeledFolder, default_split, is_paper_split, open_labeled
from tests.tiny import TINY, tiny_dataset


def found(*names):
    splits = tuple(FoundSplit(name=n, labels=Path("labels"), images=Path("images")) for n in names)
    return FoundLayout(layout="coco", root=Path("photos"), splits=splits, sentences=())


def run_with_split(split):
    return replace(TINY, data=replace(TINY.data, test=split))


@pytest.mark.parametrize(
    ("names", "run", "split"),
    [
        (("train", "val", "test"), run_with_split("test"), "test"),
        (("train", "val", "test"), run_with_split("2007_test"), "test"),
        (("train", "val", "test"), run_with_split("minival"), "val"),
        (("train", "val", "test"), None, "val"),
        (("train", "test"), None, "test"),
        (("photos",), None, "photos"),
        (("train",), run_with_split("val"), "train"),
    ],
)
def test_the_runs_own_split_goes_before_validation_and_test(names, run, split):
    assert default_split(found(*names), run) == split


def test_several_splits_without_a_role_have_to_be_named():
    with pytest.raises(DataError, match="Name them with --split: north, south"):
        default_split(found("north", "south"), None)


@pytest.mark.parametrize(
    ("split", "expected"),
    [("minival", True), ("2007_test", True), ("val2017", False), ("val", False), ("20_val", False)],
)
def test_names_of_the_papers(split, expected):
    assert is_paper_split(split) == expected


def test_a_split_with_a_year_has_vocs_classes(tmp_path):
    """The mini scenes in VOC's layout have other classes, which shows that it was opened so."""
    root = tiny_dataset(tmp_path).parent
    with pytest.raises(DataError, match="is unknown; the classes are aeroplane, bicycle"):
        open_labeled(LabeledFolder(root=root, split="2007_test"), None)


@pytest.mark.parametrize("places", [{}, {"root": Path(), "annotations": Path("a.json")}])
def test_the_images_are_named_in_one_way(places):
    with pytest.raises(DataError, match="Give --data DIR, or --annotations FILE"):
        open_labeled(LabeledFolder(**places), None)


@pytest.mark.parametrize("split", [None, "2007_test", "minival"])
def test_images_beside_a_folder_are_refused_whatever_the_split(tmp_path, split):
    folder = LabeledFolder(root=tmp_path, images=tmp_path, split=split)
    with pytest.raises(DataError, match="--images goes with --annotations"):
        open_labeled(folder, None)
