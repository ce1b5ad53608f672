"""The selection loop against hand-checked soft-NMS numbers, torchvision's NMS, and a plain loop."""

from functools import partial

import pytest
import torch
import torchvision

from postprocess.groups import group_rows
from postprocess.suppression import gaussian_decay, hard_decay, linear_decay, select, selected_slots
from tests.six_boxes import SIX, SIX_SCORES

# Six boxes with inclusive pixels (the "+1" rule); x2 and y2 are shifted by one to get the same IoU
# from continuous edges. IoU: 0-1 .850423, 0-2 .776486, 0-3 .380125, 1-2 .662704, 1-3 .385216, 2-3
# .363258, 4-5 .768527, all others 0.
BOXES = torch.tensor(
    [
        [100.0, 100, 200, 220],
        [104.0, 98, 206, 214],
        [96.0, 108, 190, 226],
        [120.0, 130, 230, 260],
        [400.0, 300, 460, 380],
        [402.0, 305, 470, 378],
    ]
) + torch.tensor([0.0, 0, 1, 1])
SCORES = torch.tensor([0.9, 0.8, 0.6, 0.55, 0.7, 0.3])

GAUSSIAN = [(0, 0.9), (4, 0.7), (3, 0.411961), (1, 0.139965), (5, 0.092067), (2, 0.057329)]
# (decay, floor, selected (index, score) in order). Example: gaussian, box 3 after box 0: .55
# exp(-.380125^2 / .5) = .411961; linear with threshold .3: .55 (1 - .380125) = .340931; box 5 after
# box 4: .3 (1 - .768527) = .069442.
CASES = {
    "linear_0.3": (
        partial(linear_decay, threshold=0.3),
        0.001,
        [(0, 0.9), (4, 0.7), (3, 0.340931), (2, 0.085393), (5, 0.069442), (1, 0.024814)],
    ),
    "linear_0.5": (
        partial(linear_decay, threshold=0.5),
        0.0001,
        [(0, 0.9), (4, 0.7), (3, 0.55), (2, 0.134109), (5, 0.069442), (1, 0.040361)],
    ),
    "gaussian_floor_0.001": (partial(gaussian_decay, sigma=0.5), 0.001, GAUSSIAN),
    "gaussian_floor_0.0001": (partial(gaussian_decay, sigma=0.5), 0.0001, GAUSSIAN),
    "gaussian_floor_0.1": (partial(gaussian_decay, sigma=0.5), 0.1, GAUSSIAN[:4]),
    "hard_0.5": (partial(hard_decay, threshold=0.5), -torch.inf, [(0, 0.9), (4, 0.7), (3, 0.55)]),
    "hard_0.3": (partial(hard_decay, threshold=0.3), -torch.inf, [(0, 0.9), (4, 0.7)]),
}


def select_one(boxes, scores, decay, floor=-torch.inf, max_steps=10**6):
    """The selection in one group: slots, scores, exit steps."""
    valid = torch.ones(1, len(scores), dtype=torch.bool)
    selection = select(
        boxes[None], scores[None], valid, decay=decay, floor=floor, max_steps=max_steps
    )
    chosen = selection.scores[0].isfinite()
    return selection.slots[0, chosen], selection.scores[0, chosen], selection.exit_step[0]


@pytest.mark.parametrize("name", CASES)
def test_worked_examples(name):
    decay, floor, expected = CASES[name]
    slots, scores, _ = select_one(BOXES, SCORES, decay, floor)
    assert slots.tolist() == [index for index, _ in expected]
    torch.testing.assert_close(
        scores, torch.tensor([score for _, score in expected]), atol=1e-6, rtol=0
    )


# IoU 0-2 .312, 1-2 .322314. Gaussian, box 2 after box 0: .6 exp(-.312^2 / .5) = .493855; linear,
# box 1: .85 (1 - .861575) = .117661.
@pytest.mark.parametrize(
    ("decay", "expected"),
    [
        (partial(hard_decay, threshold=0.5), [(0, 0.9), (2, 0.6), (3, 0.55)]),
        (
            partial(linear_decay, threshold=0.5),
            [(0, 0.9), (2, 0.6), (3, 0.55), (1, 0.117661), (5, 0.06), (4, 0.008047)],
        ),
        (
            partial(gaussian_decay, sigma=0.5),
            [(0, 0.9), (3, 0.55), (2, 0.493855), (1, 0.156466), (5, 0.083411), (4, 0.018611)],
        ),
    ],
)
def test_worked_examples_with_continuous_edges(decay, expected):
    slots, scores, _ = select_one(SIX, SIX_SCORES, decay, 0.001)
    assert slots.tolist() == [index for index, _ in expected]
    torch.testing.assert_close(
        scores, torch.tensor([score for _, score in expected]), atol=1e-6, rtol=0
    )


def test_a_selection_from_a_set_is_sorted_by_score():
    kept = torch.tensor([[True, False, True, True], [False, False, False, False]])
    selection = selected_slots(kept, torch.tensor([[0.2, 0.9, 0.5, 0.5], [0.1, 0.2, 0.3, 0.4]]))
    assert selection.slots[0, :3].tolist() == [2, 3, 0]  # of equal scores the lowest slot
    assert selection.scores[0, :3].tolist() == pytest.approx([0.5, 0.5, 0.2])
    assert selection.scores.isfinite().sum(dim=1).tolist() == [3, 0]
    assert selection.exit_step.tolist() == [[2, 4, 0, 1], [4, 4, 4, 4]]  # 4: still there at the end


