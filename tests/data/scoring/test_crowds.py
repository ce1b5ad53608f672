"""Which detections lie in a crowd region, on boxes that can be measured by eye."""

import torch

from data.records import Detections, Target
from data.scoring.crowds import in_crowd


def test_half_of_a_box_in_a_crowd_of_its_class_is_enough():
    """The region is 100 px wide: inside, half inside, 40 % inside, of another class, not there."""
    boxes = [
        [10, 0, 20, 10],
        [90, 0, 110, 10],
        [96, 0, 106, 10],
        [10, 0, 20, 10],
        [900, 0, 910, 10],
    ]
    detections = Detections(
        boxes=torch.tensor(boxes).float(),
        scores=torch.ones(5),
        labels=torch.tensor([1, 1, 1, 2, 1]),
    )
    region = torch.tensor([[0.0, 0, 100, 100]])
    labels = torch.tensor([1])
    crowd = Target(boxes=region, labels=labels, crowd=torch.tensor([True]))
    assert in_crowd(detections, crowd).tolist() == [True, True, False, False, False]
    assert not in_crowd(detections, Target(boxes=region, labels=labels)).any()
