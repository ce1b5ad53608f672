"""COCO scores against pycocotools called by hand and against numbers that can be worked out on
paper.
"""

import contextlib
import io
import json
import math

import pytest
import torch
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from data.errors import DataError
from data.formats.masks import encode_masks
from data.records import Detections, Target
from data.scoring.coco import coco_tables, evaluate_coco, summarize_per_class

# pycocotools' order
SUMMARY = ["AP", "AP50", "AP75", "APS", "APM", "APL", "AR1", "AR10", "AR100", "ARS", "ARM", "ARL"]
KEYS = {*SUMMARY, *(f"AP{iou}" for iou in range(50, 100, 5))}


def target(boxes, labels=None, **columns):
    labels = [1] * len(boxes) if labels is None else labels
    return Target(
        boxes=torch.tensor(boxes).reshape(-1, 4).float(),
        labels=torch.tensor(labels, dtype=torch.int64),
        **columns,
    )


def found(boxes, scores, labels=None):
    labels = [1] * len(boxes) if labels is None else labels
    return Detections(
        boxes=torch.tensor(boxes).reshape(-1, 4).float(),
        scores=torch.tensor(scores).float(),
        labels=torch.tensor(labels, dtype=torch.int64),
    )


def random_data(images=12, classes=4, seed=0):
    """Detections that are jittered objects plus false alarms; crowds, small objects and segment
    areas included.
    """
    generator = torch.Generator().manual_seed(seed)
    detections, targets = [], []
    for _ in range(images):
        count = int(torch.randint(0, 7, (1,), generator=generator))
        corner = 300 * torch.rand(count, 2, generator=generator)
        boxes = torch.cat(
            [corner, corner + 5 + 250 * torch.rand(count, 2, generator=generator) ** 2], dim=1
        )
        labels = torch.randint(1, classes + 1, (count,), generator=generator)
        sides = boxes[:, 2:] - boxes[:, :2]
        targets.append(
            Target(
                boxes=boxes,
                labels=labels,
                crowd=torch.rand(count, generator=generator) < 0.15,
                area=0.7 * sides[:, 0] * sides[:, 1],
            )
        )
        jitter = boxes.repeat(3, 1) + 4 * torch.randn(3 * count, 4, generator=generator)
        alarm = 300 * torch.rand(4, 2, generator=generator)
        detections.append(
            Detections(
                boxes=torch.cat([jitter, torch.cat([alarm, alarm + 40], dim=1)]),
                scores=torch.rand(3 * count + 4, generator=generator),
                labels=torch.cat(
                    [labels.repeat(3), torch.randint(1, classes + 1, (4,), generator=generator)]
                ),
            )
        )
    return detections, targets


