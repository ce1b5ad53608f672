"""Detections drawn onto an image: masks under boxes, bands of one sigma."""

import numpy as np
import torch

from data.formats.masks import encode_masks
from scripts.engine.detection import drawing


def test_masks_are_translucent_and_lie_under_the_boxes():
    """On black, 100 of 255 parts of the object's color; the other detection's box is not tinted by
    it.
    """
    bitmap = torch.zeros(1, 500, 480, dtype=torch.uint8)
    bitmap[:, 100:300, 50:250] = 1
    line = {
        "class": "dog",
        "score": 0.9,
        "box": [50, 100, 250, 300],
        "sigma": None,
        "mask": encode_masks(bitmap)[0],
    }
    under = {
        **line,
        "class": "cat",
        "score": 0.8,
        "box": [150, 200, 350, 400],
        "mask": encode_masks(0 * bitmap)[0],
    }
    picture = drawing.overlay(torch.zeros(3, 500, 480, dtype=torch.uint8), [line, under])
    dog, cat = drawing.color(0), drawing.color(1)
    assert picture.getpixel((100, 200)) == tuple(round(value * 100 / 255) for value in dog)
    assert picture.getpixel((300, 300)) == (0, 0, 0)
    assert picture.getpixel((50, 200)) == dog
    assert picture.getpixel((200, 200)) == cat


def test_a_mask_is_enlarged_with_its_image():
    bitmap = torch.zeros(1, 48, 64, dtype=torch.uint8)
    bitmap[0, 30, 40] = 1
    line = {
        "class": "dog",
        "score": 0.9,
        "box": [0, 20, 20, 40],
        "sigma": None,
        "mask": encode_masks(bitmap)[0],
    }
    picture = drawing.overlay(torch.zeros(3, 48, 64, dtype=torch.uint8), [line])
    assert picture.size == (512, 384)
    # right of the box and its text
    tinted = np.argwhere(np.asarray(picture).any(-1) & (np.arange(512) >= 240))
    assert tinted.min(0).tolist() == [240, 320]
    assert tinted.max(0).tolist() == [247, 327]


def test_side_bands_are_one_sigma_to_both_sides():
    bands = list(drawing.side_bands([10, 20, 30, 60], [1, 2, 3, 4]))
    assert bands == [(9, 20, 11, 60), (27, 20, 33, 60), (10, 18, 30, 22), (10, 56, 30, 64)]


def test_two_objects_of_a_class_have_two_colors():
    lines = [
        {"class": "dog", "score": 0.9, "box": [50, 50, 150, 150], "sigma": None},
        {"class": "dog", "score": 0.8, "box": [250, 50, 350, 150], "sigma": None},
    ]
    picture = drawing.overlay(torch.zeros(3, 480, 480, dtype=torch.uint8), lines)
    assert picture.getpixel((50, 100)) == drawing.color(0)
    assert picture.getpixel((250, 100)) == drawing.color(1)
    assert drawing.color(0) != drawing.color(1)


def test_lines_and_labels_grow_with_a_large_image():
    """4,000 px wide: lines of 8 px instead of 2, and a label four times as high."""
    line = {"class": "dog", "score": 0.9, "box": [100, 1000, 3900, 1900], "sigma": None}
    picture = drawing.overlay(torch.zeros(3, 2000, 4000, dtype=torch.uint8), [line])
    column = np.asarray(picture)[1400, 90:120].any(-1)
    assert column.sum() == 8
    label = np.asarray(picture)[900:1000, 105].any(-1)
    assert label.sum() > 30


def test_each_object_or_each_class_has_a_color():
    """Two dogs and a cat, best first; dog is the second of the classes."""
    lines = [
        {"class": name, "score": 0.9, "box": [x, 300, x + 60, 400], "sigma": None}
        for name, x in (("dog", 10), ("dog", 110), ("cat", 210))
    ]
    image = torch.zeros(3, 500, 480, dtype=torch.uint8)

    def colors(classes):
        picture = drawing.overlay(image, lines, classes)
        return [picture.getpixel((x, 350)) for x in (10, 110, 210)]

    assert colors(()) == [drawing.color(k) for k in (0, 1, 2)]
    assert colors(("cat", "dog")) == [drawing.color(k) for k in (1, 1, 0)]


def test_labels_of_boxes_that_coincide_stand_apart():
    """The better one at the left, the other at the right: both can be read."""
    lines = [
        {"class": name, "score": 0.9, "box": [50, 200, 250, 300], "sigma": None}
        for name in ("dog", "cat")
    ]
    picture = np.asarray(drawing.overlay(torch.zeros(3, 480, 480, dtype=torch.uint8), lines))
    row = picture[187]  # of the labels, above their text
    left, right = (np.flatnonzero((row == np.array(drawing.color(k))).all(-1)) for k in (0, 1))
    assert left.min() == 50
    assert left.max() < right.min()
    assert right.max() == 250


def test_an_object_without_a_score_has_its_class_alone():
    assert drawing.label_of({"class": "dog", "score": None}) == "dog"
    assert drawing.label_of({"class": "dog", "score": 0.5}) == "dog 0.50"
