"""Recall of proposals on boxes one can check, and its laws: more proposals never hurt, a higher IoU
never helps.
"""

import math

import pytest
import torch

from data.errors import DataError
from data.records import Proposals, Target
from data.scoring.proposal_recall import AVERAGED, best_overlaps, recall
from tests.data.scoring.targets import target


def proposals(boxes):
    return Proposals(
        boxes=torch.tensor(boxes).reshape(-1, 4).float(),
        objectness=torch.arange(len(boxes), 0, -1).float(),
    )


# objects of 10 x 10 px; a proposal that covers the first n columns of one has IoU n / 10
OBJECTS = [[0.0, 0, 10, 10], [50.0, 0, 60, 10]]
FIRST_7, FIRST_9, SECOND_6 = [0.0, 0, 7, 10], [0.0, 0, 9, 10], [50.0, 0, 56, 10]


def test_recall_by_hand():
    """Best 1: IoU 0.7 and 0. Best 2: 0.7 and 0.6. Best 3: 0.9 and 0.6."""
    found = recall([proposals([FIRST_7, SECOND_6, FIRST_9])], [target(OBJECTS)], counts=(1, 2, 3))
    # exactly t is found
    assert found["recall@1"] == {"0.5": 50.0, "0.6": 50.0, "0.7": 50.0, "0.8": 0.0, "0.9": 0.0}
    assert found["recall@2"] == {"0.5": 100.0, "0.6": 100.0, "0.7": 50.0, "0.8": 0.0, "0.9": 0.0}
    assert found["recall@3"] == {"0.5": 100.0, "0.6": 100.0, "0.7": 50.0, "0.8": 50.0, "0.9": 50.0}
    # object 1 is found at .5 .. .9 (9 of 10 levels), object 2 at .5 .55 .6 (3 of 10)
    assert found["AR@3"] == pytest.approx(100 * (9 + 3) / 20)


def test_the_averaged_overlaps_are_cocos():
    assert AVERAGED == (0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95)


def test_objects_of_all_images_count_alike():
    """Image 1 finds 1 of 1, image 2 0 of 3: a quarter, not the mean of 100 % and 0 %."""
    found = recall(
        [proposals(OBJECTS[:1]), proposals([])],
        [target(OBJECTS[:1]), target(OBJECTS + OBJECTS[:1])],
    )
    assert found["recall@100"]["0.5"] == 25.0
    assert found["proposals@100"] == 0.5


def test_one_proposal_may_find_two_objects():
    """The plain rule; COCO's one-to-one matching would find one of the two."""
    assert recall([proposals(OBJECTS[:1])], [target(OBJECTS[:1] * 2)])["AR@100"] == 100.0


def test_crowds_and_difficult_objects_are_left_out():
    left_out = target(
        [*OBJECTS, [80.0, 0, 90, 10]], crowd=[False, True, False], difficult=[False, False, True]
    )
    assert best_overlaps(proposals(OBJECTS[:1]), left_out, (5,)).tolist() == [[1.0]]
    assert recall([proposals(OBJECTS[:1])], [left_out])["AR@100"] == 100.0


def test_fewer_proposals_than_asked_for_are_all_there_is():
    found = recall(
        [proposals([FIRST_7, SECOND_6]), proposals([FIRST_7])],
        [target(OBJECTS), target(OBJECTS)],
        counts=(1, 300),
    )
    assert (found["proposals@1"], found["proposals@300"]) == (1.0, 1.5)
    assert found["recall@300"]["0.5"] == 75.0


def test_nothing_is_fine():
    assert recall([proposals([])], [target(OBJECTS)])["recall@100"]["0.5"] == 0.0
    assert (
        recall([proposals(OBJECTS), proposals(OBJECTS)], [target([]), target(OBJECTS)])["AR@1000"]
        == 100.0
    )
    for empty in (recall([], []), recall([proposals(OBJECTS)], [target([])])):
        assert math.isnan(empty["recall@100"]["0.5"])
        assert math.isnan(empty["AR@100"])


def random_boxes(count, generator):
    corners = torch.rand(count, 2, generator=generator) * 80
    return torch.cat([corners, corners + 5 + 20 * torch.rand(count, 2, generator=generator)], dim=1)


def test_recall_rises_with_count_and_falls_with_iou():
    generator = torch.Generator().manual_seed(0)
    images = [
        Proposals(
            boxes=random_boxes(count, generator), objectness=torch.arange(count, 0, -1).float()
        )
        for count in (400, 0, 37)
    ]
    targets = [
        Target(boxes=random_boxes(count, generator), labels=torch.ones(count, dtype=torch.long))
        for count in (12, 3, 9)
    ]
    counts, ious = (1, 10, 37, 100, 400), (0.1, 0.3, 0.5, 0.6, 0.7, 0.8, 0.9)
    found = recall(images, targets, counts=counts, ious=ious)
    table = torch.tensor([[found[f"recall@{count}"][str(iou)] for iou in ious] for count in counts])
    assert (table.diff(dim=0) >= 0).all()
    assert (table.diff(dim=1) <= 0).all()
    assert 0 < table[0, 0] < table[-1, 0] < 100  # the test would see a difference
    average = [found[f"AR@{count}"] for count in counts]
    assert average == sorted(average)


def test_other_numbers_of_images_are_a_sentence():
    with pytest.raises(DataError, match="proposals of 1 images but targets of 2"):
        recall([proposals([])], [target([]), target([])])
