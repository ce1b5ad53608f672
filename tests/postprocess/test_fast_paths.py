"""The selection and the vote as they run against ``select`` and ``vote``, which are written to be
read: on crowds, repeated boxes, ties, boxes without area, and boxes far from the origin.
"""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torchvision import ops

from data.boxes import box_iou
from data.records import Candidates
from postprocess.best_first import decay_and_floor
from postprocess.class_slices import iou_of_places, slice_classes
from postprocess.hard_nms import MEMBERS_PER_CALL, calls, hard_nms
from postprocess.overlaps import SMALL, Overlaps
from postprocess.pipeline import PostprocessConfig, postprocess, postprocess_class
from postprocess.suppression import select
from postprocess.variance_voting import vote

SOFT = PostprocessConfig(suppression="soft_gaussian", sigma_t=0.02, score_threshold=0.0)
CONFIGS = {
    "gaussian": SOFT,
    "gaussian, high floor": replace(SOFT, score_floor=0.4),
    "gaussian, no floor": replace(SOFT, score_floor=0.0),
    "gaussian, narrow": replace(SOFT, soft_nms_sigma=0.001),  # factors that vanish in float32
    "linear": replace(SOFT, suppression="soft_linear", iou_threshold=0.3),
    "hard": replace(SOFT, suppression="hard"),
    "hard, 0": replace(SOFT, suppression="hard", iou_threshold=0.0),
    "hard, 1": replace(SOFT, suppression="hard", iou_threshold=1.0),
    "few": replace(SOFT, max_detections=7),
    "far voters only": replace(SOFT, voter_iou=0.6, sigma_t=0.005),
}
LARGE = SMALL + 60  # a group that is not small


def crowd(count, seed, spread=30.0):
    generator = torch.Generator().manual_seed(seed)
    corner = 200 + spread * torch.randn(count, 2, generator=generator)
    sides = 20 + 60 * torch.rand(count, 2, generator=generator)
    boxes = torch.cat([corner, corner + sides], dim=1)
    scores = torch.rand(count, generator=generator)
    return boxes, scores, torch.exp(2 * torch.randn(count, 4, generator=generator))


def inputs():
    boxes, scores, variances = crowd(LARGE, 1)
    few = slice(0, SMALL)
    grid = torch.tensor([[0.0, 0, 10, 10], [10, 0, 20, 10], [0, 10, 10, 20], [5, 0, 15, 10]])
    return {
        "one": (boxes[:1], scores[:1], variances[:1]),
        "small": (boxes[few], scores[few], variances[few]),
        "large": (boxes, scores, variances),
        "sparse": crowd(LARGE, 2, spread=2000.0),
        "repeated": (boxes[:1].expand(LARGE, 4).clone(), scores, variances),
        "equal scores": (boxes, (scores * 4).ceil() / 4, variances),
        "all equal": (boxes[few], torch.full((SMALL,), 0.5), torch.ones(SMALL, 4)),
        "borders touch": (grid, torch.tensor([0.9, 0.8, 0.7, 0.6]), torch.ones(4, 4)),
        "no area": (boxes[few] * torch.tensor([1.0, 1, 0, 0]), scores[few], variances[few]),
        "tiny": (boxes[few] * 1e-6, scores[few], variances[few]),
        "huge": (boxes[few] * 1e6, scores[few], variances[few]),
        "far away": (boxes[few] + 1e6, scores[few], variances[few]),
        "below the floor": (boxes, 0.5 * scores, variances),
        "certain and vague": (boxes, scores, (variances**15).clamp(max=1e38)),
    }


def reference(boxes, scores, variances, config):
    """Algorithm 1 for one class with ``select`` and ``vote``: boxes, scores, rows.

    The scores are float64: those of a box that is there 188 times vanish in float32.
    """
    decay, floor = decay_and_floor(config)
    valid = torch.ones(1, len(scores), dtype=torch.bool)
    chosen = select(
        boxes[None],
        scores.double()[None],
        valid,
        decay=decay,
        floor=floor,
        max_steps=config.max_detections,
    )
    kept = chosen.scores[0].isfinite()
    rows = chosen.slots[0, kept]
    iou = box_iou(boxes[rows], boxes)
    iou[torch.arange(len(rows)), rows] = 1
    voters = iou > config.voter_iou
    if config.voters == "remaining":
        voters &= chosen.exit_step >= torch.arange(len(rows))[:, None]
    everyone = boxes.expand(len(rows), -1, -1), variances.expand(len(rows), -1, -1)
    voted = vote(boxes[rows], *everyone, iou, voters, config.sigma_t)
    return voted, chosen.scores[0, kept].float(), rows


