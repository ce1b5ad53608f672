"""Reads and checks an annotation file in COCO's format: images, categories and annotations.

Everything that is special to these files stays here: xywh boxes, and category ids with gaps (1..90)
against the labels 1..K of the rest of the code. Besides the public keys an annotation may carry
``clean_bbox`` (xywh) and ``sigma_true`` (standard deviations of x1, y1, x2, y2), and
``info.image_folder`` may name another image folder than the split. Segmentations are read only if
masks are asked for; their format is the matter of data/formats/masks.py.

Letters: T annotations of all images together.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from data.annotations import FlatTargets, ImageTable, clip_rows
from data.coco_entries import CocoAnnotation, CocoEntries, Segmentations, plain_number
from data.errors import DataError
from data.formats.masks import Segments, pack_segments
from data.formats.strict_json import refuse_constant, unique_keys
from data.label_bytes import LARGEST_DATA_SET, label_bytes
from data.problems import Problem, name_problem

INSTANCES = "instances_"  # how the name of a file with labels begins
IMAGE_LISTS = "image_info_"  # how the name of a file without labels begins


def read_json(file: Path) -> dict[str, Any]:
    """A COCO file as a dict with the lists images, annotations, categories.

    Without labels, annotations is empty.

    Args:
        file: the annotation file.

    Raises:
        DataError: not readable, too large, not JSON (NaN and Infinity are not JSON), a key given
            twice, or a list missing.
    """
    try:
        document = json.loads(
            label_bytes(file, LARGEST_DATA_SET),
            object_pairs_hook=unique_keys,
            parse_constant=refuse_constant,
        )
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(
            f"{file}: the annotation file cannot be read ({error}); correct or replace it."
        ) from error
    if isinstance(document, dict) and file.name.startswith(IMAGE_LISTS):
        document.setdefault("annotations", [])
    for key in ("images", "annotations", "categories"):
        if not isinstance(document, dict) or not isinstance(document.get(key), list):
            raise DataError(
                f"{file}: the annotation file has no list {key!r}; it is not in the COCO instances"
                " format."
            )
        if not all(isinstance(entry, dict) for entry in document[key]):
            raise DataError(
                f"{file}: the list {key!r} holds something that is not an object with keys."
            )
    return document


@dataclass(frozen=True, kw_only=True)
class CocoFile:
    """What is usable of one annotation file, and everything that is wrong with the rest.

    category_ids: entry k - 1 is the COCO category id of label k. image_folder: info.image_folder,
    or None. segments: the masks, row by row of table.targets, or None if they were not to be read.
    """

    table: ImageTable
    category_ids: tuple[int, ...]
    image_folder: str | None
    problems: tuple[Problem, ...]
    segments: Segments | None = None


def read_coco(file: Path, segmentations: Segmentations = "leave") -> CocoFile:
    """Reads and checks a COCO instances file; a box that leaves its image is clipped to it.

    Args:
        file: the annotation file.
        segmentations: "leave" them alone, "check" them if the file has any, or "read" them: then
            each annotation needs one.

    Raises:
        DataError: the file is not a COCO instances file at all.
    """
    document = read_json(file)
    entries = CocoEntries(file=str(file), segmentations=segmentations)
    _leave_missing_segmentations(entries, document["annotations"])
    entries.read(_classes_only(entries, document), entries.read_category)
    entries.read(document["images"], entries.read_image)
    entries.read(document["annotations"], entries.read_annotation)
    if not entries.categories:
        entries.report("error", "the file declares no category")
    if not entries.images:
        entries.report("error", "the file has no usable image")
    _refuse_normalized(entries)
    image_folder = _image_folder(entries, document.get("info"))
    rank = {number: i for i, number in enumerate(entries.images)}
    # the sort is stable: within an image the order of the file stays
    annotations = sorted(entries.annotations, key=lambda annotation: rank[annotation.image_id])
    category_ids = tuple(sorted(entries.categories))
    segments = [a.segment for a in annotations if a.segment is not None]
    return CocoFile(
        table=_image_table(entries, annotations, category_ids),
        category_ids=category_ids,
        image_folder=image_folder,
        problems=tuple(entries.problems),
        segments=pack_segments(segments) if entries.segmentations == "read" else None,
    )


def _leave_missing_segmentations(entries: CocoEntries, annotations: list[dict[str, Any]]) -> None:
    """Does not look for segmentations in a file that has annotations but no segmentation."""
    if not annotations or any(entry.get("segmentation") for entry in annotations):
        return
    if entries.segmentations == "read":
        entries.report(
            "error",
            "no annotation has a segmentation, which a network with masks needs; use a file with"
            " masks or DataConfig.masks=False",
        )
    entries.segmentations = "leave"


def _classes_only(entries: CocoEntries, document: dict[str, Any]) -> list[dict[str, Any]]:
    """The categories without Roboflow's root, and without an unused one of another's name.

    Roboflow writes the group of all classes as category 0, which no annotation has; with a single
    class it may have that class's name. A category without annotations is otherwise a class.
    """
    categories = document["categories"]
    used = {plain_number(entry.get("category_id")) for entry in document["annotations"]}
    unused = [entry for entry in categories if plain_number(entry.get("id")) not in used]
    kept = list(categories)
    for entry in unused:
        name, others = entry.get("name"), [other for other in kept if other is not entry]
        is_group = any(other.get("supercategory") == name for other in others)
        if plain_number(entry.get("id")) == 0 and is_group:
            text = f"category 0 ({name!r}) is the group of the others, and is left out"
        elif any(other.get("name") == name for other in others):
            text = f"category {entry.get('id')} ({name!r}) is unused, and has another's name"
            text += "; it is left out"
        else:
            continue
        entries.report("note", text)
        kept = others
    return kept


def _refuse_normalized(entries: CocoEntries) -> None:
    """Reports boxes that are shares of the image: in px each would be less than a pixel."""
    edges = [edge for annotation in entries.annotations for edge in annotation.box]
    if edges and min(edges) >= 0 and max(edges) <= 1:
        entries.report(
            "error",
            f"all {len(entries.annotations)} boxes lie between 0 and 1, so they look normalised;"
            " COCO's are (x, y, width, height) in px: multiply them by the width and height of the"
            " image",
        )


def _image_folder(entries: CocoEntries, info: object) -> str | None:
    """info.image_folder, or None if there is none that can be used."""
    folder = info.get("image_folder") if isinstance(info, dict) else None
    if folder is None:
        return None
    if not isinstance(folder, str) or name_problem(folder):
        entries.report(
            "error",
            f"info.image_folder is {folder!r}, which is not a folder below the data root",
        )
        return None
    return folder


def _image_table(
    entries: CocoEntries, annotations: list[CocoAnnotation], category_ids: tuple[int, ...]
) -> ImageTable:
    labels = {number: k for k, number in enumerate(category_ids, start=1)}
    return ImageTable(
        classes=tuple(entries.categories[number] for number in category_ids),
        image_ids=tuple(entries.images),
        file_names=tuple(name for name, _ in entries.images.values()),
        sizes=tuple(size for _, size in entries.images.values()),
        targets=_flat_targets(entries, annotations, labels),
    )


def _flat_targets(
    entries: CocoEntries, annotations: list[CocoAnnotation], labels: dict[int, int]
) -> FlatTargets:
    """The checked annotations, which are sorted by image."""
    rank = {number: i for i, number in enumerate(entries.images)}
    owner = np.array([rank[a.image_id] for a in annotations], dtype=np.int64)
    sizes = np.array([size for _, size in entries.images.values()], dtype=np.float64)
    counts = np.bincount(owner, minlength=len(rank))
    boxes = np.array(_column(annotations, "box"), dtype=np.float64).reshape(-1, 4)
    clean = _optional_column(annotations, "clean_bbox")
    if clean is not None:
        clean[:, 2:] += clean[:, :2]
    sigma = _optional_column(annotations, "sigma_true")
    return FlatTargets(
        starts=np.concatenate([[0], np.cumsum(counts)]).astype(np.int64),
        boxes=clip_rows(boxes, sizes.reshape(-1, 2)[owner]),
        labels=np.array([labels[a.category_id] for a in annotations], dtype=np.int64),
        crowd=np.array(_column(annotations, "crowd"), dtype=np.bool_),
        difficult=np.zeros(len(annotations), dtype=np.bool_),
        area=np.array(_column(annotations, "area"), dtype=np.float32),
        clean_boxes=None if clean is None else clean.astype(np.float32),
        sigma_true=None if sigma is None else sigma.astype(np.float32),
    )


def _column(annotations: list[CocoAnnotation], name: str) -> list[Any]:
    """One field of each annotation."""
    return [getattr(annotation, name) for annotation in annotations]


def _optional_column(annotations: list[CocoAnnotation], name: str) -> NDArray[np.float64] | None:
    """The rows (T, 4) of a field; None if there is no annotation, or one without a value."""
    rows = _column(annotations, name)
    if not rows or None in rows:
        return None
    return np.array(rows, dtype=np.float64)