def by_hand(detections, targets, classes):
    """pycocotools on hand-written dicts, with file-like ids and loadRes, and its own summary of 12
    numbers.
    """
    images = [{"id": 1000 + 7 * i} for i in range(len(targets))]
    annotations, results = [], []
    for image, t, d in zip(images, targets, detections, strict=True):
        for box, label, area, crowd in zip(
            t.boxes.double(), t.labels, t.area, t.crowd, strict=True
        ):
            annotations.append(
                {
                    "id": 500 + len(annotations),
                    "image_id": image["id"],
                    "category_id": int(label),
                    "bbox": [
                        float(box[0]),
                        float(box[1]),
                        float(box[2] - box[0]),
                        float(box[3] - box[1]),
                    ],
                    "area": float(area),
                    "iscrowd": int(crowd),
                }
            )
        for box, label, score in zip(d.boxes.double(), d.labels, d.scores, strict=True):
            results.append(
                {
                    "image_id": image["id"],
                    "category_id": int(label),
                    "bbox": [
                        float(box[0]),
                        float(box[1]),
                        float(box[2] - box[0]),
                        float(box[3] - box[1]),
                    ],
                    "score": float(score),
                }
            )
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO()
        truth.dataset = {
            "images": images,
            "annotations": annotations,
            "categories": [{"id": k} for k in range(1, classes + 1)],
            "info": {},
        }
        truth.createIndex()
        evaluation = COCOeval(truth, truth.loadRes(results), "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return evaluation


def test_equals_pycocotools_called_by_hand(capsys):
    detections, targets = random_data()
    scores = evaluate_coco(detections, targets, 4)
    assert capsys.readouterr().out == ""
    evaluation = by_hand(detections, targets, 4)
    for name, expected in zip(SUMMARY, evaluation.stats, strict=True):
        assert scores[name] == pytest.approx(100 * expected, abs=1e-9), name
    for index, iou in enumerate(range(50, 100, 5)):
        table = evaluation.eval["precision"][index, :, :, 0, 2]
        assert scores[f"AP{iou}"] == pytest.approx(100 * table[table > -1].mean(), abs=1e-9)
    assert 5 < scores["AP"] < 95  # the example is neither trivial nor hopeless
    assert set(scores) == KEYS


def test_per_class_scores_average_to_the_whole():
    detections, targets = random_data(seed=1)
    whole, classes = (
        evaluate_coco(detections, targets, 4),
        summarize_per_class(*coco_tables(detections, targets, 4)),
    )
    for key in ("AP", "AP50", "AR100"):
        assert sum(scores[key] for scores in classes) / 4 == pytest.approx(whole[key])
    # A class without objects is nan and takes no part in the mean.
    more = summarize_per_class(*coco_tables(detections, targets, 5))
    assert math.isnan(more[4]["AP"])
    assert evaluate_coco(detections, targets, 5)["AP"] == pytest.approx(whole["AP"])


def test_three_perfect_detections_score_100():
    # pycocotools alone gives 44.2 with annotation ids 0, 1, 2 (the first object counts as
    # unmatched), 100 with 1, 2, 3.
    boxes = [[[10.0, 10, 60, 60]], [[20.0, 30, 90, 80]], [[5.0, 5, 50, 70]]]
    detections = [found(b, [score]) for b, score in zip(boxes, (0.9, 0.8, 0.7), strict=True)]
    scores = evaluate_coco(detections, [target(b) for b in boxes], 1)
    assert [scores[key] for key in ("AP", "AP95", "AR1", "APM")] == pytest.approx([100.0] * 4)
    assert math.isnan(scores["APS"])


def test_iou_thresholds_split_the_ap():
    # A box of 100 x 100 found as 100 x 72: IoU .72 counts at .50 .55 .60 .65 .70, that is 5 of the
    # 10 thresholds.
    scores = evaluate_coco([found([[0.0, 0, 100, 72]], [0.5])], [target([[0.0, 0, 100, 100]])], 1)
    assert [scores[f"AP{iou}"] for iou in range(50, 100, 5)] == pytest.approx(
        [100.0] * 5 + [0.0] * 5
    )
    assert scores["AP"] == pytest.approx(50.0)
    assert scores["AR100"] == pytest.approx(50.0)


def test_a_false_alarm_above_the_hit_halves_the_precision():
    detections = [found([[200.0, 200, 250, 250], [0.0, 0, 50, 50]], [0.9, 0.8])]
    scores = evaluate_coco(detections, [target([[0.0, 0, 50, 50]])], 1)
    assert scores["AP50"] == pytest.approx(50.0)
    assert scores["AR1"] == 0.0  # one detection per image: the false alarm
    assert scores["AR10"] == pytest.approx(100.0)


def test_crowds_swallow_detections_and_area_sets_the_size():
    crowd = target(
        [[0.0, 0, 100, 100], [200.0, 200, 260, 260]],
        crowd=torch.tensor([True, False]),
        # the second box is 60 x 60, its segment has 900 px^2: small
        area=torch.tensor([10000.0, 900.0]),
    )
    # all in the crowd: not false alarms
    inside = [[float(x), 10.0, float(x) + 20, 30.0] for x in (5, 30, 60)]
    scores = evaluate_coco(
        [found([*inside, [200.0, 200, 260, 260]], [0.9, 0.9, 0.9, 0.5])], [crowd], 1
    )
    assert [scores[key] for key in ("AP", "APS")] == pytest.approx([100.0, 100.0])
    assert math.isnan(scores["APM"])


@pytest.mark.fault("R43", "R44")
def test_nothing_found_is_zero_and_nothing_there_is_nan():
    nothing = evaluate_coco(
        [found([], []), found([], [])], [target([[0.0, 0, 50, 50]]), target([])], 3
    )
    assert nothing["AP"] == nothing["AP50"] == nothing["AR100"] == nothing["APM"] == 0.0
    assert math.isnan(evaluate_coco([found([[0.0, 0, 5, 5]], [0.5])], [target([])], 3)["AP"])
    assert all(math.isnan(score) for score in evaluate_coco([], [], 3).values())


def test_inputs_that_do_not_fit_are_named():
    with pytest.raises(DataError, match="1 images but targets of 2"):
        evaluate_coco([found([], [])], [target([]), target([])], 1)
    with pytest.raises(DataError, match=r"image 0 have labels 4\.\.4, outside 1\.\.3"):
        evaluate_coco([found([[0.0, 0, 5, 5]], [0.5], [4])], [target([])], 3)
    with pytest.raises(DataError, match="NaN"):
        evaluate_coco([found([[0.0, 0, 5, 5]], [float("nan")])], [target([])], 3)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_box_that_is_not_finite_is_named_instead_of_scored(value):
    """pycocotools gives a box with NaN an AP of 100, faster-coco-eval one of 0."""
    box = [10.0, 10.0, value, 50.0]
    whole = [10.0, 10.0, 50.0, 50.0]
    with pytest.raises(DataError, match="The detections of image 0 have boxes that are NaN or inf"):
        evaluate_coco([found([box], [0.9])], [target([whole])], 1, evaluator="pycocotools")
    with pytest.raises(DataError, match="The targets of image 0 have boxes that are NaN or inf"):
        evaluate_coco([found([whole], [0.9])], [target([box])], 1, evaluator="pycocotools")


def masks_of(boxes, size=(300, 300)):
    """The inscribed ellipse of each box, as RLE."""
    y, x = torch.arange(size[0])[:, None] + 0.5, torch.arange(size[1])[None, :] + 0.5
    ellipses = [
        (((2 * x - x1 - x2) / (x2 - x1)) ** 2 + ((2 * y - y1 - y2) / (y2 - y1)) ** 2) < 1
        for x1, y1, x2, y2 in boxes.tolist()
    ]
    return encode_masks(torch.stack(ellipses)) if ellipses else []


def masks_by_hand(detections, targets, segments, classes):
    """pycocotools from JSON text alone: a ground-truth file and a result file without boxes, as for
    COCO's server.
    """
    images = [{"id": 1000 + 7 * i, "height": 300, "width": 300} for i in range(len(targets))]
    annotations = [
        {
            "image_id": image["id"],
            "category_id": int(label),
            "bbox": [0, 0, 1, 1],
            "area": float(area),
            "iscrowd": int(crowd),
            "segmentation": rle,
        }
        for image, t, rles in zip(images, targets, segments[1], strict=True)
        for label, area, crowd, rle in zip(t.labels, t.area, t.crowd, rles, strict=True)
    ]
    for number, row in enumerate(annotations, start=1):
        row["id"] = number
    results = [
        {
            "image_id": image["id"],
            "category_id": int(label),
            "score": float(score),
            "segmentation": rle,
        }
        for image, d, rles in zip(images, detections, segments[0], strict=True)
        for label, score, rle in zip(d.labels, d.scores, rles, strict=True)
    ]
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO()
        truth.dataset = json.loads(
            json.dumps(
                {
                    "images": images,
                    "annotations": annotations,
                    "info": {},
                    "categories": [{"id": k} for k in range(1, classes + 1)],
                }
            )
        )
        truth.createIndex()
        evaluation = COCOeval(truth, truth.loadRes(json.loads(json.dumps(results))), "segm")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return evaluation


def test_mask_scores_equal_pycocotools_called_by_hand():
    detections, targets = random_data()
    segments = [masks_of(d.boxes) for d in detections], [masks_of(t.boxes) for t in targets]
    scores = evaluate_coco(detections, targets, 4, segments)
    evaluation = masks_by_hand(detections, targets, segments, 4)
    for name, expected in zip(SUMMARY, evaluation.stats, strict=True):
        assert scores[name] == pytest.approx(100 * expected, abs=1e-9), name
    assert 5 < scores["AP"] < 95
    assert scores["AP"] != evaluate_coco(detections, targets, 4)["AP"]
    classes = summarize_per_class(*coco_tables(detections, targets, 4, segments))
    assert sum(c["AP50"] for c in classes) / 4 == pytest.approx(scores["AP50"])


def test_perfect_masks_score_100_whatever_the_boxes_and_crowds_are_ignored():
    known = target([[10.0, 10, 60, 60], [100.0, 100, 220, 180]], crowd=torch.tensor([False, True]))
    truth = masks_of(known.boxes)
    inside = masks_of(torch.tensor([[140.0, 130, 180, 150]]))  # within the crowd: no false alarm
    detections = [found([[0.0, 0, 5, 5], [0.0, 0, 5, 5]], [0.6, 0.9])]
    scores = evaluate_coco(detections, [known], 1, ([[truth[0], *inside]], [truth]))
    assert [scores[key] for key in ("AP", "AP95", "AR100", "APM")] == pytest.approx([100.0] * 4)
    assert evaluate_coco(detections, [known], 1)["AP"] == 0.0


def test_an_empty_mask_is_a_miss_and_no_mask_at_all_is_zero():
    known = target([[10.0, 10, 60, 60]])
    nothing = encode_masks(torch.zeros(1, 300, 300, dtype=torch.bool))
    assert (
        evaluate_coco(
            [found([[10.0, 10, 60, 60]], [0.5])], [known], 1, ([nothing], [masks_of(known.boxes)])
        )["AP"]
        == 0.0
    )
    assert evaluate_coco([found([], [])], [known], 1, ([[]], [masks_of(known.boxes)]))["AP"] == 0.0
    assert all(math.isnan(score) for score in evaluate_coco([], [], 3, ([], [])).values())


def test_masks_that_do_not_fit_are_named():
    known, seen = target([[10.0, 10, 60, 60]]), found([[10.0, 10, 60, 60]], [0.5])
    rles = masks_of(known.boxes)
    with pytest.raises(
        DataError,
        match="the detections of 1 images have 1 labels, but there are 0 masks of 1 images",
    ):
        evaluate_coco([seen], [known], 1, ([[]], [rles]))
    with pytest.raises(DataError, match=r"the targets of 1 images .* 2 masks"):
        evaluate_coco([seen], [known], 1, ([rles], [rles * 2]))
    with pytest.raises(
        DataError, match=r"masks of image 0 have the sizes \[\(200, 300\), \(300, 300\)\]"
    ):
        evaluate_coco([seen], [known], 1, ([masks_of(known.boxes, (200, 300))], [rles]))
