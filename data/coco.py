"""The COCO layout: <root>/annotations/instances_<split>.json and <root>/<split>/<file_name>.

A split whose labels are not published has image_info_<split>.json instead: images and categories, no annotations.

Everything that is special to COCO stays in this file: xywh boxes, and category ids with gaps (1..90) against the labels
1..K of the rest of the code. Besides the public keys an annotation may carry ``clean_bbox`` (xywh) and ``sigma_true``
(standard deviations of x1, y1, x2, y2), and ``info.image_folder`` may name another image folder than the split.
Segmentations are read only if masks are asked for; their format is the matter of data/formats/masks.py.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, TypeGuard

import numpy as np
from numpy.typing import NDArray

from data.annotations import (
    MAX_ID,
    FlatTargets,
    ImageTable,
    OnBadBox,
    Problem,
    Severity,
    TableDataset,
    box_problem,
    check_problems,
    clip_rows,
    is_number,
    name_problem,
)
from data.errors import DataError
from data.formats.masks import (
    Rle,
    Segments,
    compressed,
    decode_masks,
    pack_segments,
    segmentation_problem,
)
from data.records import Detections, ImageId, Sample

INSTANCES, IMAGE_LISTS = "instances_", "image_info_"  # what the name of an annotation file begins with
Segmentations = Literal["leave", "check", "read"]  # "check": a bad one is reported, and its box kept
IMAGE_FOLDERS = {  # splits whose images lie in the folder of a larger one
    "minival2014": "val2014",
    "valminusminival2014": "val2014",
    "test-dev2015": "test2015",
    "test-dev2017": "test2017",
}


def annotation_folders(root: Path) -> tuple[Path, Path]:
    """Where the annotation files may be below ``root``, which is the COCO folder or contains a folder coco/."""
    return root / "annotations", root / "coco" / "annotations"


def annotation_file(root: Path, split: str) -> Path | None:
    """The JSON file of a split below ``root``, or None; a file with labels goes first."""
    files = [folder / f"{kind}{split}.json" for kind in (INSTANCES, IMAGE_LISTS) for folder in annotation_folders(root)]
    return next((file for file in files if file.is_file()), None)


def find_annotation_file(root: Path, split: str) -> Path:
    """The JSON file of a split below ``root``, which is the COCO folder or contains a folder coco/.

    Raises:
        DataError: there is none; says where it looked, which splits are there, and how to get the data.
    """
    file = annotation_file(root, split)
    if file is not None:
        return file
    folders = annotation_folders(root)
    found = sorted({p.stem.removeprefix(kind) for kind in (INSTANCES, IMAGE_LISTS) for folder in folders
                    for p in folder.glob(f"{kind}*.json")})  # fmt: skip
    year = 2017 if split.endswith("2017") else 2014
    data = "coco2017test" if split.startswith("test-dev") else f"coco{year}"
    raise DataError(
        f"COCO split {split!r} has no annotation file: looked for {INSTANCES}{split}.json and {IMAGE_LISTS}{split}.json"
        f" in {' and '.join(map(str, folders))}; splits there: {', '.join(found) or 'none'}; choose one of them,"
        f" correct the data root, or fetch the data with: python -m scripts.get_data {data}"
    )


def read_json(file: Path) -> dict[str, Any]:
    """A COCO file as a dict with the lists images, annotations, categories; without labels, annotations is empty.

    Raises:
        DataError: not readable, not JSON (NaN and Infinity are not JSON), a key given twice, or a list missing.
    """

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        result = dict(pairs)
        if len(result) != len(pairs):
            keys = [key for key, _ in pairs]
            raise ValueError(f"the key {next(k for k in keys if keys.count(k) > 1)!r} occurs twice in one object")
        return result

    def refuse(constant: str) -> float:
        raise ValueError(f"{constant} is not a JSON number")

    try:
        document = json.loads(file.read_bytes(), object_pairs_hook=unique, parse_constant=refuse)
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(f"{file}: the annotation file cannot be read ({error}); correct or replace it.") from error
    if isinstance(document, dict) and file.name.startswith(IMAGE_LISTS):
        document.setdefault("annotations", [])
    for key in ("images", "annotations", "categories"):
        if not isinstance(document, dict) or not isinstance(document.get(key), list):
            raise DataError(f"{file}: the annotation file has no list {key!r}; it is not in the COCO instances format.")
        if not all(isinstance(entry, dict) for entry in document[key]):
            raise DataError(f"{file}: the list {key!r} holds something that is not an object with keys.")
    return document


class _Unusable(Exception):
    """An entry of the file that cannot be used: severity and text of its Problem."""

    def __init__(self, text: str, severity: Severity = "error") -> None:
        super().__init__(text)
        self.severity: Severity = severity


@dataclass(kw_only=True)
class _Reader:
    """Collects the usable part of one COCO file, and what is wrong with the rest."""

    file: str
    segmentations: Segmentations = "leave"
    problems: list[Problem] = field(default_factory=list)
    categories: dict[int, str] = field(default_factory=dict)
    images: dict[int, tuple[str, tuple[int, int]]] = field(default_factory=dict)
    annotations: list[dict[str, Any]] = field(default_factory=list)
    annotation_ids: set[int] = field(default_factory=set)

    def report(self, severity: Severity, text: str) -> None:
        self.problems.append(Problem(severity=severity, file=self.file, text=text))

    def read(self, entries: list[dict[str, Any]], read_entry: Callable[[dict[str, Any]], None]) -> None:
        for entry in entries:
            try:
                read_entry(entry)
            except _Unusable as problem:
                self.report(problem.severity, str(problem))

    def read_category(self, entry: dict[str, Any]) -> None:
        number, name = entry.get("id"), entry.get("name")
        if not _is_int(number):
            raise _Unusable(f"category id {number!r} is not an integer")
        if number in self.categories:
            raise _Unusable(f"category id {number} occurs twice")
        if not isinstance(name, str) or name in self.categories.values():
            raise _Unusable(f"category {number} has the name {name!r}, which is not a text of its own")
        self.categories[number] = name

    def read_image(self, entry: dict[str, Any]) -> None:
        number, name, height, width = (entry.get(key) for key in ("id", "file_name", "height", "width"))
        if not _is_int(number):
            raise _Unusable(f"image id {number!r} (file {name!r}) is not an integer")
        if number in self.images:
            raise _Unusable(f"image id {number} occurs twice (files {self.images[number][0]!r} and {name!r})")
        if not 0 <= number < MAX_ID:
            self.report("repaired", f"image id {number} (file {name!r}) is not between 0 and 2^53")
        if not isinstance(name, str) or (reason := name_problem(name)):
            raise _Unusable(f"image {number}: {reason if isinstance(name, str) else 'file_name is not a text'}")
        if not (_is_int(height) and _is_int(width) and height > 0 and width > 0):
            raise _Unusable(f"image {number} (file {name!r}): size {height!r} x {width!r} is not in positive px")
        self.images[number] = (name, (height, width))

    def read_annotation(self, entry: dict[str, Any]) -> None:
        number, image, category = entry.get("id"), entry.get("image_id"), entry.get("category_id")
        if not _is_int(number):
            raise _Unusable(f"annotation id {number!r} (image {image!r}) is not an integer")
        if number in self.annotation_ids:
            raise _Unusable(f"annotation id {number} (image {image!r}) occurs twice, and COCO tools lose one")
        self.annotation_ids.add(number)
        if not 0 < number < MAX_ID:  # harmless here: data/scoring/coco.py numbers the annotations anew
            self.report("repaired", f"annotation id {number} (image {image!r}) is not between 1 and 2^53")
        if not _is_int(image) or image not in self.images:
            raise _Unusable(f"annotation {number}: image id {image!r} is not among the usable images")
        name, size = self.images[image]
        where = f"annotation {number} (image {image}, file {name!r})"
        if not _is_int(category) or category not in self.categories:
            raise _Unusable(f"{where}: category id {category!r} is unknown")
        if entry.get("iscrowd", 0) not in (0, 1):
            raise _Unusable(f"{where}: iscrowd is {entry['iscrowd']!r}, not 0 or 1")
        x, y, w, h = _four_numbers(entry.get("bbox"), f"{where}: bbox", "box")
        box = (x, y, x + w, y + h)
        fault = box_problem(box, size)
        if fault and fault[0] == "box":
            raise _Unusable(f"{where}: {fault[1]}", "box")
        if fault:
            self.report("repaired", f"{where}: {fault[1]}")
        area = entry.get("area", w * h)
        if not is_number(area) or area < 0:
            raise _Unusable(f"{where}: area {str(area)[:80]} is not a number of px^2")
        checked = {"image_id": image, "category_id": category, "box": box, "area": area}
        checked["crowd"] = bool(entry.get("iscrowd", 0))
        for key in ("clean_bbox", "sigma_true"):
            if entry.get(key) is not None:
                checked[key] = _four_numbers(entry[key], f"{where}: {key}", "error")
        if self.segmentations != "leave":
            checked["segment"] = self.read_segmentation(entry.get("segmentation"), size, where)
        self.annotations.append(checked)

    def read_segmentation(self, segmentation: object, size: tuple[int, int], where: str) -> str | None:
        """The compressed RLE, or None if segmentations are only checked: boxes do not need them."""
        fault = segmentation_problem(segmentation, size)
        if self.segmentations == "check":
            if fault:
                self.report("repaired", f"{where}: {fault} (only a network with masks needs it)")
            return None
        if fault:
            raise _Unusable(f"{where}: {fault}", "box")
        return compressed(segmentation, size)


def _is_int(value: object) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool)


def _four_numbers(value: object, where: str, severity: Severity) -> tuple[float, float, float, float]:
    if not isinstance(value, list) or len(value) != 4 or not all(map(is_number, value)):
        raise _Unusable(f"{where} {str(value)[:80]} is not four finite numbers", severity)
    first, second, third, fourth = map(float, value)
    return first, second, third, fourth


def _flat_targets(reader: _Reader, labels: dict[int, int]) -> FlatTargets:
    """The checked annotations, which are sorted by image."""
    annotations = reader.annotations
    rank = {number: i for i, number in enumerate(reader.images)}
    owner = np.array([rank[a["image_id"]] for a in annotations], dtype=np.int64)
    sizes = np.array([size for _, size in reader.images.values()], dtype=np.float64).reshape(-1, 2)[owner]

    def optional(key: str) -> NDArray[np.float64] | None:
        if not annotations or not all(key in a for a in annotations):
            return None
        return np.array([a[key] for a in annotations], dtype=np.float64).reshape(-1, 4)

    clean, sigma = optional("clean_bbox"), optional("sigma_true")
    if clean is not None:
        clean[:, 2:] += clean[:, :2]
    return FlatTargets(
        starts=np.concatenate([[0], np.cumsum(np.bincount(owner, minlength=len(rank)))]).astype(np.int64),
        boxes=clip_rows(np.array([a["box"] for a in annotations], dtype=np.float64).reshape(-1, 4), sizes),
        labels=np.array([labels[a["category_id"]] for a in annotations], dtype=np.int64),
        crowd=np.array([a["crowd"] for a in annotations], dtype=np.bool_),
        difficult=np.zeros(len(annotations), dtype=np.bool_),
        area=np.array([a["area"] for a in annotations], dtype=np.float32),
        clean_boxes=None if clean is None else clean.astype(np.float32),
        sigma_true=None if sigma is None else sigma.astype(np.float32),
    )


@dataclass(frozen=True, kw_only=True)
class CocoFile:
    """What is usable of one annotation file, and everything that is wrong with the rest.

    category_ids: entry k - 1 is the COCO category id of label k. image_folder: info.image_folder, or None. segments:
    the masks, row by row of table.targets, or None if they were not to be read.
    """

    table: ImageTable
    category_ids: tuple[int, ...]
    image_folder: str | None
    problems: tuple[Problem, ...]
    segments: Segments | None = None


def read_coco(file: Path, segmentations: Segmentations = "leave") -> CocoFile:
    """Reads and checks a COCO instances file; a box that leaves its image is clipped to it.

    segmentations: "leave" them alone, "check" them if the file has any, or "read" them: then each annotation needs one.

    Raises:
        DataError: the file is not a COCO instances file at all.
    """
    document = read_json(file)
    reader = _Reader(file=str(file), segmentations=segmentations)
    if document["annotations"] and not any(entry.get("segmentation") for entry in document["annotations"]):
        reader.segmentations = "leave"
        if segmentations == "read":
            reader.report("error", "no annotation has a segmentation, which a network with masks needs; use a file with"
                          " masks or DataConfig.masks=False")
    reader.read(document["categories"], reader.read_category)
    reader.read(document["images"], reader.read_image)
    reader.read(document["annotations"], reader.read_annotation)
    rank = {number: i for i, number in enumerate(reader.images)}
    reader.annotations.sort(key=lambda a: rank[a["image_id"]])  # within an image the order of the file stays
    category_ids = tuple(sorted(reader.categories))
    if not reader.categories:
        reader.report("error", "the file declares no category")
    if not reader.images:
        reader.report("error", "the file has no usable image")
    info = document.get("info")
    image_folder = info.get("image_folder") if isinstance(info, dict) else None
    if image_folder is not None and (not isinstance(image_folder, str) or name_problem(image_folder)):
        reader.report("error", f"info.image_folder is {image_folder!r}, which is not a folder below the data root")
        image_folder = None
    table = ImageTable(
        classes=tuple(reader.categories[number] for number in category_ids),
        image_ids=tuple(reader.images),
        file_names=tuple(name for name, _ in reader.images.values()),
        sizes=tuple(size for _, size in reader.images.values()),
        targets=_flat_targets(reader, {number: k + 1 for k, number in enumerate(category_ids)}),
    )
    segments = pack_segments([a["segment"] for a in reader.annotations]) if reader.segmentations == "read" else None
    return CocoFile(table=table, category_ids=category_ids, image_folder=image_folder,
                    problems=tuple(reader.problems), segments=segments)  # fmt: skip


class CocoDataset(TableDataset):
    """A split in the COCO layout; crowd annotations are kept and marked.

    Args:
        root: the COCO folder, or a folder that contains it as coco/.
        split: such as "train2014"; names the annotation file and the image folder.
        annotation_file: another annotation file for the images of this split; None: instances_<split>.json, or
            image_info_<split>.json, whose images have no annotations and can only be tested on.
        on_bad_box: "error", or "skip": leave boxes without positive size out and name them in ``.skipped``. The public
            COCO files do contain a few boxes of zero width or height.
        masks: read the segmentations: the targets of samples then have masks. An annotation whose segmentation is
            missing or cannot be used is treated as a bad box.

    Raises:
        DataError: something is missing or wrong; says what, where, and what to do.
    """

    def __init__(
        self,
        root: Path | str,
        split: str,
        *,
        annotation_file: Path | None = None,
        on_bad_box: OnBadBox = "error",
        masks: bool = False,
    ) -> None:
        file = annotation_file if annotation_file is not None else find_annotation_file(Path(root), split)
        content = read_coco(file, "read" if masks else "leave")
        self.skipped = check_problems(content.problems, on_bad_box)
        folder = find_image_folder(Path(root), split, file, content)
        if not folder.is_dir():
            raise DataError(f"COCO split {split!r}: the image folder {folder} does not exist; put the images there.")
        super().__init__(content.table, folder)
        self.category_ids = content.category_ids
        self._segments = content.segments

    def segments(self, index: int) -> list[Rle]:
        """The compressed RLE of each annotation of one image, in the order of its target, in original px.

        Raises:
            DataError: the data set was opened without masks.
        """
        if self._segments is None:
            return super().segments(index)
        first, end = self._targets.starts[index : index + 2].tolist()
        return self._segments.rles(first, end, self.sizes[index])

    def __getitem__(self, index: int) -> Sample:
        """As in TableDataset; the target has masks if the data set was opened with them."""
        sample = super().__getitem__(index)
        if self._segments is None:
            return sample
        masks = decode_masks(self.segments(index), self.sizes[index])
        return replace(sample, target=replace(sample.target, masks=masks))


def find_image_folder(root: Path, split: str, file: Path, content: CocoFile) -> Path:
    """Where the images are: beside annotations/, in info.image_folder, else in IMAGE_FOLDERS, else in <split>."""
    base = file.parent.parent if file.parent.name == "annotations" else root
    return base / (content.image_folder or IMAGE_FOLDERS.get(split, split))


def coco_results(
    detections: Sequence[Detections], image_ids: Sequence[ImageId], category_ids: Sequence[int]
) -> list[dict[str, Any]]:
    """Detections in COCO's result format: image_id, category_id, bbox (x, y, w, h) px, score.

    Args:
        detections: one entry per image, aligned with ``image_ids``.
        image_ids: ids as in the annotation file.
        category_ids: entry k - 1 is the category id of label k (``CocoDataset.category_ids``).
    """
    results = []
    for found, image_id in zip(detections, image_ids, strict=True):
        rows = zip(found.boxes.tolist(), found.scores.tolist(), found.labels.tolist(), strict=True)
        for (x1, y1, x2, y2), score, label in rows:
            results.append(
                {
                    "image_id": image_id,
                    "category_id": category_ids[label - 1],
                    "bbox": [x1, y1, x2 - x1, y2 - y1],
                    "score": score,
                }
            )
    return results