@pytest.mark.parametrize("voters", ["all", "remaining"])
@pytest.mark.parametrize("name", CONFIGS)
def test_one_class_equals_the_reference(name, voters):
    config = replace(CONFIGS[name], voters=voters)
    for what, (boxes, scores, variances) in inputs().items():
        found, found_scores, rows = postprocess_class(boxes, scores, variances, config)
        expected, expected_scores, expected_rows = reference(boxes, scores, variances, config)
        assert rows.tolist() == expected_rows.tolist(), what
        torch.testing.assert_close(found_scores, expected_scores, rtol=1e-5, atol=1e-7, msg=what)
        size = float(boxes.abs().max())
        torch.testing.assert_close(found, expected, rtol=0, atol=4e-7 * size, msg=what)


@pytest.mark.parametrize("name", ["gaussian", "few", "hard", "linear"])
def test_classes_and_images_are_independent(name):
    """The best D of an image are those of its classes, merged."""
    config = CONFIGS[name]
    sizes = {1: 3, 2: LARGE, 3: 1, 7: SMALL}
    images = []
    for seed in (3, 4):
        parts = [crowd(count, 10 * seed + label) for label, count in sizes.items()]
        boxes, scores, variances = (torch.cat(column) for column in zip(*parts, strict=True))
        labels = torch.tensor([label for label, count in sizes.items() for _ in range(count)])
        mixed = torch.randperm(len(labels), generator=torch.Generator().manual_seed(seed))
        images.append(
            Candidates(boxes=boxes, scores=scores, labels=labels, variances=variances).select(mixed)
        )
    for found, image in zip(postprocess(images, config), images, strict=True):
        merged = []
        for label in sizes:
            part = image.select(image.labels == label)
            each = reference(part.boxes, part.scores, part.variances, config)
            triples = zip(each[1].tolist(), each[0].tolist(), [label] * len(each[1]), strict=True)
            merged.extend(triples)
        merged = sorted(merged, key=lambda one: -one[0])[: config.max_detections]
        assert found.labels.tolist() == [label for _, _, label in merged]
        torch.testing.assert_close(found.scores, torch.tensor([one[0] for one in merged]))
        expected = torch.tensor([box for _, box, _ in merged])
        torch.testing.assert_close(found.boxes, expected, rtol=0, atol=1e-3)


def test_of_equal_scores_in_several_classes_the_lowest_rows_stay():
    apart = torch.arange(6.0)[:, None] * 100 + torch.tensor([0.0, 0, 10, 10])
    labels = torch.tensor([3, 1, 2, 1, 3, 2])
    for suppression in ("hard", "soft_gaussian"):
        config = PostprocessConfig(suppression=suppression, max_detections=4)
        found = postprocess(
            Candidates(boxes=apart, scores=torch.full((6,), 0.5), labels=labels), config
        )
        assert found.boxes.equal(apart[:4])
        assert found.labels.tolist() == [3, 1, 2, 1]


def test_iou_of_places_is_that_of_box_iou():
    boxes = torch.cat([crowd(50, 5)[0], torch.zeros(2, 4), torch.tensor([[9.0, 9, 3, 3]])])
    slices = slice_classes(boxes.numpy(), np.zeros(53, dtype=np.int64))
    every = np.arange(53)
    expected = box_iou(boxes, boxes)
    assert torch.from_numpy(iou_of_places(slices, every[:, None], every)).equal(expected)
    pairs = iou_of_places(slices, every.repeat(53), np.tile(every, 53))
    assert torch.from_numpy(pairs.reshape(53, 53)).equal(expected)


def test_neighborhoods_are_all_pairs_of_each_group_once():
    keys = torch.cat([torch.full((LARGE,), 5), torch.arange(4), torch.full((9,), 5)])
    keys = torch.cat([keys, torch.full((SMALL,), 2)])
    boxes = crowd(len(keys), 6)[0]
    slices = slice_classes(boxes.numpy(), keys.numpy())
    places = np.array([0, 5, len(keys) - 1, 4, len(keys) - 2])
    seen = {}
    for near in Overlaps(slices=slices).neighborhoods(places):
        columns = (part.ravel().tolist() for part in np.broadcast_arrays(*near))
        for box, member, iou in zip(*columns, strict=True):
            assert (box, member) not in seen
            seen[box, member] = iou
    ordered = keys[torch.from_numpy(slices.order)]
    same = ordered[torch.from_numpy(places), None] == ordered
    sorted_boxes = boxes[torch.from_numpy(slices.order)]
    expected = box_iou(sorted_boxes[torch.from_numpy(places)], sorted_boxes) * same
    expected[torch.arange(len(places)), torch.from_numpy(places)] = 1
    overlapping = set(map(tuple, expected.nonzero().tolist()))
    assert {pair for pair, iou in seen.items() if iou > 0} == overlapping
    for (box, member), iou in seen.items():
        assert iou == float(expected[box, member])


