"""The PASCAL VOC layout: VOC<year>/{Annotations/*.xml, ImageSets/Main/<split>.txt, JPEGImages}.

Everything that is special to VOC stays in this file: boxes whose pixels are counted from 1 with both ends inside. A
box over the pixels xmin..xmax covers the continuous edges x1 = xmin - 1 and x2 = xmax.
"""

import xml.etree.ElementTree as ET
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from data.annotations import (
    FlatTargets,
    ImageTable,
    OnBadBox,
    Problem,
    Severity,
    TableDataset,
    box_problem,
    check_problems,
    clip_rows,
    name_problem,
)
from data.errors import DataError

VOC_CLASSES = (
    "aeroplane",
    "bicycle",
    "bird",
    "boat",
    "bottle",
    "bus",
    "car",
    "cat",
    "chair",
    "cow",
    "diningtable",
    "dog",
    "horse",
    "motorbike",
    "person",
    "pottedplant",
    "sheep",
    "sofa",
    "train",
    "tvmonitor",
)
IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png")


def find_voc_root(root: Path, year: int | None) -> Path:
    """The folder with Annotations/, ImageSets/ and JPEGImages/.

    Args:
        root: VOCdevkit, a folder that contains VOCdevkit, or (as for data of one's own) that folder itself.
        year: of the challenge, or None for data without a year, which lie in ``root`` itself.

    Raises:
        DataError: there is none; says where it looked and how to get the data.
    """
    if year is None:
        places = [root]
    else:
        places = [root / f"VOC{year}", root / "VOCdevkit" / f"VOC{year}"] + [root] * (root.name == f"VOC{year}")
    for place in places:
        if (place / "Annotations").is_dir():
            return place
    years = sorted({p.name for base in (root, root / "VOCdevkit") for p in base.glob("VOC[0-9]*") if p.is_dir()})
    raise DataError(
        f"no VOC data for {'a split without a year' if year is None else f'the year {year}'}: looked for a folder"
        f" Annotations in {' and '.join(map(str, places))}; years there: {', '.join(years) or 'none'}; correct the data"
        f" root or the split (2007_trainval means year 2007), or fetch the data with:"
        f" python -m scripts.get_data voc{2012 if year == 2012 else 2007}"
    )


def read_split(folder: Path, split: str) -> tuple[list[str], list[Problem]]:
    """The image names in ImageSets/Main/<split>.txt, the first word of each line, and the problems of the list.

    Raises:
        DataError: the list is missing or empty.
    """
    lists = folder / "ImageSets" / "Main"
    file = lists / f"{split}.txt"
    if not file.is_file():
        found = sorted(p.stem for p in lists.glob("*.txt") if "_" not in p.stem)
        year = 2012 if folder.name == "VOC2012" else 2007
        raise DataError(
            f"VOC split {split!r} has no image list: looked for {file}; splits there: {', '.join(found) or 'none'};"
            f" choose one of them, or fetch the data with: python -m scripts.get_data voc{year}"
        )
    lines = file.read_text(encoding="utf-8", errors="replace").splitlines()
    names: dict[str, None] = {}
    problems = []
    for name in (line.split()[0] for line in lines if line.strip()):
        if name_problem(name) or "/" in name:
            problems.append(f"{name!r} is not an image name without folder and suffix")
        elif name in names:
            problems.append(f"the image {name!r} is listed twice")
        names[name] = None
    usable = [name for name in names if not name_problem(name) and "/" not in name]
    if not usable:
        raise DataError(f"{file}: the list names no image; put one image name on each line.")
    return usable, [Problem(severity="error", file=str(file), text=text) for text in problems]


class _NoDoctype(ET.TreeBuilder):
    """Refuses document type declarations before their entities are read: they can expand without bound."""

    def doctype(self, name: str, pubid: str | None, system: str | None) -> None:
        raise ValueError("it has a DOCTYPE declaration, which an annotation does not need and this reader refuses")


@dataclass(frozen=True, kw_only=True)
class VocObject:
    """One object: name; box (x1, y1, x2, y2) continuous px; difficult."""

    name: str
    box: tuple[float, float, float, float]
    difficult: bool


@dataclass(frozen=True, kw_only=True)
class VocImage:
    """One XML file: file_name below JPEGImages, (height, width) px, the usable objects, and what is wrong."""

    file_name: str
    size: tuple[int, int]
    objects: tuple[VocObject, ...]
    problems: tuple[Problem, ...]


def read_xml(file: Path) -> VocImage:
    """Reads and checks one annotation file.

    Raises:
        DataError: the file is missing, not XML, has a DOCTYPE, or gives no image size.
    """
    try:
        root = ET.fromstring(file.read_bytes(), parser=ET.XMLParser(target=_NoDoctype()))
    except (OSError, ET.ParseError, ValueError, LookupError) as error:
        raise DataError(f"{file}: the annotation cannot be read ({error}); correct or restore the file.") from error
    try:
        size = (int(root.findtext("size/height", "")), int(root.findtext("size/width", "")))
    except ValueError as error:
        raise DataError(f"{file}: size/height and size/width are not integers; write the image size there.") from error
    if min(size) < 1:
        raise DataError(f"{file}: the image size {size[1]} x {size[0]} px is not positive; write the image size there.")
    suffix = Path(root.findtext("filename", "").strip()).suffix
    objects, problems = [], []
    for number, element in enumerate(root.findall("object"), start=1):
        where = f"object {number} ({element.findtext('name', '').strip()!r})"
        parsed, found = _read_object(element, size)
        problems += [Problem(severity=severity, file=str(file), text=f"{where}: {text}") for severity, text in found]
        objects += [parsed] if parsed is not None else []
    return VocImage(
        file_name=file.stem + (suffix if suffix.lower() in IMAGE_SUFFIXES else ".jpg"),
        size=size,
        objects=tuple(objects),
        problems=tuple(problems),
    )