def test_exit_steps():
    # Hard, 0.5: step 0 takes box 0 and drops 1 and 2; step 1 takes 4 and drops 5; step 2 takes 3.
    assert select_one(BOXES, SCORES, CASES["hard_0.5"][0])[2].tolist() == [0, 0, 0, 2, 1, 1]
    # Gaussian: all are selected one after the other, in the order 0 4 3 1 5 2.
    assert select_one(BOXES, SCORES, CASES["gaussian_floor_0.001"][0], 0.001)[2].tolist() == [
        0,
        3,
        5,
        2,
        1,
        4,
    ]
    # Stopped after two steps, the rest is still there.
    assert select_one(BOXES, SCORES, CASES["gaussian_floor_0.001"][0], 0.001, 2)[2].tolist() == [
        0,
        2,
        2,
        2,
        1,
        2,
    ]


def test_fewer_steps_give_the_first_of_all():
    slots, scores, _ = select_one(BOXES, SCORES, CASES["gaussian_floor_0.001"][0], 0.001)
    few_slots, few_scores, _ = select_one(BOXES, SCORES, CASES["gaussian_floor_0.001"][0], 0.001, 4)
    assert few_slots.equal(slots[:4])
    assert few_scores.equal(scores[:4])


def random_boxes(count, generator):
    corner = torch.rand(count, 2, generator=generator) * 100
    return torch.cat([corner, corner + 10 + 60 * torch.rand(count, 2, generator=generator)], dim=1)


@pytest.mark.parametrize("threshold", [0.0, 0.3, 0.5, 0.7, 1.0])
def test_hard_is_torchvision_nms(threshold):
    generator = torch.Generator().manual_seed(3)
    for count in (1, 2, 50, 300):
        boxes, scores = random_boxes(count, generator), torch.rand(count, generator=generator)
        slots, kept, _ = select_one(boxes, scores, partial(hard_decay, threshold=threshold))
        expected = torchvision.ops.nms(boxes, scores, threshold)
        assert slots.equal(expected)
        assert kept.equal(scores[expected])


def test_groups_advance_together_as_batched_nms():
    generator = torch.Generator().manual_seed(4)
    boxes, scores = random_boxes(400, generator), torch.rand(400, generator=generator)
    labels = torch.randint(1, 8, (400,), generator=generator) ** 2  # groups of different sizes
    groups = group_rows(labels)
    selection = select(
        boxes[groups.members],
        scores[groups.members],
        groups.valid,
        decay=partial(hard_decay, threshold=0.5),
        floor=-torch.inf,
        max_steps=400,
    )
    group, step = selection.scores.isfinite().nonzero(as_tuple=True)
    rows = groups.members[group, selection.slots[group, step]]
    assert set(rows.tolist()) == set(
        torchvision.ops.batched_nms(boxes, scores, labels, 0.5).tolist()
    )


def test_group_rows_is_a_permutation_sorted_by_size():
    groups = group_rows(torch.tensor([5, 2, 5, 5, 2, 9]))
    assert groups.members[groups.valid].tolist() == [0, 2, 3, 1, 4, 5]
    assert groups.valid.tolist() == [[True, True, True], [True, True, False], [True, False, False]]


def test_equal_scores_take_the_lowest_slot_and_equal_iou_survives():
    apart = torch.tensor([[0.0, 0, 10, 10], [20.0, 0, 30, 10], [40.0, 0, 50, 10]])
    slots, _, _ = select_one(apart, torch.full((3,), 0.5), partial(hard_decay, threshold=0.5))
    assert slots.tolist() == [0, 1, 2]
    half = torch.tensor([[0.0, 0, 10, 10], [0.0, 0, 10, 5]])  # IoU exactly 0.5
    assert (
        len(select_one(half, torch.tensor([0.9, 0.8]), partial(hard_decay, threshold=0.5))[0]) == 2
    )
    assert (
        len(select_one(half, torch.tensor([0.9, 0.8]), partial(hard_decay, threshold=0.49))[0]) == 1
    )


def test_floor_is_for_overlapping_boxes_only():
    boxes = torch.tensor([[0.0, 0, 10, 10], [1.0, 0, 11, 10], [50.0, 50, 60, 60]])
    scores = torch.tensor([0.9, 0.0011, 0.0005])
    slots, kept, _ = select_one(boxes, scores, partial(gaussian_decay, sigma=0.5), 0.001)
    assert slots.tolist() == [0, 2]
    assert kept.equal(scores[[0, 2]])
    assert select_one(boxes, scores, partial(hard_decay, threshold=0.9))[0].tolist() == [0, 1, 2]


def test_identical_boxes():
    # IoU 1: the second score falls to .8 exp(-2) = .108268
    boxes = torch.tensor([[0.0, 0, 10, 10], [0.0, 0, 10, 10]])
    _, scores, _ = select_one(
        boxes, torch.tensor([0.9, 0.8]), partial(gaussian_decay, sigma=0.5), 0.001
    )
    torch.testing.assert_close(scores, torch.tensor([0.9, 0.108268]), atol=1e-6, rtol=0)
    assert (
        len(
            select_one(boxes, torch.tensor([0.9, 0.8]), partial(linear_decay, threshold=0.5), 0.0)[
                0
            ]
        )
        == 1
    )


def test_no_boxes():
    slots, scores, exit_step = select_one(
        torch.zeros(0, 4), torch.zeros(0), partial(hard_decay, threshold=0.5)
    )
    assert len(slots) == len(scores) == len(exit_step) == 0
