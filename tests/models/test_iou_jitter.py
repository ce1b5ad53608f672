"""Jittered ground truth: equal numbers in each tenth of IoU, and its targets."""

import pytest
import torch

from data.boxes import box_iou, clip
from data.records import Target
from models.iou_jitter import MOVES, iou_targets, jitter_table, jittered_rois

TABLE = jitter_table()
FAR_AWAY = (10**6, 10**6)  # px: nothing is clipped


def jitter(gt_boxes, count=1000, image_size=FAR_AWAY, seed=0):
    torch.manual_seed(seed)
    return jittered_rois(
        torch.tensor(gt_boxes).reshape(-1, 4), image_size, count=count, table=TABLE
    )


def target_of(boxes, labels):
    return Target(
        boxes=torch.tensor(boxes).reshape(-1, 4), labels=torch.tensor(labels, dtype=torch.long)
    )


def iou_with(box, boxes):
    return box_iou(torch.tensor([box]), boxes)[0]


def test_a_move_has_the_iou_that_one_can_compute():
    """Half a width to the right and twice as wide: the boxes are [0, 1] and [0, 2]."""
    unit = torch.tensor([[0.0, 0, 1, 1]])
    moved = MOVES.decode(torch.tensor([[0.5, 0.0, 0.6931472, 0.0], [0.2, 0.0, 0.0, 0.0]]), unit)
    torch.testing.assert_close(moved, torch.tensor([[0.0, 0, 2, 1], [0.2, 0, 1.2, 1]]))
    torch.testing.assert_close(box_iou(unit, moved)[0], torch.tensor([0.5, 0.8 / 1.2]))


def test_the_table_is_sorted_into_tenths():
    unit = torch.tensor([[0.0, 0, 1, 1]])
    iou = box_iou(MOVES.decode(TABLE.deltas, unit), unit)[:, 0]
    assert int(TABLE.size.sum()) == len(TABLE.deltas)
    for bucket, (first, size) in enumerate(
        zip(TABLE.first.tolist(), TABLE.size.tolist(), strict=True)
    ):
        part = iou[first : first + size]
        assert 0.5 + bucket / 10 - 1e-6 <= part.min()
        assert part.max() <= 0.6 + bucket / 10 + 1e-6
        torch.testing.assert_close(
            TABLE.deltas[first : first + size, :2].mean(0), torch.zeros(2), atol=1e-4, rtol=0
        )
    assert iou.max() == 1
    assert (
        TABLE.deltas.abs().amax(0) >= torch.tensor([0.4, 0.4, 0.6, 0.6])
    ).all()  # far enough: IoU 1/2 is reached


def test_the_table_is_always_the_same_and_must_fill_its_buckets():
    assert jitter_table().deltas.equal(TABLE.deltas)
    assert len(jitter_table(steps=8, buckets=3).size) == 3
    with pytest.raises(ValueError, match="2 steps has no move in some of its 10 buckets"):
        jitter_table(steps=2, buckets=10)


@pytest.mark.parametrize(
    "box", [[100.0, 100, 200, 200], [500.0, 50, 1190, 60], [300.0, 900, 304, 1700]]
)
def test_equal_numbers_in_each_tenth_of_iou_whatever_the_shape(box):
    iou = iou_with(box, jitter([box]))
    assert iou.min() >= 0.5 - 1e-3  # rounding in px
    counts = torch.histc(iou.clamp(0.5, 1.0), bins=5, min=0.5, max=1.0)
    torch.testing.assert_close(counts, torch.full((5,), 200.0), atol=5, rtol=0)


def test_objects_take_turns():
    boxes = [[100.0, 100, 200, 200], [1000.0, 1000, 1500, 1100], [5000.0, 100, 5050, 300]]
    jittered = jitter(boxes, count=150)
    counts = [int((iou_with(box, jittered) > 0.4).sum()) for box in boxes]
    assert counts == [50, 50, 50]
    fewer = [bool((iou_with(box, jitter(boxes, count=5)) > 0.4).all()) for box in boxes]
    assert sum(fewer) == 1  # five boxes, one of each bucket: all of one object, which chance chose


def test_the_seed_decides():
    boxes = [[100.0, 100, 200, 200], [300.0, 300, 400, 500]]
    assert jitter(boxes, seed=3).equal(jitter(boxes, seed=3))
    assert not jitter(boxes, seed=3).equal(jitter(boxes, seed=4))


def test_clipped_boxes_learn_the_iou_they_have_then():
    """The object fills the image: whatever sticks out is cut off, so the IoU can only rise."""
    box, size = [0.0, 0, 80, 60], (60, 80)
    before, after = jitter([box]), jitter([box], image_size=size)
    assert after.equal(clip(before, size))
    labels, iou = iou_targets(after, target_of([box], [3]))
    torch.testing.assert_close(iou, iou_with(box, after))
    assert (iou >= iou_with(box, before) - 1e-6).all()
    assert (iou > iou_with(box, before) + 0.05).any()
    assert (labels == 3).all()


def test_a_box_learns_from_the_object_that_it_overlaps_most():
    boxes = torch.tensor(
        [[0.0, 0, 10, 8], [0.0, 0, 10, 18], [0.0, 0, 10, 3], [50.0, 50, 60, 60], [0.0, 0, 0, 0]]
    )
    labels, iou = iou_targets(boxes, target_of([[0.0, 0, 10, 10], [0.0, 0, 10, 20]], [5, 2]))
    assert labels.tolist() == [5, 2, 0, 0, 0]
    torch.testing.assert_close(iou, torch.tensor([0.8, 0.9, 0.3, 0, 0]))


def test_no_object_gives_boxes_that_do_not_count():
    boxes = jitter([], count=7)
    assert boxes.equal(torch.zeros(7, 4))
    labels, iou = iou_targets(boxes, target_of([], []))
    assert labels.tolist() == [0] * 7
    assert iou.tolist() == [0.0] * 7
    assert jitter([[1.0, 2, 3, 4]], count=0).shape == (0, 4)
