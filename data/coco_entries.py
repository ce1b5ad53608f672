"""Checks the entries of an annotation file in COCO's format: categories, images and annotations."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypeGuard

from data.formats.masks import compressed_rle, segmentation_problem, usable_polygons
from data.problems import (
    MAX_ID,
    Problem,
    Severity,
    box_problem,
    forward_slashes,
    is_number,
    name_problem,
    name_text_problem,
    shortened,
    size_problem,
)
from data.records import ImageId

Segmentations = Literal["leave", "check", "read"]  # "check": a bad one is reported, its box kept
Numbers = tuple[float, float, float, float]
LONGEST_NUMBER = 40  # characters of a number that is written as a text


class _Unusable(Exception):
    """An entry of the file that cannot be used: severity and text of its Problem."""

    def __init__(self, text: str, severity: Severity = "error") -> None:
        super().__init__(text)
        self.severity: Severity = severity


@dataclass(frozen=True, kw_only=True)
class CocoAnnotation:
    """One checked annotation; box and clean_bbox are as ``FlatTargets`` and the file have them."""

    image_id: ImageId
    category_id: int
    box: Numbers  # (x1, y1, x2, y2) px
    area: float  # px^2
    crowd: bool
    clean_bbox: Numbers | None  # (x, y, width, height) px
    sigma_true: Numbers | None  # px
    segment: str | None  # the text of the compressed RLE


@dataclass(kw_only=True)
class CocoEntries:
    """The usable entries of one COCO file, and what is wrong with the rest.

    file: what the problems call it. categories: name by id. images: file name and (height, width)
    px by id. annotation_ids: of all annotations, also of those that cannot be used.
    """

    file: str
    segmentations: Segmentations = "leave"
    problems: list[Problem] = field(default_factory=list)
    categories: dict[int, str] = field(default_factory=dict)
    images: dict[ImageId, tuple[str, tuple[int, int]]] = field(default_factory=dict)
    annotations: list[CocoAnnotation] = field(default_factory=list)
    annotation_ids: set[ImageId] = field(default_factory=set)

    def report(self, severity: Severity, text: str, where: str = "") -> None:
        """Notes a problem of this file."""
        self.problems.append(Problem(severity=severity, file=self.file, where=where, text=text))

    def read(
        self, entries: list[dict[str, Any]], read_entry: Callable[[dict[str, Any]], None]
    ) -> None:
        """Reads each entry of a list with one of the functions below.

        Args:
            entries: of the list categories, images or annotations, in this order.
            read_entry: ``read_category``, ``read_image`` or ``read_annotation``.
        """
        for entry in entries:
            try:
                read_entry(entry)
            except _Unusable as problem:
                self.report(problem.severity, str(problem))

    def read_category(self, entry: dict[str, Any]) -> None:
        """Adds a category with an id and a name of its own."""
        number, name = plain_number(entry.get("id")), entry.get("name")
        if not _is_int(number):
            raise _Unusable(f"category id {shortened(entry.get('id'))} is not an integer")
        if not -MAX_ID < number < MAX_ID:
            raise _Unusable(f"category id {shortened(number)} has more digits than a number keeps")
        if number in self.categories:
            raise _Unusable(f"category id {number} occurs twice")
        if not isinstance(name, str) or not name.strip():
            raise _Unusable(f"category {number} has the name {name!r}, which is not a text")
        if problem := name_text_problem(name):
            raise _Unusable(f"category {number}: {problem}")
        for other, taken in self.categories.items():
            if taken == name:
                raise _Unusable(
                    f"categories {other} and {number} have the same name {name!r}; rename or remove"
                    " one of them"
                )
        self.categories[number] = name

    def read_image(self, entry: dict[str, Any]) -> None:
        """Adds an image with an id of its own, a file name that can be used, and a size."""
        number, name = plain_id(entry.get("id")), entry.get("file_name")
        if number is None:
            raise _Unusable(
                f"image id {shortened(entry.get('id'))} (file {name!r}) is neither an integer nor a"
                " text"
            )
        if number in self.images:
            raise _Unusable(
                f"image id {number} occurs twice (files {self.images[number][0]!r} and {name!r})"
            )
        if isinstance(number, int) and not 0 <= number < MAX_ID:
            text = f"image id {shortened(number)} (file {name!r}) is not between 0 and 2^53"
            self.report("repaired", text)
        if not isinstance(name, str):
            raise _Unusable(f"image {number}: file_name is not a text")
        plain = forward_slashes(name)
        if reason := name_problem(plain):
            raise _Unusable(f"image {number}: {reason}")
        where = f"image {number} (file {plain!r})"
        if plain != name:
            self.report("note", "the file name has backslashes or doubled parts (mended)", where)
        self.images[number] = (plain, self._image_size(entry, where))

    def _image_size(self, entry: dict[str, Any], where: str) -> tuple[int, int]:
        """(height, width) px."""
        height, width = plain_number(entry.get("height")), plain_number(entry.get("width"))
        if not (_is_int(height) and _is_int(width)):
            shown = f"{shortened(entry.get('height'))} x {shortened(entry.get('width'))}"
            raise _Unusable(f"{where}: size {shown} is not in positive px")
        if problem := size_problem(height, width):
            raise _Unusable(f"{where}: {problem}")
        self._note_texts([entry["height"], entry["width"]], where)
        return height, width

    def read_annotation(self, entry: dict[str, Any]) -> None:
        """Adds an annotation of a usable image and category with a usable box."""
        number = self._annotation_id(entry)
        image, category = plain_id(entry.get("image_id")), plain_number(entry.get("category_id"))
        if image is None or image not in self.images:
            raise _Unusable(
                f"annotation {number}: image id {shortened(entry.get('image_id'))} is not among the"
                " usable images"
            )
        name, size = self.images[image]
        where = f"annotation {number} (image {image}, file {name!r})"
        if not _is_int(category) or category not in self.categories:
            raise _Unusable(
                f"{where}: category id {shortened(entry.get('category_id'))} is unknown"
            )
        crowd = self._crowd(entry, where)
        x, y, width, height = _four_numbers(entry.get("bbox"), f"{where}: bbox", "box")
        self._note_texts(entry["bbox"], where)
        box = (x, y, x + width, y + height)
        self._check_box(box, size, where)
        self.annotations.append(
            CocoAnnotation(
                image_id=image,
                category_id=category,
                box=box,
                area=self._area(entry, width * height, where),
                crowd=crowd,
                clean_bbox=_optional_numbers(entry, "clean_bbox", where),
                sigma_true=_optional_numbers(entry, "sigma_true", where),
                segment=self._segment(entry.get("segmentation"), size, where),
            )
        )

    def _annotation_id(self, entry: dict[str, Any]) -> ImageId | None:
        """The id, which nothing depends on here: data/scoring/coco.py has numbers of its own."""
        number, image = plain_id(entry.get("id")), entry.get("image_id")
        if number is None:
            text = f"annotation id {entry.get('id')!r} (image {image!r}) is not an integer"
            self.report("repaired", f"{text} (it plays no part)")
        elif number in self.annotation_ids:
            text = f"annotation id {number} (image {image!r}) occurs twice"
            self.report("repaired", f"{text}, and some COCO tools lose one (both are kept)")
        elif isinstance(number, int) and not 0 < number < MAX_ID:
            text = f"annotation id {number} (image {image!r}) is not between 1 and 2^53"
            self.report("repaired", text)
        if number is not None:
            self.annotation_ids.add(number)
        return number

    def _note_texts(self, values: Sequence[object], where: str) -> None:
        if any(isinstance(value, str) for value in values):
            self.report("note", "numbers are written as texts (read as numbers)", where)

    def _crowd(self, entry: dict[str, Any], where: str) -> bool:
        value = plain_number(entry.get("iscrowd"))
        if value is None and entry.get("iscrowd") in (None, ""):
            self.report("note", "iscrowd is missing or null (taken as 0)", where)
            return False
        if value not in (0, 1):
            raise _Unusable(f"{where}: iscrowd is {shortened(entry.get('iscrowd'))}, not 0 or 1")
        return bool(value)

    def _area(self, entry: dict[str, Any], default: float, where: str) -> float:
        value, area = entry.get("area"), plain_number(entry.get("area"))
        if value in (None, ""):
            self.report("note", "area is missing or null (taken as that of the box)", where)
            return default
        if not is_number(area) or area < 0:
            raise _Unusable(f"{where}: area {str(value)[:80]} is not a number of px^2")
        return area

    def _check_box(self, box: Numbers, size: tuple[int, int], where: str) -> None:
        problem = box_problem(box, size)
        if problem is None:
            return
        severity, text = problem
        if severity == "box":
            raise _Unusable(f"{where}: {text}", "box")
        self.report("repaired", f"{where}: {text}")

    def _segment(self, segmentation: object, size: tuple[int, int], where: str) -> str | None:
        """The compressed RLE, or None if segmentations are not read: boxes do not need them."""
        if self.segmentations == "leave":
            return None
        segmentation, left_out = usable_polygons(segmentation, size)
        if left_out:
            self.report("repaired", f"{where}: {left_out} (this part of the mask is left out)")
        problem = segmentation_problem(segmentation, size)
        if self.segmentations == "check":
            if problem:
                text = f"{where}: {problem} (only a network with masks needs it)"
                self.report("repaired", text)
            return None
        if problem:
            raise _Unusable(f"{where}: {problem}", "box")
        return compressed_rle(segmentation, size)


def _is_int(value: object) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool)


def plain_number(value: object) -> int | float | None:
    """A number as JSON should have it: 64.0, "64" and "64.0" are 64; None if it is no number."""
    if isinstance(value, str):
        try:
            value = float(value) if len(value) < LONGEST_NUMBER else None
        except ValueError:
            return None
    if isinstance(value, bool):
        return int(value)
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value if isinstance(value, int | float) else None


def plain_id(value: object) -> ImageId | None:
    """An id: an integer, also of "7" and 7.0, or any other text; None for anything else."""
    if isinstance(value, str):
        decimal = value.isdecimal() and len(value) < LONGEST_NUMBER and value == str(int(value))
        return int(value) if decimal else value or None
    number = None if isinstance(value, bool) else plain_number(value)
    return number if _is_int(number) else None


def _four_numbers(value: object, where: str, severity: Severity) -> Numbers:
    given = value if isinstance(value, list) else []
    numbers = [None if isinstance(item, bool) else plain_number(item) for item in given]
    usable = [number for number in numbers if is_number(number)]
    if len(usable) != 4 or len(numbers) != 4:
        raise _Unusable(f"{where} {str(value)[:80]} is not four finite numbers", severity)
    first, second, third, fourth = map(float, usable)
    return first, second, third, fourth


def _optional_numbers(entry: dict[str, Any], key: str, where: str) -> Numbers | None:
    value = entry.get(key)
    return None if value is None else _four_numbers(value, f"{where}: {key}", "error")
