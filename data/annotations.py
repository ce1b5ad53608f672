"""What the annotation readers share: the problems they find, and targets of many images in a few flat arrays.

Letters: N images, T annotations of all images together. A reader (data/coco.py, data/voc.py) parses a whole split and
returns an `ImageTable` of what is usable with a list of `Problem`s; the data sets stop at the first problem that
matters (`check_problems`), data/validate.py prints them all.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from data.errors import DataError
from data.images import read_image
from data.records import ImageId, Sample, Target

OnBadBox = Literal["error", "skip"]
Severity = Literal["error", "box", "repaired"]
MAX_ID = 2**53  # larger integers lose digits in JSON readers that use float64


@dataclass(frozen=True, kw_only=True)
class Problem:
    """One thing that is wrong with a data set.

    severity: "error": the data set cannot be used; "box": it can if this box is left out; "repaired": the reader
    copes (it clips the box, fills in the field) and only the validator reports it.
    """

    severity: Severity
    file: str
    text: str

    def __str__(self) -> str:
        return f"{self.file}: {self.text}"


def check_problems(problems: Sequence[Problem], on_bad_box: OnBadBox) -> tuple[str, ...]:
    """The sentences of the boxes that were left out.

    Raises:
        DataError: for the first problem that makes the data unusable; a bad box counts unless on_bad_box is "skip".
    """
    if on_bad_box not in ("error", "skip"):
        raise ValueError(f"on_bad_box is {on_bad_box!r}; choose 'error' or 'skip'.")
    boxes = [problem for problem in problems if problem.severity == "box"]
    stopping = [p for p in problems if p.severity == "error" or (p.severity == "box" and on_bad_box == "error")]
    if stopping:
        more = f" ({len(stopping) - 1} more problems)" if len(stopping) > 1 else ""
        skip = ' or leave such boxes out with --skip-bad-boxes (DataConfig.on_bad_box="skip")'
        leave_out = skip if stopping[0].severity == "box" else ""
        raise DataError(f"{stopping[0]}{more}; python -m data.validate lists all of them: correct the data{leave_out}.")
    return tuple(str(problem) for problem in boxes)


def is_number(value: object) -> bool:
    """Whether a JSON value is a number that float32 can hold (true and false are not numbers)."""
    return isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) < 1e38


def box_problem(
    box: tuple[float, float, float, float], size: tuple[int, int]
) -> tuple[Severity, str] | None:
    """Severity and text of what is wrong with a box (x1, y1, x2, y2) px in an image of (height, width) px, or None."""
    x1, y1, x2, y2 = box
    height, width = size
    shown = "({:g}, {:g}, {:g}, {:g})".format(*box)
    if not all(map(math.isfinite, box)):
        return "box", f"box {shown} is not finite"
    if x2 <= x1 or y2 <= y1:
        return "box", f"box {shown} has no positive size ({x2 - x1:g} x {y2 - y1:g} px)"
    if x1 >= width or y1 >= height or x2 <= 0 or y2 <= 0:
        return "box", f"box {shown} lies outside the image of {width} x {height} px"
    if min(x1, y1) < -1 or x2 > width + 1 or y2 > height + 1:
        return "repaired", f"box {shown} leaves the image of {width} x {height} px by more than 1 px (it is clipped)"
    return None


def name_problem(name: str) -> str | None:
    """Why a file name from an annotation must not be used, or None: it has to stay inside its image folder."""
    if not name.strip():
        return "the file name is empty"
    if "\\" in name or "\0" in name or name.startswith("/") or ".." in PurePosixPath(name).parts or ":" in name:
        return f"the file name {name!r} leaves the image folder"
    return None


@dataclass(frozen=True, kw_only=True)
class FlatTargets:
    """The targets of N images in a few NumPy arrays: no Python object per annotation that each worker process would
    copy on first touch, and nothing that needs a file descriptor on its way out of a worker.

    Image i owns the rows starts[i]:starts[i + 1] of the arrays, which hold what the fields of Target hold. The masks of
    image i are entry i of a tuple: each image has its own height and width.
    """

    starts: NDArray[np.int64]
    boxes: NDArray[np.float32]
    labels: NDArray[np.int64]
    crowd: NDArray[np.bool_]
    difficult: NDArray[np.bool_]
    area: NDArray[np.float32]
    clean_boxes: NDArray[np.float32] | None = None
    sigma_true: NDArray[np.float32] | None = None
    masks: tuple[NDArray[np.uint8], ...] | None = None

    def __len__(self) -> int:
        return len(self.starts) - 1

    def target(self, index: int) -> Target:
        """The Target of one image; its tensors are copies."""
        if not 0 <= index < len(self):
            raise IndexError(f"image index {index} of {len(self)} images")
        rows = slice(int(self.starts[index]), int(self.starts[index + 1]))
        return Target(
            boxes=torch.from_numpy(self.boxes[rows].copy()),
            labels=torch.from_numpy(self.labels[rows].copy()),
            crowd=torch.from_numpy(self.crowd[rows].copy()),
            difficult=torch.from_numpy(self.difficult[rows].copy()),
            area=torch.from_numpy(self.area[rows].copy()),
            clean_boxes=None if self.clean_boxes is None else torch.from_numpy(self.clean_boxes[rows].copy()),
            sigma_true=None if self.sigma_true is None else torch.from_numpy(self.sigma_true[rows].copy()),
            masks=None if self.masks is None else torch.from_numpy(self.masks[index].copy()),
        )


def pack_targets(targets: Sequence[Target]) -> FlatTargets:
    """The flat form of at least one target; the optional fields are kept if all targets have them."""
    clean = [t.clean_boxes.numpy() for t in targets if t.clean_boxes is not None]
    sigma = [t.sigma_true.numpy() for t in targets if t.sigma_true is not None]
    masks = [t.masks.numpy() for t in targets if t.masks is not None]
    return FlatTargets(
        starts=np.cumsum([0] + [len(t.labels) for t in targets], dtype=np.int64),
        boxes=np.concatenate([t.boxes.numpy() for t in targets]),
        labels=np.concatenate([t.labels.numpy() for t in targets]),
        crowd=np.concatenate([t.crowd.numpy() for t in targets]),
        difficult=np.concatenate([t.difficult.numpy() for t in targets]),
        area=np.concatenate([t.area.numpy() for t in targets]),
        clean_boxes=np.concatenate(clean) if len(clean) == len(targets) else None,
        sigma_true=np.concatenate(sigma) if len(sigma) == len(targets) else None,
        masks=tuple(masks) if len(masks) == len(targets) else None,
    )


def clip_rows(boxes: NDArray[np.float64], sizes: NDArray[np.float64]) -> NDArray[np.float32]:
    """Boxes (T, 4) moved inside their images, whose (height, width) are sizes (T, 2)."""
    limit = sizes[:, [1, 0, 1, 0]]
    return np.minimum(np.maximum(boxes, 0.0), limit).astype(np.float32)


@dataclass(frozen=True, kw_only=True)
class ImageTable:
    """One split: classes (K names), and per image its id, its file below the image folder, its (height, width) px and
    its target."""

    classes: tuple[str, ...]
    image_ids: tuple[ImageId, ...]
    file_names: tuple[str, ...]
    sizes: tuple[tuple[int, int], ...]
    targets: FlatTargets


class TableDataset:
    """A data set (data.records.Dataset) over an ImageTable and the folder with its image files."""

    def __init__(self, table: ImageTable, image_folder: Path) -> None:
        self.classes = table.classes
        self.image_ids = table.image_ids
        self.sizes = table.sizes
        self._file_names = table.file_names
        self._targets = table.targets
        self._image_folder = image_folder

    def __len__(self) -> int:
        return len(self.image_ids)

    def file(self, index: int) -> Path:
        """Where the image file of one image is."""
        return self._image_folder / self._file_names[index]

    def target(self, index: int) -> Target:
        """All annotations of one image, crowd and difficult ones included, without opening the image."""
        return self._targets.target(index)

    def segments(self, index: int) -> list[dict[str, Any]]:
        """Raises DataError: only a COCO data set that was opened with masks has segments."""
        raise DataError(
            f"{self._image_folder}: masks were asked for, but this data set was opened without them; open one in the"
            " COCO layout with DataConfig.masks=True."
        )

    def __getitem__(self, index: int) -> Sample:
        """One decoded image with all its annotations.

        Raises:
            DataError: the image file is missing, damaged, or not of the annotated size.
        """
        image = read_image(self.file(index), self.sizes[index])
        return Sample(image_id=self.image_ids[index], image=image, target=self.target(index))
