"""The results of scripts.detect in the formats that it writes."""

import csv
import io
import json
import os
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any, Literal

from scripts.engine.detection.files import BACKGROUND
from scripts.engine.files import write_atomically

Format = Literal["json", "csv", "coco"]
FILES = {"json": "detections.json", "csv": "detections.csv", "coco": "detections_coco.json"}
SIDES = ("x1", "y1", "x2", "y2")
Rows = Mapping[Path, dict[str, Any]]  # of each image: size (height, width) px, and detections


def write_results(
    out: Path,
    rows: Rows,
    classes: Sequence[str],
    formats: Sequence[Format],
    *,
    with_interval: bool = False,
    with_probabilities: bool = False,
) -> list[Path]:
    """Writes the detections of all images in each format; returns the files.

    Args:
        out: the folder.
        rows: of each image its "size" and its "detections" as ``detections_as_lines`` gives them.
        classes: names of the classes.
        formats: "json" (detections.json), "csv" (detections.csv) or "coco" (detections_coco.json, a
            COCO file whose annotations are the detections).
        with_interval, with_probabilities: what the detections have, for the header of the CSV file.
    """
    texts: dict[Format, Callable[[Rows], str]] = {
        "json": json_text,
        "csv": partial(
            csv_of,
            classes=classes if with_probabilities else (),
            with_interval=with_interval,
        ),
        "coco": partial(coco_text, classes=classes),
    }
    for name in formats:
        write_atomically(out / FILES[name], texts[name](rows))
    return [out / FILES[name] for name in formats]


def json_text(rows: Rows) -> str:
    """The results as JSON with one detection a line."""
    images = []
    for path, row in rows.items():
        detections = ",".join(f"\n  {json.dumps(line)}" for line in row["detections"])
        images.append(f" {json.dumps(str(path))}: [{detections}]")
    return "{\n" + ",\n".join(images) + "\n}\n"


def csv_of(rows: Rows, classes: Sequence[str], *, with_interval: bool) -> str:
    """One line a detection; empty fields where a network predicts no sigma.

    Args:
        rows: as in ``write_results``.
        classes: those of the probabilities; empty if the detections have none.
        with_interval: whether they have intervals.
    """
    text = io.StringIO()
    writer = csv.writer(text)
    lines = [(path, line) for path, row in rows.items() for line in row["detections"]]
    header = [*SIDES, *(f"sigma_{side}" for side in SIDES)]
    if with_interval:
        header += [f"{end}_{side}" for side in SIDES for end in ("low", "high")]
    header += [f"probability_{name}" for name in (BACKGROUND, *classes) if classes]
    writer.writerow(["image", "class", "score", *header])
    for path, line in lines:
        values = [*line["box"], *(line["sigma"] or [""] * len(SIDES))]
        values += chain(*line.get("interval", []), line.get("probabilities", {}).values())
        writer.writerow([path, line["class"], line["score"], *values])
    return text.getvalue()


def coco_text(rows: Rows, classes: Sequence[str]) -> str:
    """A COCO data set whose annotations are the boxes that were found, with score and sigma.

    Names of images are relative to the folder that holds them all, which ``info`` names.
    """
    folder = os.path.commonpath([path.absolute().parent for path in rows])
    ids = {name: number for number, name in enumerate(classes, start=1)}
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for number, (path, row) in enumerate(rows.items(), start=1):
        height, width = row["size"]
        name = Path(os.path.relpath(path.absolute(), folder)).as_posix()
        images.append({"id": number, "file_name": name, "height": height, "width": width})
        for line in row["detections"]:
            x1, y1, x2, y2 = line["box"]
            more = {key: line[key] for key in ("interval", "probabilities") if key in line}
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": number,
                    "category_id": ids[line["class"]],
                    "bbox": [x1, y1, round(x2 - x1, 2), round(y2 - y1, 2)],
                    "area": round((x2 - x1) * (y2 - y1), 2),
                    "iscrowd": 0,
                    "score": line["score"],
                    "sigma": line["sigma"],
                    **more,
                }
            )
    categories = [{"id": number, "name": name} for name, number in ids.items()]
    content = {"images": images, "annotations": annotations, "categories": categories}
    return json.dumps({"info": {"images": folder}, **content})
