"""Reads and checks the annotation files of the PASCAL VOC layout, one XML file for each image.

A VOC box counts pixels from 1 with both ends inside: over the pixels xmin..xmax it covers the
continuous edges x1 = xmin - 1 and x2 = xmax.
"""

import xml.etree.ElementTree as ET
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from data.annotations import FlatTargets, ImageTable, clip_rows
from data.errors import DataError
from data.problems import Problem, Severity, box_problem

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png")


class _NoDoctype(ET.TreeBuilder):
    """Refuses document type declarations before their entities are read: they can expand without
    bound.
    """

    def doctype(self, name: str, pubid: str | None, system: str | None) -> None:
        raise ValueError(
            "it has a DOCTYPE declaration, which an annotation does not need and this reader"
            " refuses"
        )


@dataclass(frozen=True, kw_only=True)
class VocObject:
    """One object: name; box (x1, y1, x2, y2) continuous px; difficult."""

    name: str
    box: tuple[float, float, float, float]
    difficult: bool


@dataclass(frozen=True, kw_only=True)
class VocImage:
    """One XML file: file_name below JPEGImages, (height, width) px, the usable objects, and what is
    wrong.
    """

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
        raise DataError(
            f"{file}: the annotation cannot be read ({error}); correct or restore the file."
        ) from error
    try:
        size = (int(root.findtext("size/height", "")), int(root.findtext("size/width", "")))
    except ValueError as error:
        raise DataError(
            f"{file}: size/height and size/width are not integers; write the image size there."
        ) from error
    if min(size) < 1:
        raise DataError(
            f"{file}: the image size {size[1]} x {size[0]} px is not positive; write the image"
            " size there."
        )
    suffix = Path(root.findtext("filename", "").strip()).suffix
    objects: list[VocObject] = []
    problems: list[Problem] = []
    for number, element in enumerate(root.findall("object"), start=1):
        reader = _ObjectReader(file=str(file), number=number, element=element)
        try:
            objects.append(reader.read(size))
        except _Unusable as problem:
            reader.report(problem.severity, str(problem))
        problems += reader.problems
    return VocImage(
        file_name=file.stem + (suffix if suffix.lower() in IMAGE_SUFFIXES else ".jpg"),
        size=size,
        objects=tuple(objects),
        problems=tuple(problems),
    )


class _Unusable(Exception):
    """An object that cannot be used: severity and text of its Problem."""

    def __init__(self, severity: Severity, text: str) -> None:
        super().__init__(text)
        self.severity: Severity = severity


class _ObjectReader:
    """Reads one object of an annotation file, and collects what is wrong with it."""

    def __init__(self, *, file: str, number: int, element: ET.Element) -> None:
        self.name = element.findtext("name", "").strip()
        self.problems: list[Problem] = []
        self._file = file
        self._where = f"object {number} ({self.name!r})"
        self._element = element

    def report(self, severity: Severity, text: str) -> None:
        text = f"{self._where}: {text}"
        self.problems.append(Problem(severity=severity, file=self._file, text=text))

    def read(self, size: tuple[int, int]) -> VocObject:
        """The object, in an image of (height, width) px."""
        if not self.name:
            raise _Unusable("error", "the field name is missing or empty")
        return VocObject(name=self.name, difficult=self._difficult(), box=self._box(size))

    def _difficult(self) -> bool:
        text = self._element.findtext("difficult")
        if text is None:
            self.report("repaired", "the field difficult is missing (taken as 0)")
            return False
        if text.strip() not in ("0", "1"):
            raise _Unusable("error", f"difficult is {text!r}, not 0 or 1")
        return text.strip() == "1"

    def _box(self, size: tuple[int, int]) -> tuple[float, float, float, float]:
        sides = ("xmin", "ymin", "xmax", "ymax")
        texts = [self._element.findtext(f"bndbox/{side}", "") for side in sides]
        try:
            xmin, ymin, xmax, ymax = map(float, texts)
        except ValueError as error:
            raise _Unusable("box", f"bndbox {texts} is not four numbers") from error
        if xmax <= xmin or ymax <= ymin:
            shown = f"({xmin:g}, {ymin:g}, {xmax:g}, {ymax:g})"
            raise _Unusable("box", f"box {shown} has zero or negative size")
        box = (xmin - 1, ymin - 1, xmax, ymax)
        problem = box_problem(box, size)
        if problem is not None and problem[0] == "box":
            raise _Unusable(*problem)
        if problem is not None:
            self.report(*problem)
        return box