@pytest.mark.parametrize("threshold", [0.0, 0.3, 0.5, 0.7, 1.0])
def test_hard_nms_is_batched_nms(threshold):
    boxes, scores, _ = crowd(3 * MEMBERS_PER_CALL, 7, spread=100.0)
    for classes in (1, 5, 400):
        keys = torch.randint(classes, (len(boxes),), generator=torch.Generator().manual_seed(8))
        slices = slice_classes(boxes.numpy(), keys.numpy())
        places = hard_nms(slices, scores.double().numpy()[slices.order], threshold=threshold)
        expected = ops.batched_nms(boxes, scores, keys, threshold)
        assert set(slices.order[places].tolist()) == set(expected.tolist())


def test_a_box_at_the_threshold_stays_whatever_its_class_is_moved_by():
    # IoU exactly 1/2, of boxes at an odd place
    pair = torch.tensor([[0.3, 0.7, 10.3, 10.7], [0.3, 0.7, 10.3, 5.7]])
    assert float(box_iou(pair[:1], pair[1:])) == 0.5
    boxes = pair.repeat(20, 1)
    slices = slice_classes(boxes.numpy(), np.arange(20).repeat(2))
    assert len(hard_nms(slices, np.linspace(1, 0.5, 40), threshold=0.5)) == 40
    assert len(hard_nms(slices, np.linspace(1, 0.5, 40), threshold=0.499)) == 20


def test_calls_cover_every_place_once_and_split_no_group():
    keys = torch.tensor([0] * 3 + [1] * 9 + [2] * 2 + [4] + [5] * 7)
    slices = slice_classes(np.zeros((len(keys), 4), np.float32), keys.numpy())
    assert [(part.start, part.stop) for part in calls(slices, 5)] == [
        (0, 3),
        (3, 12),
        (12, 15),
        (15, 22),
    ]


def test_a_selected_box_votes_although_float32_takes_it_for_suppressed():
    """IoU 0.5: at most the threshold in float64, in which NMS compares, larger in float32."""
    boxes = torch.tensor(
        [[291.86218, 70.262245, 466.50253, 149.79517], [350.07562, 70.262245, 524.716, 149.79517]]
    )
    config = replace(CONFIGS["hard"], iou_threshold=0.5, voters="remaining")
    assert box_iou(boxes[:1], boxes[1:]).item() > 0.5
    voted, _, rows = postprocess_class(boxes, torch.tensor([0.9, 0.8]), torch.ones(2, 4), config)
    assert rows.tolist() == [0, 1]
    assert torch.equal(voted[1], boxes[1])  # the first box has left, so it votes alone


@pytest.mark.parametrize("count", [SMALL, LARGE])
def test_without_a_floor_no_box_is_lost_to_underflow(count):
    """exp(-1 / 0.02) again and again is below the smallest double after a few steps."""
    boxes = torch.tensor([[0.0, 0, 10, 10]]).repeat(count, 1)
    config = replace(SOFT, score_floor=0.0, soft_nms_sigma=0.02)
    _, scores, rows = postprocess_class(
        boxes, torch.full((count,), 0.5), torch.ones(count, 4), config
    )
    assert rows.tolist() == list(range(min(count, 100)))
    assert (scores.diff() <= 0).all()


def test_a_huge_box_changes_nothing_in_another_image():
    boxes, scores, variances = crowd(SMALL, 6)
    same = torch.zeros(SMALL, dtype=torch.int64)
    image = Candidates(boxes=boxes, scores=scores, labels=same, variances=variances)
    huge = Candidates(
        boxes=torch.tensor([[0.0, 0, 1e15, 1e15]]),
        scores=torch.tensor([0.9]),
        labels=same[:1],
        variances=torch.ones(1, 4),
    )
    alone = postprocess(image, CONFIGS["hard"])
    beside = postprocess([huge, image], CONFIGS["hard"])[1]
    assert torch.equal(alone.boxes, beside.boxes)
    assert torch.equal(alone.scores, beside.scores)
