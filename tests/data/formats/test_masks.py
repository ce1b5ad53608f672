"""Run lengths and polygons: what is refused, and that bitmaps survive the way through a file."""

import json
import re

import numpy as np
import pytest
import torch
from pycocotools import mask as coco_mask

from data.formats.masks import (
    compressed_rle,
    decode_masks,
    encode_masks,
    mask_areas,
    pack_segments,
    run_lengths,
    segmentation_problem,
)

SIZE = (4, 5)  # height, width
# rows 1 and 2 of column 1: 4 + 1 pixels before them
COLUMN = {"size": [4, 5], "counts": [5, 2, 13]}


def bitmaps(count=6, size=(37, 53), seed=0):
    masks = torch.rand(count, *size, generator=torch.Generator().manual_seed(seed)) < 0.3
    masks[0] = False
    masks[1] = True
    return masks


def test_run_lengths_walk_down_the_columns():
    (bitmap,) = decode_masks([{"size": [4, 5], "counts": compressed_rle(COLUMN, SIZE)}], SIZE)
    assert bitmap.dtype == torch.uint8
    assert bitmap.nonzero().tolist() == [[1, 1], [2, 1]]


def test_a_polygon_is_the_pixels_that_it_holds():
    """The square from (1, 1) to (3, 4) in continuous coordinates, and two polygons of one object
    are united.
    """
    square, beside = [1, 1, 3, 1, 3, 4, 1, 4], [3, 0, 5, 0, 5, 2, 3, 2]
    both = {"size": [4, 5], "counts": compressed_rle([square, beside], SIZE)}
    (bitmap,) = decode_masks([both], SIZE)
    wanted = torch.zeros(4, 5, dtype=torch.uint8)
    wanted[1:4, 1:3] = 1
    wanted[0:2, 3:5] = 1
    assert torch.equal(bitmap, wanted)
    assert mask_areas([both]) == [10.0]


@pytest.mark.parametrize("dtype", [torch.bool, torch.uint8])
def test_bitmaps_survive_encoding_and_json(dtype):
    masks = bitmaps()
    rles = json.loads(json.dumps(encode_masks(masks.to(dtype))))
    assert torch.equal(decode_masks(rles, (37, 53)).bool(), masks)
    assert mask_areas(rles) == masks.flatten(1).sum(1).tolist()


def test_nothing_in_nothing_out():
    assert encode_masks(torch.zeros(0, 4, 5, dtype=torch.bool)) == []
    assert decode_masks([], SIZE).shape == (0, 4, 5)
    assert mask_areas([]) == []


def test_areas_of_more_masks_than_pycocotools_takes_at_once():
    assert mask_areas(encode_masks(torch.ones(300, 1, 2, dtype=torch.bool))) == [2.0] * 300


def test_compressed_text_is_read_as_pycocotools_writes_it():
    """Runs of all lengths, so that numbers of one to four characters and negative differences
    occur.
    """
    rng = np.random.default_rng(0)
    counts = [int(c) for c in np.exp(rng.uniform(0, 11, 300))]
    size = [sum(counts), 1]
    text = coco_mask.frPyObjects({"size": size, "counts": counts}, *size)["counts"].decode()
    assert run_lengths(text) == counts
    assert run_lengths("") == []


@pytest.mark.parametrize("text", ["0P", "o", "\n", "~~~", "é", "o" * 9 + "0"])
def test_text_that_is_no_run_lengths_is_refused(text):
    """A character beyond the 64, or a number that has no end."""
    assert run_lengths(text) is None


@pytest.mark.parametrize(
    "segmentation",
    [
        [[0, 0, 4, 0, 4, 3]],
        [[0.5, 0, 4, 0, 4, 3], [-1.0, -2, 6, 1, 2, 7]],
        COLUMN,
        {"size": [4, 5], "counts": compressed_rle(COLUMN, SIZE)},
        {"size": [4, 5], "counts": [20]},
        {"size": [4, 5], "counts": [0, 20]},
    ],
)
def test_what_can_be_used(segmentation):
    assert segmentation_problem(segmentation, SIZE) is None
    assert run_lengths(compressed_rle(segmentation, SIZE)) is not None


@pytest.mark.parametrize(
    ("segmentation", "says"),
    [
        (None, "no segmentation"),
        ([], "no segmentation"),
        ([[1, 1, 2, 2]], "4 numbers, not x and y of at least 3 points"),
        ([[1, 1, 2, 2, 3, 3, 4]], "7 numbers"),
        ([[0, 0, 4, 0, 4, 3], []], "0 numbers"),
        ([[1, 1, 2, "2", 3, 3]], "not a list of numbers"),
        ([[1, 1, 2, True, 3, 3]], "not a list of numbers"),
        ([1, 1, 2, 2, 3, 3], "not a list of numbers"),
        ([[1, 1, 2, 2, 3, 1e9]], "further outside"),
        ([[1, 1, 2, 2, 10**400, 3]], "further outside"),
        ([[1, 1, 2, 2, float("inf"), 3]], "further outside"),
        ("a text", "neither a list of polygons nor run lengths"),
        ({"size": [4, 5]}, "neither a list of polygons nor run lengths"),
        ({"size": [5, 4], "counts": [20]}, r"size \[5, 4\], not \[height, width\] = \[4, 5\]"),
        ({"size": [4, 5], "counts": [5, 2]}, "sum up to 7 px, not to 4 x 5"),
        ({"size": [4, 5], "counts": [5, -2, 17]}, "integers from 0"),
        ({"size": [4, 5], "counts": [5.0, 15]}, "integers from 0"),
        ({"size": [4, 5], "counts": 20}, "integers from 0"),
        ({"size": [4, 5], "counts": "o"}, "compressed text"),
        ({"size": [4, 5], "counts": "52"}, "sum up to 7 px"),
    ],
)
def test_what_cannot_be_used_is_said(segmentation, says):
    assert re.search(says, segmentation_problem(segmentation, SIZE))


def test_flat_segments_give_back_each_text():
    texts = [rle["counts"] for rle in encode_masks(bitmaps())]
    segments = pack_segments(texts)
    assert segments.text.dtype == np.uint8
    assert [rle["counts"] for rle in segments.rles(2, 5, (37, 53))] == texts[2:5]
    assert segments.rles(3, 3, (37, 53)) == []
    assert segments.rles(0, 1, (37, 53))[0]["size"] == [37, 53]
    assert pack_segments([]).rles(0, 0, (1, 1)) == []
