"""The results of scripts.detect in the formats that it writes."""

import csv
import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from scripts.engine.files import write_atomically

Format = Literal["json", "csv", "coco"]
FILES = {"json": "detections.json", "csv": "detections.csv", "coco": "detections_coco.json"}


def write_results(
    out: Path,
    results: dict[str, list[dict[str, Any]]],
    classes: Sequence[str],
    formats: Sequence[Format],
) -> list[Path]:
    """Writes the detections of all images in each format; returns the files.

    Args:
        out: the folder.
        results: of each image, as ``detections_as_lines`` gives them.
        classes: names of the classes.
        formats: "json" (detections.json), "csv" (detections.csv) or "coco" (detections_coco.json, a
            COCO file whose annotations are the detections).
    """
    written = []
    for name, text in (
        ("json", json_text(results)),
        ("csv", csv_of(results)),
        ("coco", json.dumps(coco_of(results, classes))),
    ):
        if name in formats:
            path = out / FILES[name]
            write_atomically(path, text)
            written.append(path)
    return written


def json_text(results: dict[str, list[dict[str, Any]]]) -> str:
    """The results as JSON with one detection a line."""
    images = []
    for name, lines in results.items():
        detections = ",".join(f"\n  {json.dumps(line)}" for line in lines)
        images.append(f" {json.dumps(name)}: [{detections}]")
    return "{\n" + ",\n".join(images) + "\n}\n"


def csv_of(results: dict[str, list[dict[str, Any]]]) -> str:
    """One row a detection; empty fields where a network predicts no sigma."""
    text = io.StringIO()
    writer = csv.writer(text)
    sides = ("x1", "y1", "x2", "y2")
    writer.writerow(["image", "class", "score", *sides, *(f"sigma_{side}" for side in sides)])
    for image, lines in results.items():
        for line in lines:
            sigma = line["sigma"] or [""] * len(sides)
            writer.writerow([image, line["class"], line["score"], *line["box"], *sigma])
    return text.getvalue()


def coco_of(results: dict[str, list[dict[str, Any]]], classes: Sequence[str]) -> dict[str, Any]:
    """A COCO data set of the detections, with "score" and "sigma" beside what COCO has."""
    ids = {name: number for number, name in enumerate(classes, start=1)}
    annotations: list[dict[str, Any]] = []
    for image, lines in enumerate(results.values(), start=1):
        for line in lines:
            x1, y1, x2, y2 = line["box"]
            entry = {
                "id": len(annotations) + 1,
                "image_id": image,
                "category_id": ids[line["class"]],
                "bbox": [x1, y1, round(x2 - x1, 2), round(y2 - y1, 2)],
                "area": round((x2 - x1) * (y2 - y1), 2),
                "iscrowd": 0,
                "score": line["score"],
                "sigma": line["sigma"],
            }
            annotations.append(
                {**entry, **({"segmentation": line["mask"]} if "mask" in line else {})}
            )
    return {
        "images": [{"id": k, "file_name": name} for k, name in enumerate(results, start=1)],
        "annotations": annotations,
        "categories": [{"id": number, "name": name} for name, number in ids.items()],
    }
