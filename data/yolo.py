"""The YOLO layout: for each image a text file with a line for each object, "class cx cy w h".

class counts from 0; center and size are shares of the image's width and height. A line with more
numbers is a polygon, "class x1 y1 x2 y2 ...", of which the box is read. The text file of
images/a.jpg is labels/a.txt, else a.txt beside the image; an image without one, or with an empty
one, has no objects.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from data.annotations import FlatTargets, ImageTable, clip_rows
from data.errors import DataError
from data.image_files import without_image_suffix
from data.images import upright_size
from data.problems import Problem, Severity, box_problem
from data.text_files import read_lines

NO_LABELS = "there is no label file (taken as an image without objects)"
LARGEST = 1.5  # a share beyond it is no share; up to it a box is clipped to its image


@dataclass(frozen=True, kw_only=True)
class _YoloObject:
    """One object: label 1..K; box (x1, y1, x2, y2) px."""

    label: int
    box: tuple[float, float, float, float]


class _Unusable(Exception):
    """A line that cannot be used: severity and text of its Problem."""

    def __init__(self, severity: Severity, text: str) -> None:
        super().__init__(text)
        self.severity: Severity = severity


def label_file(image: Path) -> Path | None:
    """The text file with the objects of an image, or None if there is none."""
    name = f"{without_image_suffix(image.name)}.txt"
    places = [
        Path(*image.parts[:index], "labels", *image.parts[index + 1 : -1])
        for index in range(len(image.parts) - 2, -1, -1)
        if image.parts[index].lower() == "images"
    ]
    files = [place / name for place in (*places, image.parent, image.parent.parent / "labels")]
    return next((file for file in files if file.is_file()), None)


def read_yolo(
    root: Path, images: Sequence[str], classes: tuple[str, ...]
) -> tuple[ImageTable, list[Problem]]:
    """Reads and checks the labels of some images; a box that leaves its image is clipped to it.

    Args:
        root: the folder that the names are relative to.
        images: the files.
        classes: their order gives the labels 1..K.

    Returns:
        what is usable, and what is wrong with the rest.
    """
    problems = _shared_ids(root, images)
    names: list[str] = []
    sizes: list[tuple[int, int]] = []
    objects: list[list[_YoloObject]] = []
    for name in images:
        try:
            size = upright_size(root / name)
        except DataError as error:
            text = str(error).removeprefix(f"{root / name}: ").removesuffix(".")
            problems.append(Problem(severity="error", file=str(root / name), text=text))
            continue
        names.append(name)
        sizes.append(size)
        objects.append(list(_objects(root / name, size, classes, problems)))
    table = ImageTable(
        classes=classes,
        image_ids=tuple(without_image_suffix(name) for name in names),
        file_names=tuple(names),
        sizes=tuple(sizes),
        targets=_flat_targets(objects, sizes),
    )
    return table, problems


def _shared_ids(root: Path, images: Sequence[str]) -> list[Problem]:
    """A problem for each image with the name of an earlier one but for the suffix: the name is the
    image's id, and that of its text file.
    """
    owners: dict[str, str] = {}
    problems: list[Problem] = []
    for name in images:
        image_id = without_image_suffix(name)
        if image_id in owners:
            text = (
                f"the image has the id and the labels of {owners[image_id]!r}; remove one of the"
                " two, or rename it and its label file"
            )
            problems.append(Problem(severity="error", file=str(root / name), text=text))
        owners.setdefault(image_id, name)
    return problems


def _objects(
    image: Path, size: tuple[int, int], classes: tuple[str, ...], problems: list[Problem]
) -> Iterator[_YoloObject]:
    """The usable objects of one image; adds what is wrong to ``problems``."""
    file = label_file(image)
    if file is None:
        problems.append(Problem(severity="note", file=str(image), text=NO_LABELS))
        return
    for number, line in enumerate(read_lines(file), start=1):
        where = f"line {number}"
        try:
            item, polygon = _read_line(line, size, len(classes))
        except _Unusable as problem:
            problems.append(
                Problem(severity=problem.severity, file=str(file), where=where, text=str(problem))
            )
            continue
        said = box_problem(item.box, size)
        if polygon:
            problems.append(
                Problem(severity="note", file=str(file), where=where,
                        text="the object is a polygon, of which the box is read")
            )  # fmt: skip
        if said is not None:
            severity, text = said
            problems.append(Problem(severity=severity, file=str(file), where=where, text=text))
            if severity == "box":
                continue
        yield item


def _read_line(line: str, size: tuple[int, int], classes: int) -> tuple[_YoloObject, bool]:
    """The object of a line, and whether it is a polygon."""
    words = line.split()
    try:
        number, *shares = map(float, words)
    except ValueError as error:
        raise _Unusable("error", f"{line[:60]!r} is not numbers with spaces between") from error
    if not (0 <= number < classes and number == int(number)):
        raise _Unusable("error", f"the class {words[0][:40]} is not one of 0 to {classes - 1}")
    polygon = len(shares) >= 6 and len(shares) % 2 == 0
    if len(shares) != 4 and not polygon:
        text = f"{len(words)} numbers are neither a class and a box (5) nor a class and a polygon"
        raise _Unusable("box", text)
    if not all(-LARGEST <= share <= LARGEST for share in shares):
        raise _Unusable(
            "error",
            f"{line[:60]!r} are no shares of the image's width and height, which lie between 0 and"
            " 1; divide px by the image size",
        )
    height, width = size
    if polygon:
        x1, y1, x2, y2 = min(shares[::2]), min(shares[1::2]), max(shares[::2]), max(shares[1::2])
    else:
        cx, cy, w, h = shares
        x1, y1, x2, y2 = cx - w / 2, cy - h / 2, cx + w / 2, cy + h / 2
    box = (x1 * width, y1 * height, x2 * width, y2 * height)
    return _YoloObject(label=int(number) + 1, box=box), polygon


def _flat_targets(
    objects: Sequence[Sequence[_YoloObject]], sizes: Sequence[tuple[int, int]]
) -> FlatTargets:
    items = [item for some in objects for item in some]
    owner = np.repeat(np.arange(len(objects)), [len(some) for some in objects])
    boxes = clip_rows(
        np.array([item.box for item in items], dtype=np.float64).reshape(-1, 4),
        np.array(sizes, dtype=np.float64).reshape(-1, 2)[owner],
    )
    return FlatTargets(
        starts=np.cumsum([0, *map(len, objects)], dtype=np.int64),
        boxes=boxes,
        labels=np.array([item.label for item in items], dtype=np.int64),
        crowd=np.zeros(len(items), dtype=np.bool_),
        difficult=np.zeros(len(items), dtype=np.bool_),
        area=np.prod(boxes[:, 2:] - boxes[:, :2], axis=1, dtype=np.float32),
    )
