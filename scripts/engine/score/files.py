"""Writes detections for other programs: as COCO results, and beside them the labels that they were
scored on.
"""

import json
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from data.formats.coco_results import result_entries
from data.records import Dataset, Target
from scripts.engine.evaluation.refinement import RowDetections
from scripts.engine.evaluation.scoring import without_difficult
from scripts.engine.files import write_atomically

RESULTS = "detections.json"
LABELS = "labels.json"
DATASET = "detections_as_dataset.json"


def write_detections(out: Path, row: RowDetections, dataset: Dataset, root: Path) -> None:
    """Writes RESULTS, LABELS and DATASET into ``out``.

    RESULTS are COCO's, which pycocotools reads with loadRes; LABELS is the ground truth that they
    belong to; DATASET is a COCO data set whose annotations are the detections, for programs that
    import no results. It has boxes alone, because such programs expect polygons as masks.

    Args:
        out: the folder.
        row: the detections of every image of the data set.
        dataset: the images and labels.
        root: the folder that the names of image files shall be relative to.
    """
    category_ids = dataset.category_ids or tuple(range(1, len(dataset.classes) + 1))
    entries = detection_entries(row, dataset, category_ids)
    frame = {
        "images": image_entries(dataset, root),
        "categories": categories(dataset, category_ids),
    }
    write_atomically(out / RESULTS, list_text(entries))
    labels = label_entries(dataset, category_ids)
    write_atomically(out / LABELS, dataset_text({**frame, "annotations": labels}))
    annotations = [
        {"id": number, **boxed(entry), "area": entry["bbox"][2] * entry["bbox"][3], "iscrowd": 0}
        for number, entry in enumerate(entries, start=1)
    ]
    write_atomically(out / DATASET, dataset_text({**frame, "annotations": annotations}))


def boxed(entry: dict[str, Any]) -> dict[str, Any]:
    """An entry without its mask."""
    return {name: value for name, value in entry.items() if name != "segmentation"}


def detection_entries(
    row: RowDetections, dataset: Dataset, category_ids: Sequence[int]
) -> list[dict[str, Any]]:
    """COCO's results of all images, with "sigma" and, where there are masks, "segmentation"."""
    entries: list[dict[str, Any]] = []
    for place, (image, image_id) in enumerate(zip(row.detections, dataset.image_ids, strict=True)):
        mine = result_entries(image, image_id, category_ids)
        if row.segments is not None:
            masks = row.segments[place]
            mine = [{**e, "segmentation": rle} for e, rle in zip(mine, masks, strict=True)]
        entries += mine
    return entries


def image_entries(dataset: Dataset, root: Path) -> list[dict[str, Any]]:
    """COCO's images; file_name is the path from ``root`` on."""
    return [
        {
            "id": image_id,
            "file_name": Path(os.path.relpath(dataset.file(place), root)).as_posix(),
            "width": width,
            "height": height,
        }
        for place, (image_id, (height, width)) in enumerate(
            zip(dataset.image_ids, dataset.sizes, strict=True)
        )
    ]


def categories(dataset: Dataset, category_ids: Sequence[int]) -> list[dict[str, Any]]:
    return [
        {"id": number, "name": name}
        for number, name in zip(category_ids, dataset.classes, strict=True)
    ]


def label_entries(dataset: Dataset, category_ids: Sequence[int]) -> list[dict[str, Any]]:
    """COCO's annotations of the labels as they were scored: difficult objects are crowds."""
    entries: list[dict[str, Any]] = []
    for place, image_id in enumerate(dataset.image_ids):
        for entry in target_entries(without_difficult(dataset.target(place)), category_ids):
            entries.append({"id": len(entries) + 1, "image_id": image_id, **entry})
    return entries


def target_entries(target: Target, category_ids: Sequence[int]) -> Iterable[dict[str, Any]]:
    """The annotations of one image, without ids."""
    columns = (target.boxes, target.labels, target.area, target.crowd)
    rows = zip(*(column.tolist() for column in columns), strict=True)
    for (x1, y1, x2, y2), label, area, crowd in rows:
        yield {
            "category_id": category_ids[label - 1],
            "bbox": [x1, y1, x2 - x1, y2 - y1],
            "area": area,
            "iscrowd": int(crowd),
        }


def list_text(entries: Sequence[dict[str, Any]]) -> str:
    """A JSON list with one entry a line."""
    return "[" + ",\n".join(json.dumps(entry, allow_nan=False) for entry in entries) + "]\n"


def dataset_text(parts: dict[str, list[dict[str, Any]]]) -> str:
    """A COCO data set with one entry a line."""
    lists = (f"{json.dumps(name)}: {list_text(entries)}" for name, entries in parts.items())
    return "{" + ",".join(lists) + "}\n"
