"""Which RoIs the second stage learns from, and what each of them learns."""

import pytest
import torch

from data.boxes import CenterSizeCoder, EdgeCoder
from data.records import Target
from models.matching import sample_rois

NONE = Target(boxes=torch.zeros(0, 4), labels=torch.zeros(0, dtype=torch.long))
ONE = Target(boxes=torch.tensor([[0.0, 0, 100, 10]]), labels=torch.tensor([3]))
PROPOSALS = torch.tensor(
    [[0.0, 0, 80, 10], [0, 0, 50, 10], [0, 0, 49, 10], [200, 0, 300, 10]]
)  # IoU .8 .5 .49 0


def draw(proposals, target, size=8, share=0.5, coder=None, seed=0):
    torch.manual_seed(seed)
    return sample_rois(
        proposals,
        target,
        coder or EdgeCoder(),
        rois_per_image=size,
        positive_share=share,
        positive_iou=0.5,
    )


@pytest.mark.parametrize("coder", [EdgeCoder(), CenterSizeCoder()])
def test_labels_and_targets(coder):
    boxes, labels, offsets, index = draw(PROPOSALS, ONE, coder=coder)
    assert not index.any()
    assert boxes.shape == offsets.shape == (8, 4)
    found = {
        (*box, label)
        for box, label in zip(boxes.tolist(), labels.tolist(), strict=True)
        if label >= 0
    }
    # the third is the ground truth itself
    assert found == {(0, 0, 80, 10, 3), (0, 0, 50, 10, 3), (0, 0, 100, 10, 3),
                     (0, 0, 49, 10, 0), (200, 0, 300, 10, 0)}  # fmt: skip
    assert (labels == -1).sum() == 3
    foreground = labels > 0
    torch.testing.assert_close(
        coder.decode(offsets[foreground], boxes[foreground]), ONE.boxes.expand(3, 4)
    )
    assert not offsets[(boxes == ONE.boxes).all(1) & foreground].any()


def test_a_foreground_roi_knows_its_object():
    two = Target(
        boxes=torch.tensor([[500.0, 500, 600, 600], [0.0, 0, 100, 10]]), labels=torch.tensor([2, 3])
    )
    _, labels, _, index = draw(PROPOSALS, two, size=8)
    assert set(zip(labels[labels > 0].tolist(), index[labels > 0].tolist(), strict=True)) == {
        (3, 1),
        (2, 0),
    }


def test_at_most_the_positive_share():
    _, labels, *_ = draw(PROPOSALS, ONE, size=4, share=0.25)
    assert sorted(labels.tolist()) == [-1, 0, 0, 3]


def test_without_objects_all_are_background_and_without_proposals_the_ground_truth_remains():
    _, labels, offsets, _ = draw(PROPOSALS, NONE)
    assert sorted(labels.tolist()) == [-1] * 4 + [0] * 4
    assert not offsets.any()
    boxes, labels, *_ = draw(PROPOSALS[:0], ONE)
    assert labels.tolist() == [3] + [-1] * 7
    assert boxes[0].tolist() == ONE.boxes[0].tolist()
    boxes, labels, offsets, _ = draw(PROPOSALS[:0], NONE)
    assert boxes.shape == offsets.shape == (8, 4)
    assert labels.tolist() == [-1] * 8


def test_draws_are_a_function_of_the_seed():
    many = torch.cat(
        [
            torch.zeros(60, 2),
            torch.rand(60, 2, generator=torch.Generator().manual_seed(1)) * 100 + 1,
        ],
        dim=1,
    )
    first, again, other = (draw(many, ONE, seed=seed)[0] for seed in (0, 0, 1))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
