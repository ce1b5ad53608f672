"""VOC average precision against a small independent implementation and precision-recall curves
worked out by hand.
"""

import math

import numpy as np
import pytest
import torch

from data.errors import DataError
from data.records import Detections, Target
from data.scoring.voc import area_ap, eleven_point_ap, evaluate_voc, recall_precision


def target(boxes, labels=None, difficult=None):
    labels = [1] * len(boxes) if labels is None else labels
    return Target(
        boxes=torch.tensor(boxes).reshape(-1, 4).float(),
        labels=torch.tensor(labels, dtype=torch.int64),
        difficult=None if difficult is None else torch.tensor(difficult),
    )


def found(boxes, scores, labels=None):
    labels = [1] * len(boxes) if labels is None else labels
    return Detections(
        boxes=torch.tensor(boxes).reshape(-1, 4).float(),
        scores=torch.tensor(scores).float(),
        labels=torch.tensor(labels, dtype=torch.int64),
    )


BOXES = [[float(x), 0.0, float(x) + 10, 10.0] for x in (0, 20, 40, 60)]
FAR = [200.0, 200.0, 210.0, 210.0]


def test_curve_by_hand():
    # 4 objects; right, wrong, right, right in order of score: recall 1/4 1/4 2/4 3/4, precision 1
    # 1/2 2/3 3/4.
    recall, precision = recall_precision(np.array([0.9, 0.8, 0.7, 0.6]), np.array([0, -1, 1, 2]), 4)
    assert recall == pytest.approx([0.25, 0.25, 0.5, 0.75])
    assert precision == pytest.approx([1.0, 0.5, 2 / 3, 0.75])
    # Best precision at recall >= 0 .1 .2: 1; at .3 .4 .5 .6 .7: 3/4; at .8 .9 1: 0.
    assert eleven_point_ap(recall, precision) == pytest.approx((3 * 1 + 5 * 0.75) / 11)
    assert area_ap(recall, precision) == pytest.approx(0.25 * 1 + 0.5 * 0.75)


@pytest.mark.parametrize(("eleven_point", "expected"), [(True, 100 * 6.75 / 11), (False, 62.5)])
def test_the_same_curve_from_boxes(eleven_point, expected):
    detections = [found([BOXES[0], FAR, BOXES[1], BOXES[2]], [0.9, 0.8, 0.7, 0.6])]
    assert evaluate_voc(detections, [target(BOXES)], 1, eleven_point=eleven_point)[
        "mAP"
    ] == pytest.approx(expected)


def test_an_object_is_found_once():
    # The second hit on object 0 is wrong: right, wrong, right of 2 objects; precision 1 1/2 2/3 at
    # recall .5 .5 1.
    detections = [found([BOXES[0], BOXES[0], BOXES[1]], [0.9, 0.8, 0.7])]
    scores = evaluate_voc(detections, [target(BOXES[:2])], 1, eleven_point=False)
    assert scores["mAP"] == pytest.approx(100 * (0.5 + 0.5 * 2 / 3))


def test_difficult_objects_neither_count_nor_hurt():
    easy, hard = target(BOXES[:2]), target(BOXES[:3], difficult=[False, False, True])
    plain = [found([BOXES[0], FAR, BOXES[1]], [0.9, 0.8, 0.7])]
    also_hard = [found([BOXES[2], BOXES[2], BOXES[0], FAR, BOXES[1]], [0.99, 0.98, 0.9, 0.8, 0.7])]
    for eleven_point in (True, False):
        expected = evaluate_voc(plain, [easy], 1, eleven_point=eleven_point)["mAP"]
        assert evaluate_voc(plain, [hard], 1, eleven_point=eleven_point)["mAP"] == pytest.approx(
            expected
        )
        assert evaluate_voc(also_hard, [hard], 1, eleven_point=eleven_point)[
            "mAP"
        ] == pytest.approx(expected)


def test_crowds_of_coco_data_neither_count_nor_hurt():
    crowd = torch.tensor([False, False, True])
    plain, hard = target(BOXES[:3]), target(BOXES[:3], difficult=crowd.tolist())
    with_crowd = Target(boxes=plain.boxes, labels=plain.labels, crowd=crowd)
    for boxes in (BOXES[:2], BOXES[:3]):
        some = [found(boxes, [0.9, 0.8, 0.95][: len(boxes)])]
        assert evaluate_voc(some, [with_crowd], 1) == evaluate_voc(some, [hard], 1)
        assert evaluate_voc(some, [with_crowd], 1)["mAP"] == pytest.approx(100)


def test_iou_must_be_larger_than_the_threshold():
    half = [found([[0.0, 0, 10, 5]], [0.9])]  # IoU exactly 0.5
    assert evaluate_voc(half, [target(BOXES[:1])], 1)["mAP"] == 0.0
    assert evaluate_voc(half, [target(BOXES[:1])], 1, iou_threshold=0.49)["mAP"] == pytest.approx(
        100.0
    )


def test_inclusive_pixels_of_the_devkit_are_continuous_edges():
    # Devkit: object xmin 1 xmax 10, detection xmin 1 xmax 5, both ymin 1 ymax 10: widths 10 and 5,
    # IoU exactly .5. Without the "+1" it would be 4 / 9 = .44. Continuous: x1 = xmin - 1, x2 =
    # xmax.
    detections = [found([[0.0, 0, 5, 10]], [0.9])]
    assert evaluate_voc(detections, [target([[0.0, 0, 10, 10]])], 1, iou_threshold=0.45)[
        "mAP"
    ] == pytest.approx(100.0)


