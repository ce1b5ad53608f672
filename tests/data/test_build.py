"""From names of splits to data sets."""

from dataclasses import replace

import pytest

from data.build import build_dataset
from data.errors import DataError
from tests.data.synthetic import CONFIG, take
from tests.data.test_coco import GOOD, write_images_only
from tests.data.test_coco import write as write_coco
from tests.data.test_voc import thing
from tests.data.test_voc import write as write_voc


def test_voc_boxes_have_no_masks(tmp_path):
    write_voc(tmp_path / "VOC2007", {"a": thing()})
    with pytest.raises(
        DataError,
        match="'2007_trainval' is in the VOC layout, whose annotations have boxes but no masks",
    ):
        build_dataset(replace(CONFIG, layout="voc", masks=True), tmp_path, "2007_trainval")
    with pytest.raises(DataError, match="opened without them"):
        build_dataset(replace(CONFIG, layout="voc"), tmp_path, ("2007_trainval",)).segments(0)


def test_build_dataset_reads_both_layouts(tmp_path):
    write_coco(tmp_path, GOOD, split="train2014")
    assert build_dataset(CONFIG, tmp_path, "train2014").image_ids == (7, 5)
    voc = replace(CONFIG, layout="voc")
    write_voc(tmp_path / "VOCdevkit" / "VOC2007", {"a": thing()})
    write_voc(tmp_path / "VOCdevkit" / "VOC2012", {"a": thing(), "b": thing()})
    assert build_dataset(voc, tmp_path, "2007_trainval").image_ids == ("a",)
    both = build_dataset(voc, tmp_path, ("2007_trainval", "2012_trainval"))
    assert both.image_ids == ("2007_trainval/a", "2012_trainval/a", "b")
    write_voc(tmp_path / "cells", {"c": thing("cell")}, split="train")
    assert build_dataset(voc, tmp_path / "cells", "train").classes == ("cell",)


def test_build_dataset_resolves_the_names_of_papers(tmp_path):
    """The halves of val2014 have images of their own in one folder; here both parts hold the same
    two ids.
    """
    write_coco(tmp_path, GOOD, split="train2014")
    write_coco(tmp_path, GOOD, split="valminusminival2014", info={"image_folder": "val2014"})
    both = build_dataset(CONFIG, tmp_path, ("trainval35k",))
    assert both.image_ids == (
        "train2014/7",
        "train2014/5",
        "valminusminival2014/7",
        "valminusminival2014/5",
    )
    assert both[3].image.shape == (3, 50, 30)
    write_images_only(tmp_path, split="test-dev2017", folder="test2017")
    assert build_dataset(CONFIG, tmp_path, "test-dev").image_ids == (7, 5)
    with pytest.raises(DataError, match="'minival' is minival2014 or val2017"):
        build_dataset(CONFIG, tmp_path, "minival")
    with pytest.raises(DataError, match="none with an object to train on"):
        take(
            build_dataset(CONFIG, tmp_path, "test-dev2017"),
            1,
            config=replace(CONFIG, train_empty=True),
        )
