"""TIDE's errors on boxes that can be checked by hand: every object is 100 x 100 px, so that a shift
of 50 px sideways is an IoU of 1/3 and one of 100 px is none.
"""

import math
from dataclasses import replace

import pytest
import torch

from data.records import Detections, Target
from data.scoring.coco import evaluate_coco
from data.scoring.tide import KINDS, interpolated_ap, tide
from tests.data.scoring.test_coco import random_data

CAT, DOG = 1, 2


def box(x, shift=0.0):
    return [x + shift, 0.0, x + shift + 100, 100.0]


def upright(boxes):
    """The boxes with x1 <= x2 and y1 <= y2: COCO leaves a box of negative area out."""
    corners = boxes.reshape(-1, 2, 2)
    return torch.cat([corners.amin(dim=1), corners.amax(dim=1)], dim=1)


def found(*lines):
    """Each line: (box, label, score)."""
    return Detections(
        boxes=torch.tensor([line[0] for line in lines]).reshape(-1, 4),
        labels=torch.tensor([line[1] for line in lines], dtype=torch.int64),
        scores=torch.tensor([line[2] for line in lines]),
    )


def labeled(*lines, crowd=None):
    """Each line: (box, label)."""
    return Target(
        boxes=torch.tensor([line[0] for line in lines]).reshape(-1, 4),
        labels=torch.tensor([line[1] for line in lines], dtype=torch.int64),
        crowd=None if crowd is None else torch.tensor(crowd),
    )


TWO_CATS = labeled((box(0), CAT), (box(1000), CAT))
HIT = (box(0), CAT, 0.5)


def only(result, kind):
    """The gain of the one kind of error that is there; all others count none."""
    assert {name: n for name, n in result["count"].items() if n} == {kind: 1}
    return result["dAP"][kind]


@pytest.mark.parametrize(
    ("wrong", "kind"),
    [
        ((box(1000, 50), CAT, 0.9), "Loc"),  # IoU 1/3 with the other cat
        ((box(1000), DOG, 0.9), "Cls"),
        ((box(0, 10), CAT, 0.4), "Dupe"),
        ((box(5000), CAT, 0.9), "Bkg"),
        ((box(1000, 50), DOG, 0.9), "Both"),
    ],
)
def test_each_kind_is_told_apart(wrong, kind):
    result = tide([found(HIT, wrong)], [TWO_CATS], 2)
    missed = 0 if kind in ("Loc", "Cls") else 1  # the second cat is meant by no other error
    assert result["count"] == {**dict.fromkeys(KINDS, 0), kind: 1, "Miss": missed}


def test_a_background_detection_above_the_hit_halves_the_precision():
    """Precision 1/2 at every recall; without the false alarm it is 1."""
    result = tide([found(HIT, (box(5000), CAT, 0.9))], [labeled((box(0), CAT))], 2)
    assert result["AP"]["AP50"] == pytest.approx(50)
    assert only(result, "Bkg") == pytest.approx(50)
    assert result["dAP"]["FalsePos"] == pytest.approx(50)
    assert result["dAP"]["FalseNeg"] == pytest.approx(0)


def test_a_missed_object_costs_the_recalls_that_are_not_reached():
    """Recall 1/2 at precision 1: 51 of the 101 recalls, 0 .. 0.50, are reached."""
    result = tide([found(HIT)], [TWO_CATS], 2)
    assert result["AP"]["AP50"] == pytest.approx(100 * 51 / 101)
    assert only(result, "Miss") == pytest.approx(100 * 50 / 101)
    assert result["dAP"]["FalseNeg"] == pytest.approx(100 * 50 / 101)