def read_classes(folder: Path) -> tuple[tuple[str, ...], list[Problem]]:
    """The sorted object names of all files in Annotations/, and a problem for each unreadable file.

    All files, not those of one split: so all splits agree on the labels.

    Args:
        folder: with Annotations/.
    """
    names: set[str] = set()
    problems = []
    for file in sorted((folder / "Annotations").glob("*.xml")):
        try:
            names.update(item.name for item in read_xml(file).objects)
        except DataError as error:
            problems.append(_unreadable(file, error))
    return tuple(sorted(names)), problems


def _unreadable(file: Path, error: DataError) -> Problem:
    text = str(error).removeprefix(f"{file}: ").removesuffix(".")
    return Problem(severity="error", file=str(file), text=text)


def read_voc(
    folder: Path, names: Sequence[str], classes: tuple[str, ...]
) -> tuple[ImageTable, list[Problem]]:
    """Reads and checks the annotations of some images; a box that leaves its image is clipped to
    it.

    Args:
        folder: with Annotations/.
        names: of the images.
        classes: their order gives the labels 1..K.

    Returns:
        what is usable, and what is wrong with the rest.
    """
    images: dict[str, VocImage] = {}
    problems: list[Problem] = []
    for name in names:
        file = folder / "Annotations" / f"{name}.xml"
        try:
            image = read_xml(file)
        except DataError as error:
            problems.append(_unreadable(file, error))
            continue
        problems += [*image.problems, *_unknown_classes(file, image, classes)]
        images[name] = image
    table = ImageTable(
        classes=classes,
        image_ids=tuple(images),
        file_names=tuple(image.file_name for image in images.values()),
        sizes=tuple(image.size for image in images.values()),
        targets=_flat_targets(list(images.values()), classes),
    )
    return table, problems


def _unknown_classes(file: Path, image: VocImage, classes: tuple[str, ...]) -> list[Problem]:
    listed = ", ".join(classes) or "none"
    unknown = sorted({item.name for item in image.objects} - set(classes))
    texts = [f"the class {name!r} is unknown; the classes are {listed}" for name in unknown]
    return [Problem(severity="error", file=str(file), text=text) for text in texts]


def _flat_targets(images: Sequence[VocImage], classes: tuple[str, ...]) -> FlatTargets:
    """The objects of all images whose class is known."""
    labels = {name: k for k, name in enumerate(classes, start=1)}
    objects: list[VocObject] = []
    sizes: list[tuple[int, int]] = []  # of the image of each object
    starts = [0]
    for image in images:
        usable = [item for item in image.objects if item.name in labels]
        objects += usable
        sizes += [image.size] * len(usable)
        starts.append(len(objects))
    boxes = clip_rows(
        np.array([item.box for item in objects], dtype=np.float64).reshape(-1, 4),
        np.array(sizes, dtype=np.float64).reshape(-1, 2),
    )
    return FlatTargets(
        starts=np.array(starts, dtype=np.int64),
        boxes=boxes,
        labels=np.array([labels[item.name] for item in objects], dtype=np.int64),
        crowd=np.zeros(len(objects), dtype=np.bool_),
        difficult=np.array([item.difficult for item in objects], dtype=np.bool_),
        area=np.prod(boxes[:, 2:] - boxes[:, :2], axis=1, dtype=np.float32),
    )