@pytest.mark.fault("R44")
def test_classes_without_objects_are_left_out_of_the_mean():
    detections = [found([BOXES[0], BOXES[1], BOXES[2]], [0.9, 0.8, 0.7], [1, 2, 3])]
    scores = evaluate_voc(
        detections, [target(BOXES[:2] + BOXES[3:], [1, 4, 4], [False, False, False])], 5
    )
    assert scores["AP_per_class"][0] == pytest.approx(100.0)
    assert scores["AP_per_class"][3] == 0.0
    assert all(math.isnan(scores["AP_per_class"][k]) for k in (1, 2, 4))
    assert scores["mAP"] == pytest.approx(50.0)
    only_difficult = evaluate_voc([found([], [])], [target(BOXES[:1], difficult=[True])], 1)
    assert math.isnan(only_difficult["mAP"])


@pytest.mark.fault("R43")
def test_nothing_found_and_no_images():
    assert evaluate_voc([found([], [])], [target(BOXES)], 1)["mAP"] == 0.0
    assert math.isnan(evaluate_voc([], [], 2)["mAP"])


def plain_ap(detections, targets, label, threshold, eleven_point):
    """The protocol as py-faster-rcnn's loop runs it, written afresh."""
    taken, objects = set(), 0
    for t in targets:
        objects += sum(
            1
            for k, hard in zip(t.labels.tolist(), t.difficult.tolist(), strict=True)
            if k == label and not hard
        )
    entries = [
        (-score, image, box)
        for image, d in enumerate(detections)
        for score, box, k in zip(
            d.scores.tolist(), d.boxes.tolist(), d.labels.tolist(), strict=True
        )
        if k == label
    ]
    entries.sort(key=lambda entry: entry[0])
    right = wrong = 0
    curve = []
    for _, image, box in entries:
        t, best, which = targets[image], -1.0, None
        for index, (other, k) in enumerate(zip(t.boxes.tolist(), t.labels.tolist(), strict=True)):
            w, h = (
                min(box[2], other[2]) - max(box[0], other[0]),
                min(box[3], other[3]) - max(box[1], other[1]),
            )
            inner = max(w, 0) * max(h, 0)
            union = (
                (box[2] - box[0]) * (box[3] - box[1])
                + (other[2] - other[0]) * (other[3] - other[1])
                - inner
            )
            if k == label and inner / union > best:
                best, which = inner / union, index
        if best > threshold:
            if t.difficult[which]:
                continue
            if (image, which) in taken:
                wrong += 1
            else:
                right += 1
            taken.add((image, which))
        else:
            wrong += 1
        curve.append((right / objects, right / (right + wrong)))
    if eleven_point:
        return (
            sum(max([p for r, p in curve if r >= t], default=0) for t in np.arange(0.0, 1.1, 0.1))
            / 11
        )
    total, last = 0.0, 0.0
    for index, (r, _) in enumerate(curve):
        total += (r - last) * max(p for _, p in curve[index:])
        last = r
    return total


@pytest.mark.parametrize("threshold", [0.5, 0.75, 0.9])
@pytest.mark.parametrize("eleven_point", [True, False])
def test_equals_a_plain_loop_on_random_data(threshold, eleven_point):
    generator = torch.Generator().manual_seed(0)
    detections, targets = [], []
    for _ in range(15):
        count = int(torch.randint(0, 8, (1,), generator=generator))
        corner = 80 * torch.rand(count, 2, generator=generator)
        boxes = torch.cat(
            [corner, corner + 20 + 40 * torch.rand(count, 2, generator=generator)], dim=1
        )
        labels = torch.randint(1, 4, (count,), generator=generator)
        difficult = torch.rand(count, generator=generator) < 0.2
        targets.append(Target(boxes=boxes, labels=labels, difficult=difficult))
        near = boxes.repeat(2, 1) + 2 * torch.randn(2 * count, 4, generator=generator)
        alarm = torch.cat(
            [torch.zeros(3, 2), 30 + 10 * torch.rand(3, 2, generator=generator)], dim=1
        )
        detections.append(
            Detections(
                boxes=torch.cat([near, alarm]),
                scores=torch.rand(2 * count + 3, generator=generator),
                labels=torch.cat([labels.repeat(2), torch.tensor([1, 2, 3])]),
            )
        )
    scores = evaluate_voc(
        detections, targets, 3, iou_threshold=threshold, eleven_point=eleven_point
    )
    expected = [
        100 * plain_ap(detections, targets, label, threshold, eleven_point) for label in (1, 2, 3)
    ]
    assert scores["AP_per_class"] == pytest.approx(expected)
    assert scores["mAP"] == pytest.approx(np.mean(expected))
    assert scores["mAP"] > 1


def test_inputs_that_do_not_fit_are_named():
    with pytest.raises(DataError, match="same order"):
        evaluate_voc([found([], [])], [], 1)
    with pytest.raises(DataError, match="image 0"):
        evaluate_voc([found([FAR], [0.5], [7])], [target([])], 3)
