"""The confusion matrix on boxes of 10 x 10 px that can be counted by hand."""

import pytest
import torch

from data.errors import DataError
from data.records import Detections, Target
from data.scoring.confusion import confusion_matrix, most_confused
from tests.data.scoring.test_coco import random_data

A, B, FAR = [0.0, 0, 10, 10], [20.0, 0, 30, 10], [500.0, 0, 510, 10]
CAT, DOG = 1, 2


def found(boxes, labels, scores):
    return Detections(
        boxes=torch.tensor(boxes).reshape(-1, 4),
        labels=torch.tensor(labels, dtype=torch.int64),
        scores=torch.tensor(scores),
    )


def labeled(boxes, labels, **columns):
    boxes = torch.tensor(boxes).reshape(-1, 4)
    return Target(boxes=boxes, labels=torch.tensor(labels, dtype=torch.int64), **columns)


def matrix(detections, target, least_score=0.5):
    return confusion_matrix([detections], [target], 2, least_score=least_score).tolist()


def test_every_object_and_detection_has_its_cell():
    """A cat taken for a dog, a dog that is missed, and a cat where nothing is."""
    target = labeled([A, B], [CAT, DOG])
    assert matrix(found([A, FAR], [DOG, CAT], [0.9, 0.8]), target) == [
        [0, 1, 0],  # background: one false cat
        [0, 0, 1],  # the cat: detected as a dog
        [1, 0, 0],  # the dog: missed
    ]


def test_the_right_class_is_on_the_diagonal_and_a_second_detection_is_background():
    target = labeled([A], [CAT])
    twice = found([A, A], [CAT, CAT], [0.9, 0.8])
    assert matrix(twice, target) == [[0, 1, 0], [0, 1, 0], [0, 0, 0]]


def test_low_scores_do_not_count():
    target = labeled([A], [CAT])
    low = found([A], [CAT], [0.49])
    assert matrix(low, target) == [[0, 0, 0], [1, 0, 0], [0, 0, 0]]
    assert matrix(low, target, least_score=0.4) == [[0, 0, 0], [0, 1, 0], [0, 0, 0]]


def test_of_two_objects_in_one_place_the_own_class_is_taken():
    target = labeled([A, A], [CAT, DOG])
    assert matrix(found([A], [DOG], [0.9]), target) == [[0, 0, 0], [1, 0, 0], [0, 0, 1]]


def test_a_detection_in_a_crowd_of_its_class_is_left_out():
    crowd = labeled([A, [400.0, 0, 600, 100]], [CAT, CAT], crowd=torch.tensor([False, True]))
    assert matrix(found([A, FAR], [CAT, CAT], [0.9, 0.8]), crowd) == [
        [0, 0, 0],
        [0, 1, 0],
        [0, 0, 0],
    ]
    assert matrix(found([FAR], [DOG], [0.8]), crowd)[0] == [0, 0, 1]


def test_rows_add_up_to_the_objects():
    detections, targets = random_data()
    counted = confusion_matrix(detections, targets, 4, least_score=0.3)
    labels = torch.cat([t.labels[~t.crowd] for t in targets])
    assert counted.sum(dim=1)[1:].tolist() == torch.bincount(labels, minlength=5)[1:].tolist()
    assert counted[0, 0] == 0


def test_the_most_frequent_confusions_come_first():
    counts = torch.tensor([[0, 9, 9, 9], [9, 5, 2, 0], [9, 3, 5, 0], [9, 0, 1, 5]])
    assert most_confused(counts, 2) == [(2, 1, 3), (1, 2, 2)]
    assert most_confused(torch.eye(3).long(), 2) == []


def test_nothing_is_fine_and_unknown_labels_are_not():
    empty = found([], [], [])
    assert matrix(empty, labeled([], [])) == [[0] * 3] * 3
    assert matrix(found([A], [CAT], [0.9]), labeled([], [])) == [[0, 1, 0], [0] * 3, [0] * 3]
    with pytest.raises(DataError, match=r"outside 1\.\.2"):
        matrix(found([A], [3], [0.9]), labeled([A], [CAT]))
