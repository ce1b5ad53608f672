"""Moves of boxes on numbers that a person can check: one object, one side 2 px nearer, one 1 px
further away.
"""

from dataclasses import replace

import pytest
import torch

from data.errors import DataError
from data.records import Detections, Target
from data.scoring.box_moves import (
    find_moves,
    matched_objects,
    move_numbers,
    paired_iou,
    percent_closer,
)

OBJECT = Target(
    boxes=torch.tensor([[10.0, 10, 30, 30]]),
    labels=torch.tensor([2]),
    clean_boxes=torch.tensor([[10.0, 10, 30, 32]]),
)
BEFORE = Detections(
    boxes=torch.tensor([[14.0, 10, 30, 30]]), scores=torch.tensor([0.9]), labels=torch.tensor([2])
)
AFTER = replace(BEFORE, boxes=torch.tensor([[12.0, 10, 30, 31]]))


def test_one_box_by_hand():
    """Before: 16 x 20 of the label's 20 x 20. After: x1 2 px nearer, y2 1 px too low (and nearer to
    the clean 32).
    """
    moves = find_moves([BEFORE], [AFTER], [OBJECT])
    assert moves.matched == (1, 1)
    assert (moves.image.tolist(), moves.detection.tolist()) == ([0], [0])
    before, after = move_numbers(moves)
    assert (before["n"], before["pairs"], after["n"], after["pairs"]) == (1, 1, 1, 1)
    assert before["iou"] == pytest.approx(100 * 320 / 400)
    assert after["iou"] == pytest.approx(100 * 360 / (400 + 18))
    assert before["distance"] == pytest.approx(4 / 4)
    assert after["distance"] == pytest.approx((2 + 1) / 4)
    assert after["movement"] == pytest.approx((2 + 1) / 4)
    assert after["moved"] == pytest.approx(50.0)  # two sides of four
    assert after["toward"] == pytest.approx(50.0)  # x1 came nearer to the label, y2 left it
    assert after["clean"]["toward"] == pytest.approx(100.0)
    assert before["clean"]["distance"] == pytest.approx((4 + 2) / 4)
    assert after["clean"]["distance"] == pytest.approx((2 + 1) / 4)
    assert moves.truth is moves.clean


def test_without_clean_boxes_the_label_is_the_truth():
    moves = find_moves([BEFORE], [AFTER], [replace(OBJECT, clean_boxes=None)])
    assert moves.clean is None
    assert moves.truth is moves.labeled
    assert all("clean" not in numbers for numbers in move_numbers(moves))


@pytest.mark.parametrize(
    "change",
    [
        {"scores": torch.tensor([0.49])},
        {"labels": torch.tensor([1])},
        {"boxes": torch.tensor([[21.0, 10, 30, 30]])},
    ],
)
def test_what_means_no_object_is_left_out(change):
    """Not sure enough, of another class, IoU 9 / 20."""
    assert matched_objects(replace(BEFORE, **change), OBJECT).tolist() == [-1]
    assert matched_objects(BEFORE, OBJECT).tolist() == [0]


def test_a_move_needs_the_object_on_both_sides():
    """A box that voting brings to IoU 0.5 counts after, one that it takes away counts before;
    neither is a move.
    """
    far = replace(BEFORE, boxes=torch.tensor([[21.0, 10, 30, 30]]))
    for pair, matched in (((far, AFTER), (0, 1)), ((BEFORE, far), (1, 0))):
        moves = find_moves([pair[0]], [pair[1]], [OBJECT])
        assert moves.matched == matched
        assert len(moves.image) == 0


def test_positions_are_those_in_the_image():
    """The second image's first detection means nothing; the object is meant by its second."""
    two = Detections(
        boxes=torch.cat([torch.tensor([[50.0, 50, 60, 60]]), BEFORE.boxes]),
        scores=torch.tensor([0.95, 0.9]),
        labels=torch.tensor([2, 2]),
    )
    moves = find_moves([BEFORE, two], [AFTER, two], [OBJECT, OBJECT])
    assert moves.image.tolist() == [0, 1]
    assert moves.detection.tolist() == [0, 1]
    torch.testing.assert_close(moves.before[1], two.boxes[1])


def test_nothing_is_normal():
    none = Target(
        boxes=torch.zeros(0, 4),
        labels=torch.zeros(0, dtype=torch.int64),
        clean_boxes=torch.zeros(0, 4),
    )
    for found, targets in (([], []), ([BEFORE], [none])):
        moves = find_moves(found, found, targets)
        assert moves.before.shape == moves.truth.shape == (0, 4)
        before, after = move_numbers(moves)
        assert (before["n"], after["pairs"]) == (0, 0)
        assert (
            torch.tensor([before["iou"], after["distance"], after["movement"], after["toward"]])
            .isnan()
            .all()
        )


def test_no_step_moves_nothing():
    numbers = move_numbers(find_moves([BEFORE], [BEFORE], [OBJECT]))[1]
    assert numbers["movement"] == numbers["moved"] == 0.0
    assert torch.tensor(numbers["toward"]).isnan()


def test_rounding_is_no_move():
    box = torch.tensor([[0.0, 0, 10, 10]])
    # of x2 alone
    assert percent_closer(box, box + torch.tensor([0.005, 0, 0.02, 0]), box + 1) == 100.0


def test_another_selection_is_a_sentence():
    for other in (
        replace(AFTER, scores=torch.tensor([0.8])),
        replace(AFTER, labels=torch.tensor([1])),
        Detections(boxes=AFTER.boxes[:0], scores=AFTER.scores[:0], labels=AFTER.labels[:0]),
    ):
        with pytest.raises(
            ValueError,
            match=r"Image 1 has other detections after the step \(\d\) than before \(1\)",
        ):
            find_moves([BEFORE, BEFORE], [AFTER, other], [OBJECT, OBJECT])
    with pytest.raises(DataError, match="2 images but targets of 1"):
        find_moves([BEFORE] * 2, [AFTER] * 2, [OBJECT])


def test_paired_iou_is_the_diagonal():
    boxes = torch.rand(5, 4) + torch.tensor([0.0, 0, 1, 1])
    torch.testing.assert_close(paired_iou(boxes, boxes), torch.ones(5))
