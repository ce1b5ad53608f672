"""COCO scores by pycocotools, on records instead of files.

Letters: N images, D detections, G ground-truth boxes, K classes. The sums, the matching and the
101-point precision are pycocotools' COCOeval; this file only builds its two data sets in memory and
reads its tables.

Annotation ids are numbered 1, 2, ... here, whatever the file said: COCOeval stores the matched id
and takes 0 for "not matched", so that a file whose ids start at 0 loses an object, and of two
annotations with one id only one survives.
"""

import contextlib
import io
from collections.abc import Sequence

import numpy as np
import torch
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval
from torch import Tensor

from data.errors import DataError
from data.formats.masks import Rle, mask_areas
from data.records import Detections, Target
from data.scoring.aligned import check_aligned

# The masks (RLEs) of each image's detections and those of its targets, in their order.
SegmentPair = tuple[Sequence[Sequence[Rle]], Sequence[Sequence[Rle]]]

# suffix -> index of COCOeval's area ranges: all, < 32^2, < 96^2, larger
AREAS = {"": 0, "S": 1, "M": 2, "L": 3}
MAX_DETECTIONS = (1, 10, 100)  # per image and class, COCOeval's default
IOU_PERCENT = range(50, 100, 5)


def evaluate_coco(
    detections: Sequence[Detections],
    targets: Sequence[Target],
    num_classes: int,
    segments: SegmentPair | None = None,
) -> dict[str, float]:
    """Box AP and AR of a data set, averaged over the classes; with ``segments`` mask AP and AR.

    Args:
        detections, targets: one entry per image, in the same order; original px. ``Target.crowd``
            is COCO's iscrowd; ``Target.area`` decides about small, medium and large;
            ``Target.difficult`` plays no part in COCO's rules.
        num_classes: K.
        segments: (of the detections, of the targets), one list of RLEs per image: IoUs are those of
            the masks, and a detection's size is the area of its mask. The boxes then play no part.

    Returns:
        percent, under the keys AP (IoU .50:.95), AP50, AP55, ..., AP95, APS, APM, APL, AR1, AR10,
        AR100, ARS, ARM, ARL. nan where there is no ground truth to measure with.

    Raises:
        DataError: the sequences, the labels or the masks do not fit.
    """
    return summarize(*coco_tables(detections, targets, num_classes, segments))


def evaluate_coco_per_class(
    detections: Sequence[Detections],
    targets: Sequence[Target],
    num_classes: int,
    segments: SegmentPair | None = None,
) -> list[dict[str, float]]:
    """``evaluate_coco`` for each class alone: entry k - 1 is class k."""
    return summarize_per_class(*coco_tables(detections, targets, num_classes, segments))


def coco_tables(
    detections: Sequence[Detections],
    targets: Sequence[Target],
    num_classes: int,
    segments: SegmentPair | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """COCOeval's tables: precision (10 IoUs, 101 recalls, K, 4 areas, 3 detection limits) and
    recall (10, K, 4, 3).

    Fractions in 0..1; -1 where a class has no ground truth. Arguments as for ``evaluate_coco``.
    """
    check_aligned(detections, targets, num_classes)
    detected = [_annotations(d.boxes, d.labels, score=d.scores.tolist()) for d in detections]
    annotated = [
        _annotations(t.boxes, t.labels, area=t.area.tolist(), iscrowd=t.crowd.int().tolist())
        for t in targets
    ]
    if segments is not None:
        _check_segments(detections, targets, segments)
        for rows, rles in zip((*detected, *annotated), (*segments[0], *segments[1]), strict=True):
            _add(rows, "segmentation", rles)
        for rows, rles in zip(detected, segments[0], strict=True):
            _add(rows, "area", mask_areas(rles))
    kind = "bbox" if segments is None else "segm"
    with contextlib.redirect_stdout(io.StringIO()):
        evaluation = COCOeval(
            _data_set(annotated, num_classes), _data_set(detected, num_classes), kind
        )
        evaluation.params.maxDets = list(MAX_DETECTIONS)
        evaluation.evaluate()
        evaluation.accumulate()
    return evaluation.eval["precision"], evaluation.eval["recall"]


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


def _annotations(boxes: Tensor, labels: Tensor, **columns: list[float] | list[int]) -> list[dict]:
    """COCO annotations of one image, without ids: xyxy px becomes [x, y, width, height] px."""
    corners = boxes.double()
    xywh = torch.cat([corners[:, :2], corners[:, 2:] - corners[:, :2]], dim=1).tolist()
    rows = [
        {"bbox": box, "category_id": label, "area": box[2] * box[3], "iscrowd": 0}
        for box, label in zip(xywh, labels.tolist(), strict=True)
    ]
    for name, values in columns.items():
        _add(rows, name, values)
    return rows


def _add(rows: list[dict], name: str, values: Sequence[object]) -> None:
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


def _data_set(images: Sequence[list[dict]], num_classes: int) -> COCO:
    """pycocotools' COCO with ids from 1; built by hand, because its own loadRes refuses an empty
    list.
    """
    rows = [
        {**row, "image_id": image_id}
        for image_id, rows in enumerate(images, start=1)
        for row in rows
    ]
    coco = COCO()
    coco.dataset = {
        # the sizes are not read: run lengths have their own
        "images": [
            {"id": image_id, "height": 0, "width": 0} for image_id in range(1, len(images) + 1)
        ],
        "categories": [{"id": label, "name": str(label)} for label in range(1, num_classes + 1)],
        "annotations": [{**row, "id": number} for number, row in enumerate(rows, start=1)],
    }
    coco.createIndex()
    return coco
