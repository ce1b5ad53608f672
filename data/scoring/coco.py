"""COCO scores, on records instead of files.

Letters: N images, D detections, G ground-truth boxes, K classes. The sums, the matching and the
101-point precision are those of pycocotools' COCOeval (data/scoring/coco_evaluators.py); this file
only builds its annotations in memory and reads its tables.

Annotation ids are numbered 1, 2, ... here, whatever the file said: COCOeval stores the matched id
and takes 0 for "not matched", so that a file whose ids start at 0 loses an object, and of two
annotations with one id only one survives.
"""

from collections.abc import Sequence
from itertools import chain

import numpy as np
import torch
from torch import Tensor

from data.errors import DataError
from data.formats.masks import Rle, mask_areas
from data.records import Detections, Target
from data.scoring.aligned import check_aligned
from data.scoring.coco_evaluators import (
    MAX_DETECTIONS,
    Evaluator,
    Rows,
    Tables,
    chosen_evaluator,
    evaluate_rows,
)

# The masks (RLEs) of each image's detections and those of its targets, in their order.
SegmentPair = tuple[Sequence[Sequence[Rle]], Sequence[Sequence[Rle]]]

# suffix -> index of COCOeval's area ranges: all, < 32^2, < 96^2, larger
AREAS = {"": 0, "S": 1, "M": 2, "L": 3}
IOU_PERCENT = range(50, 100, 5)


def evaluate_coco(
    detections: Sequence[Detections],
    targets: Sequence[Target],
    num_classes: int,
    segments: SegmentPair | None = None,
    *,
    evaluator: Evaluator | None = None,
) -> dict[str, float]:
    """Box AP and AR of a data set, averaged over the classes; with ``segments`` mask AP and AR.

    Args:
        detections, targets: one entry per image, in the same order; original px. ``Target.crowd``
            is COCO's iscrowd; ``Target.area`` decides about small, medium and large;
            ``Target.difficult`` plays no part in COCO's rules.
        num_classes: K.
        segments: (of the detections, of the targets), one list of RLEs per image: IoUs are those of
            the masks, and a detection's size is the area of its mask. The boxes then play no part.
        evaluator: who computes; None: the one that ``chosen_evaluator`` names. The numbers are the
            same.

    Returns:
        percent, under the keys AP (IoU .50:.95), AP50, AP55, ..., AP95, APS, APM, APL, AR1, AR10,
        AR100, ARS, ARM, ARL. nan where there is no ground truth to measure with.

    Raises:
        DataError: the sequences, the labels or the masks do not fit, or there is no such evaluator.
    """
    tables = coco_tables(detections, targets, num_classes, segments, evaluator=evaluator)
    return summarize(*tables)


def coco_tables(
    detections: Sequence[Detections],
    targets: Sequence[Target],
    num_classes: int,
    segments: SegmentPair | None = None,
    *,
    evaluator: Evaluator | None = None,
) -> Tables:
    """COCOeval's tables: precision (10 IoUs, 101 recalls, K, 4 areas, 3 detection limits) and
    recall (10, K, 4, 3).

    Fractions in 0..1; -1 where a class has no ground truth. Arguments as for ``evaluate_coco``.
    """
    check_aligned(detections, targets, num_classes)
    if segments is not None:
        _check_segments(detections, targets, segments)
    detected = _rows([(d.boxes, d.labels) for d in detections])
    _add(detected, "score", _values([d.scores for d in detections]))
    annotated = _rows([(t.boxes, t.labels) for t in targets])
    _add(annotated, "area", _values([t.area for t in targets]))
    _add(annotated, "iscrowd", _values([t.crowd.int() for t in targets]))
    if segments is not None:
        for rows, images in zip((detected, annotated), segments, strict=True):
            _add(rows, "segmentation", list(chain.from_iterable(images)))
        _add(detected, "area", mask_areas([row["segmentation"] for row in detected]))
    return evaluate_rows(
        annotated,
        detected,
        images=len(targets),
        classes=num_classes,
        kind="bbox" if segments is None else "segm",
        evaluator=chosen_evaluator(evaluator),
    )


def summarize(precision: np.ndarray, recall: np.ndarray) -> dict[str, float]:
    """The named scores in percent of COCOeval's tables; entries of -1 are left out of means."""
    scores = {"AP": _mean(precision[..., 0, -1])}
    scores |= {
        f"AP{iou}": _mean(precision[index, ..., 0, -1]) for index, iou in enumerate(IOU_PERCENT)
    }
    scores |= {
        f"AP{name}": _mean(precision[..., index, -1]) for name, index in AREAS.items() if name
    }
    scores |= {
        f"AR{limit}": _mean(recall[..., 0, index]) for index, limit in enumerate(MAX_DETECTIONS)
    }
    scores |= {f"AR{name}": _mean(recall[..., index, -1]) for name, index in AREAS.items() if name}
    return scores


def summarize_per_class(precision: np.ndarray, recall: np.ndarray) -> list[dict[str, float]]:
    """``summarize`` of each class's part of the tables."""
    return [summarize(precision[:, :, [k]], recall[:, [k]]) for k in range(recall.shape[1])]


def _mean(table: np.ndarray) -> float:
    defined = table[table > -1]
    return 100.0 * float(defined.mean()) if defined.size else float("nan")


def _rows(images: Sequence[tuple[Tensor, Tensor]]) -> Rows:
    """COCO annotations of the boxes and labels of all images, with ids from 1 on: xyxy px becomes
    [x, y, width, height] px.
    """
    counts = [len(labels) for _, labels in images]
    corners = torch.cat([torch.zeros(0, 4), *(boxes.cpu() for boxes, _ in images)]).double()
    xywh = torch.cat([corners[:, :2], corners[:, 2:] - corners[:, :2]], dim=1).tolist()
    image_ids = np.repeat(np.arange(1, len(images) + 1), counts).tolist()
    columns = zip(xywh, _values([labels for _, labels in images]), image_ids, strict=True)
    return [
        {
            "id": number,
            "image_id": image_id,
            "category_id": label,
            "bbox": box,
            "area": box[2] * box[3],
            "iscrowd": 0,
        }
        for number, (box, label, image_id) in enumerate(columns, start=1)
    ]


def _values(columns: Sequence[Tensor]) -> list:
    """The values of all images one after the other."""
    return torch.cat([column.cpu() for column in columns]).tolist() if columns else []


def _add(rows: Rows, name: str, values: Sequence[object]) -> None:
    for row, value in zip(rows, values, strict=True):
        row[name] = value


def _check_segments(
    detections: Sequence[Detections], targets: Sequence[Target], segments: SegmentPair
) -> None:
    """Stops unless each detection and annotation has a mask, all of an image of one size."""
    for records, masks, name in (
        (detections, segments[0], "detections"),
        (targets, segments[1], "targets"),
    ):
        counts = [len(rles) for rles in masks]
        labels = [len(record.labels) for record in records]
        if counts != labels:
            raise DataError(
                f"the {name} of {len(labels)} images have {sum(labels)} labels, but there are"
                f" {sum(counts)} masks of {len(counts)} images; give one mask for each label,"
                " image by image."
            )
    for image, (detected, annotated) in enumerate(zip(*segments, strict=True)):
        sizes = {tuple(rle["size"]) for rle in (*detected, *annotated)}
        if len(sizes) > 1:  # pycocotools would count such masks as far apart
            raise DataError(
                f"the masks of image {image} have the sizes {sorted(sizes)}; give all those of the"
                " image."
            )