def _read_object(element: ET.Element, size: tuple[int, int]) -> tuple[VocObject | None, list[tuple[Severity, str]]]:
    """One object, or None if it cannot be used, and (severity, text) of each problem."""
    problems: list[tuple[Severity, str]] = []
    name = element.findtext("name", "").strip()
    if not name:
        return None, [("error", "the field name is missing or empty")]
    difficult = element.findtext("difficult")
    if difficult is None:
        problems.append(("repaired", "the field difficult is missing (taken as 0)"))
    elif difficult.strip() not in ("0", "1"):
        return None, [("error", f"difficult is {difficult!r}, not 0 or 1")]
    texts = [element.findtext(f"bndbox/{side}", "") for side in ("xmin", "ymin", "xmax", "ymax")]
    try:
        xmin, ymin, xmax, ymax = map(float, texts)
    except ValueError:
        return None, [*problems, ("box", f"bndbox {texts} is not four numbers")]
    if xmax <= xmin or ymax <= ymin:
        shown = f"({xmin:g}, {ymin:g}, {xmax:g}, {ymax:g})"
        return None, [*problems, ("box", f"box {shown} has zero or negative size")]
    box = (xmin - 1, ymin - 1, xmax, ymax)
    fault = box_problem(box, size)
    if fault:
        problems.append(fault)
    if fault and fault[0] == "box":
        return None, problems
    return VocObject(name=name, box=box, difficult=(difficult or "0").strip() == "1"), problems


def read_classes(folder: Path) -> tuple[tuple[str, ...], list[Problem]]:
    """The sorted object names of all files in Annotations/, and a problem for each file that cannot be read.

    All files, not those of one split: so all splits agree on the labels.
    """
    names: set[str] = set()
    problems = []
    for file in sorted((folder / "Annotations").glob("*.xml")):
        try:
            names.update(found.name for found in read_xml(file).objects)
        except DataError as error:
            problems.append(_unreadable(file, error))
    return tuple(sorted(names)), problems


def _unreadable(file: Path, error: DataError) -> Problem:
    return Problem(severity="error", file=str(file), text=str(error).removeprefix(f"{file}: ").removesuffix("."))


def read_voc(folder: Path, names: Sequence[str], classes: tuple[str, ...]) -> tuple[ImageTable, list[Problem]]:
    """Reads and checks the annotations of the images ``names``; a box that leaves its image is clipped to it."""
    labels = {name: k for k, name in enumerate(classes, start=1)}
    kept: list[tuple[str, VocImage]] = []
    problems: list[Problem] = []
    for name in names:
        file = folder / "Annotations" / f"{name}.xml"
        try:
            image = read_xml(file)
        except DataError as error:
            problems.append(_unreadable(file, error))
            continue
        problems += image.problems
        for unknown in sorted({found.name for found in image.objects} - labels.keys()):
            text = f"the class {unknown!r} is unknown; the classes are {', '.join(classes) or 'none'}"
            problems.append(Problem(severity="error", file=str(file), text=text))
        kept.append((name, image))
    objects = [(found, image.size) for _, image in kept for found in image.objects if found.name in labels]
    counts = [sum(found.name in labels for found in image.objects) for _, image in kept]
    boxes = clip_rows(
        np.array([found.box for found, _ in objects], dtype=np.float64).reshape(-1, 4),
        np.array([size for _, size in objects], dtype=np.float64).reshape(-1, 2),
    )
    targets = FlatTargets(
        starts=np.cumsum([0, *counts], dtype=np.int64),
        boxes=boxes,
        labels=np.array([labels[found.name] for found, _ in objects], dtype=np.int64),
        crowd=np.zeros(len(objects), dtype=np.bool_),
        difficult=np.array([found.difficult for found, _ in objects], dtype=np.bool_),
        area=np.prod(boxes[:, 2:] - boxes[:, :2], axis=1, dtype=np.float32),
    )
    table = ImageTable(
        classes=classes,
        image_ids=tuple(name for name, _ in kept),
        file_names=tuple(image.file_name for _, image in kept),
        sizes=tuple(image.size for _, image in kept),
        targets=targets,
    )
    return table, problems


class VocDataset(TableDataset):
    """A split in the VOC layout; difficult objects are kept and marked.

    Args:
        root: as in `find_voc_root`.
        year: of the challenge, or None for data without a year.
        split: name of a list in ImageSets/Main, such as "trainval".
        classes: their order gives the labels 1..K; None: the names in the annotations, sorted.
        on_bad_box: "error", or "skip": leave boxes without positive size out and name them in ``.skipped``.

    Raises:
        DataError: something is missing or wrong; says what, where, and what to do.
    """

    def __init__(
        self,
        root: Path | str,
        year: int | None,
        split: str,
        *,
        classes: tuple[str, ...] | None = VOC_CLASSES,
        on_bad_box: OnBadBox = "error",
    ) -> None:
        folder = find_voc_root(Path(root), year)
        names, problems = read_split(folder, split)
        if classes is None:
            classes, unreadable = read_classes(folder)
            problems += unreadable
        table, found = read_voc(folder, names, classes)
        self.skipped = check_problems([*problems, *found], on_bad_box)
        if not table.classes:
            raise DataError(f"{folder / 'Annotations'}: no annotation names an object, so there is no class to learn.")
        super().__init__(table, folder / "JPEGImages")
