"""Some of the images of a data set, and a training set without the images that are held back."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from data.annotations import TableDataset
from data.holdout import held_back
from data.records import Sample, Target


class SubsetDataset:
    """The images ``indices`` of a data set (data.records.Dataset), in that order.

    Args:
        dataset: the whole.
        indices: of its images.
    """

    def __init__(self, dataset: TableDataset, indices: Sequence[int]) -> None:
        self.classes = dataset.classes
        self.image_ids = tuple(dataset.image_ids[index] for index in indices)
        self.sizes = tuple(dataset.sizes[index] for index in indices)
        self.skipped = dataset.skipped
        self.category_ids = dataset.category_ids
        self._dataset = dataset
        self._indices = tuple(indices)

    def __len__(self) -> int:
        return len(self._indices)

    def name(self, index: int) -> str:
        """The file of one image below the image folder, which is the same on every machine."""
        return self._dataset.name(self._indices[index])

    def file(self, index: int) -> Path:
        """Where the image file of one image is."""
        return self._dataset.file(self._indices[index])

    def target(self, index: int) -> Target:
        """All annotations of one image, without opening the image."""
        return self._dataset.target(self._indices[index])

    def segments(self, index: int) -> list[dict[str, Any]]:
        """COCO's run lengths of one image's annotations.

        Raises:
            DataError: the data set was opened without masks.
        """
        return self._dataset.segments(self._indices[index])

    def __getitem__(self, index: int) -> Sample:
        """Decodes one image.

        Raises:
            DataError: it cannot be read; names the file.
        """
        return self._dataset[self._indices[index]]


def hold_back(dataset: TableDataset, fraction: float) -> tuple[SubsetDataset, SubsetDataset]:
    """A data set without the images that are held back, and those images.

    Args:
        dataset: to split.
        fraction: as in ``data.holdout.held_back``.

    Raises:
        ValueError: as ``held_back``.
    """
    names = [dataset.name(index) for index in range(len(dataset))]
    chosen = held_back(names, fraction)
    kept = [index for index, name in enumerate(names) if name not in chosen]
    held = [index for index, name in enumerate(names) if name in chosen]
    return SubsetDataset(dataset, kept), SubsetDataset(dataset, held)
