"""Detections of a network on data whose classes are others, or the same in another order."""

import pytest
import torch

from data.errors import DataError
from data.formats.masks import encode_masks
from data.records import Detections
from scripts.engine.evaluation.refinement import RowDetections
from scripts.engine.score.classes import check_common_class, to_classes

TRAINED = ["cat", "dog", "cow"]
BOXES = torch.arange(12.0).reshape(3, 4)
ROW = RowDetections(
    detections=[
        Detections(
            boxes=BOXES,
            scores=torch.tensor([0.9, 0.8, 0.7]),
            labels=torch.tensor([1, 2, 3]),
            sigma=BOXES + 1,
        )
    ]
)


def test_the_same_classes_in_another_order_change_the_labels_alone():
    row, notes = to_classes(ROW, TRAINED, ["cow", "cat", "dog"])
    assert row.detections[0].labels.tolist() == [2, 3, 1]
    assert torch.equal(row.detections[0].boxes, BOXES)
    assert notes == []
    assert to_classes(ROW, TRAINED, TRAINED)[0] is ROW


def test_classes_that_one_side_lacks_are_counted_and_named():
    masks = encode_masks(torch.eye(3, dtype=torch.bool)[:, :, None])
    row = RowDetections(detections=ROW.detections, segments=[masks])
    row, notes = to_classes(row, TRAINED, ["dog", "bird"])
    image = row.detections[0]
    assert image.labels.tolist() == [1]
    assert torch.equal(image.boxes, BOXES[1:2])
    assert torch.equal(image.sigma, BOXES[1:2] + 1)
    assert row.segments == [[masks[1]]]
    assert notes == [
        "left out: 2 detections of classes that the data do not have: cat, cow",
        "the network does not know, and so misses: bird",
    ]


def test_nothing_in_common_is_an_error():
    with pytest.raises(DataError, match="cat, dog, cow, and the data have bird: none is the same"):
        check_common_class(TRAINED, ["bird"])
    check_common_class(TRAINED, ["bird", "cow"])