def test_a_mended_place_or_class_makes_a_hit():
    """One cat of two found, the other one badly: the better detection is wrong. Precision is 1/2
    up to recall 1/2; mended it is 1 everywhere.
    """
    for wrong, kind in (((box(1000, 50), CAT, 0.9), "Loc"), ((box(1000), DOG, 0.9), "Cls")):
        result = tide([found(HIT, wrong)], [TWO_CATS], 2)
        base = 100 * 51 / 101 * (0.5 if kind == "Loc" else 1.0)  # the dog is of another class
        assert result["AP"]["AP50"] == pytest.approx(base)
        assert only(result, kind) == pytest.approx(100 - base)


def test_of_two_errors_that_mean_one_object_the_better_scored_is_mended():
    """Both cats-to-be mean the second cat; the Cls error is better scored, so mending Loc only
    removes the badly placed one, which was last and cost nothing.
    """
    near = (box(1000, 50), CAT, 0.3)
    dog = (box(1000), DOG, 0.9)
    result = tide([found(HIT, near, dog)], [TWO_CATS], 2)
    assert result["count"] == {**dict.fromkeys(KINDS, 0), "Loc": 1, "Cls": 1}
    assert result["dAP"]["Loc"] == 0
    assert result["dAP"]["Cls"] == pytest.approx(100 - 100 * 51 / 101)


def test_an_error_on_a_taken_object_is_removed():
    """The badly placed detection means the cat that the hit has taken: mended it is gone."""
    result = tide([found(HIT, (box(0, 50), CAT, 0.9))], [labeled((box(0), CAT))], 2)
    assert result["AP"]["AP50"] == pytest.approx(50)
    assert only(result, "Loc") == pytest.approx(50)


def test_a_duplicate_costs_precision():
    """Hit, duplicate, hit: precision 1 up to recall 1/2, then 2/3."""
    detections = found((box(0), CAT, 0.9), (box(0, 10), CAT, 0.8), (box(1000), CAT, 0.7))
    result = tide([detections], [TWO_CATS], 2)
    base = (51 + 50 * 2 / 3) / 101 * 100
    assert result["AP"]["AP50"] == pytest.approx(base)
    assert only(result, "Dupe") == pytest.approx(100 - base)


def test_a_wrong_detection_in_a_crowd_of_its_class_is_no_error():
    crowd = labeled((box(0), CAT), ([1000.0, 0, 2000, 500], CAT), crowd=[False, True])
    inside = (box(1200), CAT, 0.9)
    assert not any(tide([found(HIT, inside)], [crowd], 2)["count"].values())
    dog = (box(1200), DOG, 0.9)
    assert only(tide([found(HIT, dog)], [crowd], 2), "Bkg") == 0


def test_a_class_without_objects_takes_no_part():
    with_dog = tide([found(HIT, (box(5000), DOG, 0.9))], [labeled((box(0), CAT))], 2)
    assert with_dog["AP"]["AP50"] == pytest.approx(100)
    nothing = tide([found(HIT)], [labeled()], 2)
    assert math.isnan(nothing["AP"]["AP50"])
    assert nothing["count"]["Bkg"] == 1
    assert tide([], [], 2)["count"] == dict.fromkeys(KINDS, 0)


def test_the_ap_is_that_of_coco():
    """Crowds, several images and classes, false alarms: the AP that is improved is COCO's AP50."""
    for seed in range(2):
        detections, targets = random_data(seed=seed)
        detections = [replace(d, boxes=upright(d.boxes)) for d in detections]
        result = tide(detections, targets, 4)
        assert result["AP"]["AP50"] == pytest.approx(
            evaluate_coco(detections, targets, 4)["AP50"], abs=1e-9
        )
        assert min(result["dAP"].values()) >= 0


def test_interpolated_ap_by_hand():
    """Right, wrong, right of 2: precision 1 up to recall 1/2 (51 recalls), then 2/3 (50)."""
    ranked = torch.tensor([True, False, True]).numpy()
    assert interpolated_ap(ranked, 2) == pytest.approx(100 * (51 + 50 * 2 / 3) / 101)
    assert interpolated_ap(ranked[:0], 2) == 0
    assert interpolated_ap(ranked, 0) == 0
