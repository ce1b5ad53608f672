"""Laws of the mini data set's files: both layouts say what was rendered, and a folder is whole or
not there.
"""

import json
import os
import socket
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
import torch
from PIL import Image

from data.coco import CocoDataset
from data.errors import DataError
from data.mini import ambiguous
from data.mini.ambiguous import STAMP, ensure_dataset, main, write_dataset
from data.mini.appearance import CLASSES, window
from data.mini.scenes import scene
from data.voc import VocDataset


def files(root):
    return {
        path.relative_to(root): path.read_bytes()
        for path in sorted(root.rglob("*"))
        if path.is_file()
    }


def coco(root, split):
    return json.loads((root / "coco" / "annotations" / f"instances_{split}.json").read_text())


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return write_dataset(tmp_path_factory.mktemp("mini") / "set", seed=3, train=6, val=4)


def test_writing_twice_gives_the_same_bytes(root, tmp_path):
    again = write_dataset(tmp_path / "again", seed=3, train=6, val=4)
    assert files(again) == files(root)


def test_images_do_not_depend_on_the_counts(root, tmp_path):
    other = write_dataset(tmp_path / "other", seed=3, train=2, val=5)
    common = files(other).keys() & files(root).keys()
    pictures = [path for path in common if path.suffix in (".jpg", ".xml")]
    assert len(pictures) == 3 * (2 + 4)
    assert all(files(other)[path] == files(root)[path] for path in pictures)


@pytest.mark.parametrize(
    ("split", "voc_split", "count"), [("train", "trainval", 6), ("val", "test", 4)]
)
def test_both_layouts_say_the_same(root, split, voc_split, count):
    from_coco = CocoDataset(root / "coco", split)
    from_voc = VocDataset(
        root / "VOCdevkit", 2007, voc_split, classes=tuple(look.name for look in CLASSES)
    )
    assert from_coco.classes == from_voc.classes
    assert from_coco.sizes == from_voc.sizes
    assert len(from_coco) == len(from_voc) == count
    for i in range(count):
        first, second = from_coco[i], from_voc[i]
        assert torch.equal(first.image, second.image)
        torch.testing.assert_close(first.target.boxes, second.target.boxes, atol=2e-3, rtol=0)
        assert torch.equal(first.target.labels, second.target.labels)
        assert (
            first.target.sigma_true.shape
            == first.target.clean_boxes.shape
            == first.target.boxes.shape
        )


def test_files_hold_what_was_rendered(root):
    drawn = scene(3, "val", 2)
    data = coco(root, "val")
    entry = data["images"][2]
    with Image.open(root / "coco" / "val" / entry["file_name"]) as image:
        difference = np.asarray(image).astype(int) - drawn.image
    assert abs(difference).mean() < 6  # JPEG
    found = [a for a in data["annotations"] if a["image_id"] == entry["id"]]
    for a, label, box, clean, sigma in zip(
        found, drawn.labels, drawn.boxes, drawn.clean_boxes, drawn.sigma_true, strict=True
    ):
        assert a["category_id"] == label
        assert a["iscrowd"] == 0
        np.testing.assert_allclose(a["bbox"], [*box[:2], *(box[2:] - box[:2])], atol=1e-6)
        np.testing.assert_allclose(
            a["clean_bbox"], [*clean[:2], *(clean[2:] - clean[:2])], atol=1e-6
        )
        np.testing.assert_allclose(a["sigma_true"], sigma)
    assert [a["id"] for a in data["annotations"]] == list(range(1, len(data["annotations"]) + 1))
    assert data["categories"][0] == {"id": 1, "name": "brick", "supercategory": "thing"}


def test_masks_are_the_visible_pixels_of_what_was_rendered(root):
    data = CocoDataset(root / "coco", "val", masks=True)
    for index in range(4):
        drawn, masks = scene(3, "val", index), data[index].target.masks.bool()
        assert masks.shape == (len(drawn.labels), *drawn.image.shape[:2])
        for mask, box, visible in zip(masks, drawn.clean_boxes, drawn.visible, strict=True):
            assert np.array_equal(mask[window(box)], visible)
            assert mask.sum() == visible.sum() > 0


def test_an_object_without_a_visible_pixel_keeps_an_empty_mask(tmp_path, monkeypatch):
    drawn = scene(3, "train", 0)
    hidden = replace(drawn, visible=(np.zeros_like(drawn.visible[0]), *drawn.visible[1:]))
    monkeypatch.setattr(ambiguous, "scene", lambda *key: hidden)
    data = CocoDataset(
        write_dataset(tmp_path / "set", train=1, val=1) / "coco", "train", masks=True
    )
    assert len(data[0].target.masks) == len(data[0].target.labels) == len(drawn.labels)
    assert not data[0].target.masks[0].any()
    assert data[0].target.masks[1].any()


