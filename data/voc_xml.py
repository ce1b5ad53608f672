"""Reads and checks one annotation file of the PASCAL VOC layout: one XML file for each image.

A VOC box counts pixels from 1 with both ends inside: over the pixels xmin..xmax it covers the
continuous edges x1 = xmin - 1 and x2 = xmax.
"""

import xml.etree.ElementTree as ET
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from data.errors import DataError
from data.image_files import without_image_suffix
from data.label_bytes import LARGEST_TEXT, label_bytes
from data.problems import Problem, Severity, box_problem, size_problem


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
    """One XML file: the name that it gives its image (VOC's own files, and not all others, name a
    file that is there), (height, width) px, the usable objects, and what is wrong.
    """

    file_name: str
    size: tuple[int, int]
    objects: tuple[VocObject, ...]
    problems: tuple[Problem, ...]


def read_xml(file: Path) -> VocImage:
    """Reads and checks one annotation file.

    Raises:
        DataError: the file is missing, too large, not XML, has a DOCTYPE, or gives no image size.
    """
    try:
        content = label_bytes(file, LARGEST_TEXT).lstrip(
            b" \t\r\n"
        )  # nothing may stand before <?xml
        root = ET.fromstring(content, parser=ET.XMLParser(target=_NoDoctype()))
    except FileNotFoundError as error:
        raise DataError(
            f"{file}: the annotation does not exist; write it, or take its image off the list."
        ) from error
    except (OSError, ET.ParseError, ValueError, LookupError) as error:
        raise DataError(
            f"{file}: the annotation cannot be read ({error}); correct or restore the file."
        ) from error
    try:
        size = (_pixels(root, "height"), _pixels(root, "width"))
    except (ValueError, OverflowError) as error:
        raise DataError(
            f"{file}: size/height and size/width are not integers; write the image size there."
        ) from error
    if said := size_problem(*size):
        raise DataError(f"{file}: the image {said}; write the image size there.")
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
        file_name=file.stem + _image_suffix(root),
        size=size,
        objects=tuple(objects),
        problems=tuple(problems),
    )


def _pixels(root: ET.Element, side: str) -> int:
    """The height or width of the image, which may be written as 64.0."""
    value = float(root.findtext(f"size/{side}", ""))
    if value != int(value):
        raise ValueError(f"{value} is not a whole number")
    return int(value)


def _image_suffix(root: ET.Element) -> str:
    """The suffix of an image in the field filename, else ".jpg"."""
    name = PurePosixPath(root.findtext("filename", "").strip().replace("\\", "/")).name
    return name[len(without_image_suffix(name)) :] or ".jpg"


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
        problem = Problem(severity=severity, file=self._file, where=self._where, text=text)
        self.problems.append(problem)

    def read(self, size: tuple[int, int]) -> VocObject:
        """The object, in an image of (height, width) px."""
        if not self.name:
            raise _Unusable("error", "the field name is missing or empty")
        return VocObject(name=self.name, difficult=self._difficult(), box=self._box(size))

    def _difficult(self) -> bool:
        text = (self._element.findtext("difficult") or "").strip()
        if not text:
            self.report("note", "the field difficult is missing or empty (taken as 0)")
        if text not in ("", "0", "1"):
            raise _Unusable("error", f"difficult is {text!r}, not 0 or 1")
        return text == "1"

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
