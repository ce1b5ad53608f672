"""Saved boxes as a network gets them: clean, in order, and in training outside crowds."""

import pytest
import torch

from data.formats.proposal_boxes import clean_proposals, filter_crowd_proposals
from tests.data.formats.test_saved_proposals import SIZE


def cleaned(boxes, *, min_size=2.0, count=None):
    return clean_proposals(
        torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4),
        SIZE,
        min_size=min_size,
        count=count,
    ).tolist()


def test_cleaning_by_hand():
    big, same, other = [0, 0, 50, 50], [0.2, 0, 50.4, 49.8], [0, 0, 50.6, 50]
    assert cleaned([big, same, other]) == [big, pytest.approx(other)]  # 50.6 rounds to 51
    assert cleaned([[-9, -3, 300, 120]]) == [[0, 0, 200, 100]]  # clipped
    # and equal only then
    assert cleaned([[-9, -3, 300, 120], [-1, -1, 201, 101]]) == [[0, 0, 200, 100]]
    assert cleaned(
        [[10, 10, 12, 50], [10, 10, 50, 12], [10, 10, 12.1, 12.1], [250, 10, 300, 20]]
    ) == [pytest.approx([10, 10, 12.1, 12.1])]  # a side of 2 px or less, and one outside
    assert cleaned([[10, 10, 12, 50]], min_size=1.0) == [[10, 10, 12, 50]]
    # the count comes last
    assert cleaned([big, same, [5, 5, 6, 6], other], count=2) == [big, pytest.approx(other)]
    assert cleaned([]) == []


def test_cleaning_keeps_the_order():
    boxes = torch.rand(200, 4, generator=torch.Generator().manual_seed(0)) * 3
    boxes = torch.cat([boxes[:, :2], boxes[:, :2] + 3 + boxes[:, 2:]], dim=1)
    seen, expected = set(), []
    for box in boxes.tolist():
        if tuple(map(round, box)) not in seen:
            expected.append(box)
        seen.add(tuple(map(round, box)))
    assert 50 < len(expected) < 180
    assert cleaned(boxes.tolist()) == expected
    assert cleaned(boxes.tolist() * 2) == expected  # twice the same is once
    assert cleaned(cleaned(boxes.tolist())) == expected


def test_crowds():
    """A crowd of 100 x 100 px: half, 70 % and 80 % of the boxes' own area lie in it."""
    boxes = torch.tensor(
        [[50.0, 0, 150, 100], [30, 0, 130, 100], [20, 0, 120, 100], [5, 5, 6, 6], [150, 0, 160, 10]]
    )
    crowds = torch.tensor([[0.0, 0, 100, 100]])
    assert filter_crowd_proposals(boxes, crowds, 0.7).tolist() == boxes[[0, 1, 4]].tolist()
    assert filter_crowd_proposals(boxes, crowds, 1.0).tolist() == boxes.tolist()
    assert filter_crowd_proposals(boxes, crowds[:0], 0.7).tolist() == boxes.tolist()
    # each covers 40 %: no single one is enough
    halves = torch.tensor([[0.0, 0, 100, 50], [0, 50, 100, 100]])
    assert filter_crowd_proposals(boxes[2:3], halves, 0.7).tolist() == boxes[2:3].tolist()
    assert filter_crowd_proposals(boxes[:0], crowds, 0.7).shape == (0, 4)