def test_val_clean_differs_from_val_in_the_boxes_only(root):
    noisy, clean = coco(root, "val"), coco(root, "val_clean")
    assert clean["info"]["image_folder"] == "val"
    assert clean["images"] == noisy["images"]
    for a, b in zip(noisy["annotations"], clean["annotations"], strict=True):
        assert b["bbox"] == b["clean_bbox"] == a["clean_bbox"]
        assert a["bbox"] != b["bbox"]
        assert {k: v for k, v in a.items() if k not in ("bbox", "area")} == {
            k: v for k, v in b.items() if k not in ("bbox", "area")
        }


def test_voc_boxes_are_one_based_with_two_decimals(root):
    drawn = scene(3, "train", 0)
    tree = ElementTree.parse(root / "VOCdevkit" / "VOC2007" / "Annotations" / "000001.xml")
    for thing, label, box in zip(tree.findall("object"), drawn.labels, drawn.boxes, strict=True):
        values = [thing.findtext(f"bndbox/{tag}") for tag in ("xmin", "ymin", "xmax", "ymax")]
        assert values == [f"{v:.2f}" for v in box + np.array([1, 1, 0, 0])]
        assert thing.findtext("name") == CLASSES[label - 1].name


def test_ensure_renders_only_if_the_stamp_differs(tmp_path, monkeypatch):
    rendered = []
    original = ambiguous.scene
    monkeypatch.setattr(ambiguous, "scene", lambda *key: rendered.append(key) or original(*key))
    target = tmp_path / "deep" / "mini"
    assert ensure_dataset(target, seed=1, train=1, val=1) == target
    assert len(rendered) == 2
    ensure_dataset(target, seed=1, train=1, val=1)
    assert len(rendered) == 2
    ensure_dataset(target, seed=2, train=1, val=1)
    assert len(rendered) == 4
    (target / STAMP).write_text("{")
    ensure_dataset(target, seed=2, train=1, val=1)
    assert len(rendered) == 6
    monkeypatch.setattr(ambiguous, "VERSION", ambiguous.VERSION + 1)
    ensure_dataset(target, seed=2, train=2, val=1)
    assert len(rendered) == 9
    assert len(list((target / "coco" / "train").iterdir())) == 2
    assert [path.name for path in target.parent.iterdir()] == ["mini"]  # nothing is left beside it


def test_a_failure_leaves_the_earlier_data_set_and_no_rest(tmp_path, monkeypatch):
    target = write_dataset(tmp_path / "mini", train=1, val=1)
    before = files(target)

    def full(*key):
        raise OSError("no space left")

    monkeypatch.setattr(ambiguous, "scene", full)
    with pytest.raises(OSError, match="no space left"):
        write_dataset(target, train=2, val=1)
    assert files(target) == before
    assert list(tmp_path.iterdir()) == [target]


def test_a_foreign_folder_is_left_alone(tmp_path):
    (tmp_path / "thesis.txt").write_text("two years")
    with pytest.raises(DataError, match=r"is not a mini data set.*choose an empty or new folder"):
        write_dataset(tmp_path, train=1, val=1)
    assert (tmp_path / "thesis.txt").read_text() == "two years"
    with pytest.raises(DataError, match="is not a mini data set"):
        write_dataset(tmp_path / "thesis.txt", train=1, val=1)


@pytest.mark.parametrize("counts", [{"train": 0}, {"val": 0}, {"train": 100_001}])
def test_counts_out_of_range_are_refused(tmp_path, counts):
    with pytest.raises(DataError, match="asked for"):
        write_dataset(tmp_path / "mini", **counts)


def test_command_line(tmp_path, capsys):
    main(["--out", str(tmp_path / "mini"), "--train", "1", "--val", "1"])
    assert "1 training and 1 validation images" in capsys.readouterr().out
    assert Path(tmp_path / "mini" / "coco" / "annotations" / "instances_val_clean.json").is_file()


def test_what_a_killed_renderer_left_is_removed(tmp_path):
    left = tmp_path / f".set-0123.{2**22 + 1}.tmp"  # a number that no process has
    (left / "coco").mkdir(parents=True)
    (left / "coco" / "half.jpg").write_text("half")
    other = tmp_path / f".set-0123.{os.getpid()}@{socket.gethostname()}.tmp"
    other.mkdir()
    write_dataset(tmp_path / "set", seed=0, train=1, val=1)
    assert sorted(path.name for path in tmp_path.iterdir()) == [other.name, "set"]
