"""Targets of many images in a few flat arrays, and the data set over them.

Letters: N images, T annotations of all images together. A reader (data/coco_annotations.py,
data/voc_annotations.py) parses a whole split and returns an ``ImageTable`` of what is usable.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from data.errors import DataError
from data.images import read_image
from data.records import ImageId, Sample, Target


@dataclass(frozen=True, kw_only=True)
class FlatTargets:
    """The targets of N images in a few NumPy arrays: no Python object per annotation that each
    worker process would copy on first touch, and nothing that needs a file descriptor on its way
    out of a worker.

    Image i owns the rows starts[i]:starts[i + 1] of the arrays, which hold what the fields of
    Target hold. The masks of image i are entry i of a tuple: each image has its own height and
    width.
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
            clean_boxes=None
            if self.clean_boxes is None
            else torch.from_numpy(self.clean_boxes[rows].copy()),
            sigma_true=None
            if self.sigma_true is None
            else torch.from_numpy(self.sigma_true[rows].copy()),
            masks=None if self.masks is None else torch.from_numpy(self.masks[index].copy()),
        )


def pack_targets(targets: Sequence[Target]) -> FlatTargets:
    """The flat form of at least one target; optional fields are kept if all targets have them."""

    def column(name: str) -> NDArray[Any]:
        return np.concatenate([getattr(target, name).numpy() for target in targets])

    def optional(name: str) -> NDArray[Any] | None:
        missing = any(getattr(target, name) is None for target in targets)
        return None if missing else column(name)

    masks = tuple(target.masks.numpy() for target in targets if target.masks is not None)
    return FlatTargets(
        starts=np.cumsum([0] + [len(target.labels) for target in targets], dtype=np.int64),
        boxes=column("boxes"),
        labels=column("labels"),
        crowd=column("crowd"),
        difficult=column("difficult"),
        area=column("area"),
        clean_boxes=optional("clean_boxes"),
        sigma_true=optional("sigma_true"),
        masks=masks if len(masks) == len(targets) else None,
    )


def clip_rows(boxes: NDArray[np.float64], sizes: NDArray[np.float64]) -> NDArray[np.float32]:
    """Boxes (T, 4) moved inside their images, whose (height, width) are sizes (T, 2)."""
    limit = sizes[:, [1, 0, 1, 0]]
    return np.minimum(np.maximum(boxes, 0.0), limit).astype(np.float32)


@dataclass(frozen=True, kw_only=True)
class ImageTable:
    """One split: classes (K names), and per image its id, its file below the image folder, its
    (height, width) px and its target.
    """

    classes: tuple[str, ...]
    image_ids: tuple[ImageId, ...]
    file_names: tuple[str, ...]
    sizes: tuple[tuple[int, int], ...]
    targets: FlatTargets


class TableDataset:
    """A data set (data.records.Dataset) over an ImageTable and the folder with its image files.

    skipped: a sentence for each annotation that was left out.
    """

    category_ids: tuple[int, ...] | None = None  # those of COCO, in its layout

    def __init__(
        self, table: ImageTable, image_folder: Path, skipped: tuple[str, ...] = ()
    ) -> None:
        self.classes = table.classes
        self.image_ids = table.image_ids
        self.sizes = table.sizes
        self.skipped = skipped
        self._file_names = table.file_names
        self._targets = table.targets
        self._image_folder = image_folder

    def __len__(self) -> int:
        return len(self.image_ids)

    def name(self, index: int) -> str:
        """The file of one image below the image folder, which is the same on every machine."""
        return self._file_names[index]

    def file(self, index: int) -> Path:
        """Where the image file of one image is."""
        return self._image_folder / self._file_names[index]

    def target(self, index: int) -> Target:
        """All annotations of one image, crowd and difficult ones included, without opening the
        image.
        """
        return self._targets.target(index)

    def segments(self, index: int) -> list[dict[str, Any]]:
        """COCO's run lengths of each annotation of one image, which only COCO data with masks have.

        Raises:
            DataError: always here; ``CocoDataset`` has segments if it was opened with masks.
        """
        raise DataError(
            f"{self._image_folder}: masks were asked for, but this data set was opened without"
            " them; open one in the COCO layout with DataConfig.masks=True."
        )

    def __getitem__(self, index: int) -> Sample:
        """One decoded image with all its annotations.

        Raises:
            DataError: the image file is missing, damaged, or not of the annotated size.
        """
        image = read_image(self.file(index), self.sizes[index])
        return Sample(image_id=self.image_ids[index], image=image, target=self.target(index))
