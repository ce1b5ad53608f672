"""The files of scripts.detect: detections as lines, and names for the overlays."""

from dataclasses import replace

import pytest
import torch

from data.formats.masks import decode_masks
from data.records import Detections
from scripts.engine.detection.files import detections_as_lines, find_images, overlay_file

CLASSES = ["cat", "dog"]


def test_only_masks_of_reported_detections_are_written():
    found = Detections(
        boxes=torch.tensor([[1.0, 2, 5, 6], [2, 2, 4, 4]]),
        scores=torch.tensor([0.9, 0.3]),
        labels=torch.tensor([2, 1]),
        masks=torch.ones(2, 28, 28),
    )
    (line,) = detections_as_lines(found, CLASSES, 0.5, (8, 10))
    assert (line["class"], line["score"], line["box"], line["sigma"]) == (
        "dog",
        0.9,
        [1, 2, 5, 6],
        None,
    )
    assert decode_masks([line["mask"]], (8, 10))[0, 2:6, 1:5].all()
    assert detections_as_lines(found, CLASSES, 0.95, (8, 10)) == []
    (plain_line,) = detections_as_lines(replace(found, masks=None), CLASSES, 0.5, (8, 10))
    assert "mask" not in plain_line


def test_equal_names_get_numbers(tmp_path):
    taken = set()
    names = [
        overlay_file(tmp_path, tmp_path / folder / "a.jpg", taken).name
        for folder in ("x", "y", "z")
    ]
    assert names == ["a.png", "a-2.png", "a-3.png"]


def test_images_of_every_kind_are_meant_and_the_rest_is_named(tmp_path, capsys):
    folder = tmp_path / "photos"
    (folder / "more").mkdir(parents=True)
    images = ["a.JPG", "b.webp", "c.bmp", "d.tif", "e.tiff", "f.png", "g.jpeg"]
    for name in (*images, "notes.txt", "clip.mp4", "h.heic", "._a.JPG", ".DS_Store"):
        (folder / name).touch()
    found = [path.name for path in find_images([folder], tmp_path / "out")]
    assert found == [*images, "clip.mp4"]
    assert capsys.readouterr().out == (
        f"{folder}: 8 files (1 .bmp, 1 .jpeg, 1 .jpg, 1 .mp4, 1 .png, 1 .tif, 1 .tiff, 1 .webp); "
        "passed over, being neither image nor video: h.heic, more/, notes.txt\n"
    )


def test_a_folder_without_images_says_what_it_holds(tmp_path):
    for name in ("clip.flv", "h.heic"):
        (tmp_path / name).touch()
    with pytest.raises(ValueError, match=r"holds no .*\.webp.* files; it holds clip.flv, h.heic"):
        find_images([tmp_path], tmp_path / "out")
