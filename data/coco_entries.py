"""Checks the entries of an annotation file in COCO's format: categories, images and annotations."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal, TypeGuard

from data.formats.masks import compressed_rle, segmentation_problem
from data.problems import (
    MAX_ID,
    Problem,
    Severity,
    box_problem,
    forward_slashes,
    is_number,
    name_problem,
)

Segmentations = Literal["leave", "check", "read"]  # "check": a bad one is reported, its box kept
Numbers = tuple[float, float, float, float]


class _Unusable(Exception):
    """An entry of the file that cannot be used: severity and text of its Problem."""

    def __init__(self, text: str, severity: Severity = "error") -> None:
        super().__init__(text)
        self.severity: Severity = severity


@dataclass(frozen=True, kw_only=True)
class CocoAnnotation:
    """One checked annotation; box and clean_bbox are as ``FlatTargets`` and the file have them."""

    image_id: int
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
    images: dict[int, tuple[str, tuple[int, int]]] = field(default_factory=dict)
    annotations: list[CocoAnnotation] = field(default_factory=list)
    annotation_ids: set[int] = field(default_factory=set)

    def report(self, severity: Severity, text: str) -> None:
        """Notes a problem of this file."""
        self.problems.append(Problem(severity=severity, file=self.file, text=text))

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
        number, name = entry.get("id"), entry.get("name")
        if not _is_int(number):
            raise _Unusable(f"category id {number!r} is not an integer")
        if number in self.categories:
            raise _Unusable(f"category id {number} occurs twice")
        if not isinstance(name, str) or name in self.categories.values():
            raise _Unusable(
                f"category {number} has the name {name!r}, which is not a text of its own"
            )
        self.categories[number] = name

    def read_image(self, entry: dict[str, Any]) -> None:
        """Adds an image with an id of its own, a file name that can be used, and a size."""
        number, name = entry.get("id"), entry.get("file_name")
        if not _is_int(number):
            raise _Unusable(f"image id {number!r} (file {name!r}) is not an integer")
        if number in self.images:
            raise _Unusable(
                f"image id {number} occurs twice (files {self.images[number][0]!r} and {name!r})"
            )
        if not 0 <= number < MAX_ID:
            self.report("repaired", f"image id {number} (file {name!r}) is not between 0 and 2^53")
        if not isinstance(name, str):
            raise _Unusable(f"image {number}: file_name is not a text")
        name = forward_slashes(name)
        if reason := name_problem(name):
            raise _Unusable(f"image {number}: {reason}")
        self.images[number] = (name, _image_size(entry, f"image {number} (file {name!r})"))

    def read_annotation(self, entry: dict[str, Any]) -> None:
        """Adds an annotation of a usable image and category with a usable box."""
        number = self._annotation_id(entry)
        image, category = entry.get("image_id"), entry.get("category_id")
        if not _is_int(image) or image not in self.images:
            raise _Unusable(
                f"annotation {number}: image id {image!r} is not among the usable images"
            )
        name, size = self.images[image]
        where = f"annotation {number} (image {image}, file {name!r})"
        if not _is_int(category) or category not in self.categories:
            raise _Unusable(f"{where}: category id {category!r} is unknown")
        crowd = _crowd(entry, where)
        x, y, width, height = _four_numbers(entry.get("bbox"), f"{where}: bbox", "box")
        box = (x, y, x + width, y + height)
        self._check_box(box, size, where)
        self.annotations.append(
            CocoAnnotation(
                image_id=image,
                category_id=category,
                box=box,
                area=_area(entry, width * height, where),
                crowd=crowd,
                clean_bbox=_optional_numbers(entry, "clean_bbox", where),
                sigma_true=_optional_numbers(entry, "sigma_true", where),
                segment=self._segment(entry.get("segmentation"), size, where),
            )
        )

    def _annotation_id(self, entry: dict[str, Any]) -> int:
        number, image = entry.get("id"), entry.get("image_id")
        if not _is_int(number):
            raise _Unusable(f"annotation id {number!r} (image {image!r}) is not an integer")
        if number in self.annotation_ids:
            raise _Unusable(
                f"annotation id {number} (image {image!r}) occurs twice, and COCO tools lose one"
            )
        self.annotation_ids.add(number)
        if not 0 < number < MAX_ID:  # harmless here: data/scoring/coco.py has numbers of its own
            self.report(
                "repaired", f"annotation id {number} (image {image!r}) is not between 1 and 2^53"
            )
        return number

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


def _image_size(entry: dict[str, Any], where: str) -> tuple[int, int]:
    """(height, width) px."""
    height, width = entry.get("height"), entry.get("width")
    if not (_is_int(height) and _is_int(width) and height > 0 and width > 0):
        raise _Unusable(f"{where}: size {height!r} x {width!r} is not in positive px")
    return height, width


def _crowd(entry: dict[str, Any], where: str) -> bool:
    value = entry.get("iscrowd", 0)
    if value not in (0, 1):
        raise _Unusable(f"{where}: iscrowd is {value!r}, not 0 or 1")
    return bool(value)


def _area(entry: dict[str, Any], default: float, where: str) -> float:
    area = entry.get("area", default)
    if not is_number(area) or area < 0:
        raise _Unusable(f"{where}: area {str(area)[:80]} is not a number of px^2")
    return area


def _four_numbers(value: object, where: str, severity: Severity) -> Numbers:
    if not isinstance(value, list) or len(value) != 4 or not all(map(is_number, value)):
        raise _Unusable(f"{where} {str(value)[:80]} is not four finite numbers", severity)
    first, second, third, fourth = map(float, value)
    return first, second, third, fourth


def _optional_numbers(entry: dict[str, Any], key: str, where: str) -> Numbers | None:
    value = entry.get(key)
    return None if value is None else _four_numbers(value, f"{where}: {key}", "error")
