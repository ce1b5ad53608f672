"""Proposals: the anchors that survive decoding, clipping, the least size and suppression."""

import pytest
import torch
from torchvision import ops

from data.boxes import CenterSizeCoder, EdgeCoder, box_iou
from models.proposals import best_kept, propose

CODER = EdgeCoder(weight=1.0)
RULE = {"pre_nms": 100, "post_nms": 50, "nms_iou": 0.7, "min_size": 16.0}
SIZE = (200, 300)


def still(anchors, scores, size=SIZE, **changed):
    """Proposals when every offset is zero."""
    anchors = torch.tensor(anchors)
    boxes, objectness = propose(
        anchors, torch.tensor(scores), torch.zeros_like(anchors), size, CODER, **RULE | changed
    )
    assert len(boxes) == len(objectness)
    assert objectness.tolist() == sorted(objectness.tolist(), reverse=True)
    return boxes


def random_input(count=400):
    generator = torch.Generator().manual_seed(0)
    corner = torch.rand(count, 2, generator=generator) * 250
    anchors = torch.cat(
        [corner, corner + 20 + torch.rand(count, 2, generator=generator) * 100], dim=1
    )
    return (
        anchors,
        torch.randn(count, generator=generator),
        torch.randn(count, 4, generator=generator) * 0.2,
    )


def test_best_first_clipped_and_without_duplicates():
    found = still(
        [[0.0, 0, 40, 40], [0.0, 0, 40, 41], [100, 100, 140, 140], [280, 180, 330, 230]],
        [1.0, 2.0, 3.0, 0.0],
    )
    assert found.tolist() == [[100, 100, 140, 140], [0, 0, 40, 41], [280, 180, 300, 200]]


def test_small_boxes_are_dropped_after_clipping():
    found = still([[0.0, 0, 15.9, 40], [0, 50, 16, 90], [290, 0, 340, 40]], [3.0, 2.0, 1.0])
    assert found.tolist() == [[0, 50, 16, 90]]


@pytest.mark.parametrize("min_size", [0.0, 16.0])
def test_inverted_and_empty_boxes_are_dropped(min_size):
    anchors, offsets = (
        torch.tensor([[0.0, 0, 40, 40], [60.0, 60, 99, 99]]),
        torch.tensor([[1.5, 0, 0, 0], [0.0] * 4]),
    )
    found, _ = propose(
        anchors, torch.tensor([2.0, 1.0]), offsets, SIZE, CODER, **RULE | {"min_size": min_size}
    )
    assert found.tolist() == [[60, 60, 99, 99]]
    outside = still([[400.0, 0, 440, 40]], [1.0], min_size=min_size)
    assert outside.shape == (0, 4)


def test_counts_before_and_after_suppression():
    boxes = [[50.0 * i, 0, 50.0 * i + 40, 40] for i in range(5)]
    assert len(still(boxes, [5.0, 4, 3, 2, 1], pre_nms=3)) == 3
    found = still(boxes, [1.0, 2, 3, 4, 5], post_nms=2)
    assert found[:, 0].tolist() == [200.0, 150.0]


@pytest.mark.parametrize("coder", [CODER, CenterSizeCoder(weights=(1.0, 1.0, 1.0, 1.0))])
def test_laws_on_random_boxes(coder):
    found, _ = propose(*random_input(), SIZE, coder, **RULE)
    assert 0 < len(found) <= 50
    assert (found >= 0).all()
    assert (found <= torch.tensor([300.0, 200, 300, 200])).all()
    assert ((found[:, 2:] - found[:, :2]) >= 16).all()
    assert box_iou(found, found).fill_diagonal_(0).max() <= 0.7


def test_no_gradient_and_nothing_in_nothing_out():
    anchors, scores, offsets = random_input(20)
    found = propose(anchors, scores.requires_grad_(), offsets.requires_grad_(), SIZE, CODER, **RULE)
    assert not any(part.requires_grad for part in found)
    none = torch.zeros(0, 4)
    assert [part.shape for part in propose(none, torch.zeros(0), none, SIZE, CODER, **RULE)] == [
        (0, 4),
        (0,),
    ]


def test_equal_objectness_keeps_the_order_of_the_anchors():
    boxes = [
        [20.0 * (i % 14), 20.0 * (i // 14), 20.0 * (i % 14) + 18, 20.0 * (i // 14) + 18]
        for i in range(98)
    ]
    assert still(boxes, [0.0] * 98, pre_nms=60).tolist() == boxes[:50]


def test_each_level_brings_its_own_best_and_suppresses_within_itself():
    """Two levels with the same boxes: neither takes the other's places, and neither removes the
    other's boxes."""
    boxes = torch.tensor([[50.0 * i, 0, 50.0 * i + 40, 40] for i in range(4)]).repeat(2, 1)
    scores = torch.tensor([8.0, 7, 6, 5, 4, 3, 2, 1])
    found, objectness = propose(
        boxes, scores, torch.zeros_like(boxes), SIZE, CODER, **RULE | {"pre_nms": 3}, levels=(4, 4)
    )
    assert objectness.tolist() == [8, 7, 6, 4, 3, 2]
    assert found[:, 0].tolist() == [0, 50, 100, 0, 50, 100]
    few, _ = propose(
        boxes, scores, torch.zeros_like(boxes), SIZE, CODER, **RULE | {"post_nms": 5}, levels=(4, 4)
    )
    assert len(few) == 5
    together, _ = propose(boxes, scores, torch.zeros_like(boxes), SIZE, CODER, **RULE)
    assert len(together) == 4


def test_one_level_is_no_levels():
    for a, b in zip(
        propose(*random_input(), SIZE, CODER, **RULE),
        propose(*random_input(), SIZE, CODER, **RULE, levels=(400,)),
        strict=True,
    ):
        assert torch.equal(a, b)


@pytest.mark.parametrize("count", [1, 3, 20, 50, 400])
def test_the_first_boxes_keep_what_they_keep_among_all(count):
    """At IoU 0.05 so few stay that more boxes are looked at."""
    boxes, scores, _ = random_input()
    scores = scores.sort(descending=True).values.round(decimals=1)  # with ties
    for nms_iou in (0.05, 0.3, 0.7):
        expected = ops.nms(boxes, scores, nms_iou)[:count]
        assert torch.equal(best_kept(boxes, scores, nms_iou, count), expected)
    assert len(best_kept(boxes[:0], scores[:0], 0.7, count)) == 0
