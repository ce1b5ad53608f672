"""The names of papers stand for all of their parts or for an error, never for half of the
images.
"""

from pathlib import Path

import pytest

from data.coco_splits import PAPER_SPLITS, UNLABELED, coco_parts
from data.errors import DataError


def touch(root: Path, *splits: str) -> Path:
    (root / "annotations").mkdir(parents=True, exist_ok=True)
    for split in splits:
        kind = "image_info" if split.startswith("test") else "instances"
        (root / "annotations" / f"{kind}_{split}.json").touch()
    return root


@pytest.mark.parametrize(
    ("split", "there", "parts"),
    [
        ("trainval35k", ("train2014", "valminusminival2014"), ("train2014", "valminusminival2014")),
        ("trainval35k", ("train2017", "val2017"), ("train2017",)),
        # the 2014 way is not complete
        ("trainval35k", ("train2014", "val2014", "train2017"), ("train2017",)),
        (
            "trainval35k",
            ("train2014", "valminusminival2014", "train2017"),
            ("train2014", "valminusminival2014"),
        ),
        ("minival", ("minival2014",), ("minival2014",)),
        ("minival", ("val2014", "val2017"), ("val2017",)),
        ("trainval", ("train2014", "val2014", "train2017"), ("train2014", "val2014")),
        ("trainval", ("train2017", "val2017"), ("train2017", "val2017")),
        ("test-dev", ("test-dev2015",), ("test-dev2015",)),
        ("test-dev", ("test-dev2015", "test-dev2017"), ("test-dev2017",)),
    ],
)
def test_a_name_is_the_first_way_that_is_complete(tmp_path, split, there, parts):
    assert coco_parts(touch(tmp_path, *there), split) == parts
    assert coco_parts(touch(tmp_path / "above" / "coco", *there).parent, split) == parts


@pytest.mark.parametrize("split", ["train2014", "val2017", "test-dev2017", "mine"])
def test_other_splits_are_themselves(tmp_path, split):
    assert coco_parts(tmp_path, split) == (split,)


def test_a_file_of_that_name_goes_first(tmp_path):
    assert coco_parts(touch(tmp_path, "trainval", "train2017", "val2017"), "trainval") == (
        "trainval",
    )


@pytest.mark.parametrize(
    ("split", "there"),
    [
        ("trainval35k", ("train2014",)),
        ("trainval35k", ("valminusminival2014",)),
        ("trainval", ("train2017",)),
        ("trainval", ("train2014", "val2017")),
        ("trainval35k", ("train2014", "val2014")),
    ],
)
def test_half_of_the_data_is_an_error(tmp_path, split, there):
    with pytest.raises(
        DataError, match=rf"'{split}' is .* hold the annotation file of only {there[0]}\b"
    ):
        coco_parts(touch(tmp_path, *there), split)


@pytest.mark.parametrize("split", PAPER_SPLITS)
def test_without_files_both_ways_and_the_command_are_named(tmp_path, split):
    with pytest.raises(DataError) as error:
        coco_parts(tmp_path, split)
    alternatives = " or ".join(map(" + ".join, PAPER_SPLITS[split]))
    fetched = "coco2017test" if split in UNLABELED else "coco2017"
    for part in (
        f"'{split}' is {alternatives},",
        "none of these",
        str(tmp_path),
        f"python -m scripts.get_data {fetched}",
    ):
        assert part in str(error.value)
