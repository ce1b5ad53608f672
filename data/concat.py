"""Several splits as one data set, such as VOC 2007 + 2012 trainval."""

from bisect import bisect_right
from collections import Counter
from collections.abc import Sequence
from itertools import accumulate
from pathlib import Path
from typing import Any

from data.errors import DataError
from data.records import Dataset, ImageId, Sample, Target


class ConcatDataset:
    """The images of ``parts`` one after the other; an image id that two parts share becomes "<part
    name>/<id>".

    Args:
        parts: data sets with the same classes in the same order.
        names: one name for each part.

    Raises:
        DataError: the classes differ.
    """

    def __init__(self, parts: Sequence[Dataset], names: Sequence[str]) -> None:
        _check_classes(parts, names)
        self.classes = parts[0].classes
        self.image_ids = _unique_ids(parts, names)
        self.sizes = tuple(size for part in parts for size in part.sizes)
        self.skipped = tuple(sentence for part in parts for sentence in part.skipped)
        self.category_ids = _common_category_ids(parts)
        self._parts = tuple(parts)
        self._ends = list(accumulate(len(part) for part in parts))

    def __len__(self) -> int:
        return self._ends[-1]

    def _locate(self, index: int) -> tuple[Dataset, int]:
        if not 0 <= index < len(self):
            raise IndexError(f"image index {index} of {len(self)} images")
        owner = bisect_right(self._ends, index)
        return self._parts[owner], index - (self._ends[owner - 1] if owner else 0)

    def name(self, index: int) -> str:
        """The file of one image below the image folder, which is the same on every machine."""
        part, i = self._locate(index)
        return part.name(i)

    def file(self, index: int) -> Path:
        """Where the image file of one image is."""
        part, i = self._locate(index)
        return part.file(i)

    def target(self, index: int) -> Target:
        """All annotations of one image, crowd and difficult ones included, without opening the
        image.
        """
        part, i = self._locate(index)
        return part.target(i)

    def segments(self, index: int) -> list[dict[str, Any]]:
        """COCO's run lengths of one image's annotations.

        Raises:
            DataError: its part was opened without masks.
        """
        part, i = self._locate(index)
        return part.segments(i)

    def __getitem__(self, index: int) -> Sample:
        """Decodes one image.

        Raises:
            DataError: it cannot be read; names the file.
        """
        part, i = self._locate(index)
        sample = part[i]
        return Sample(image_id=self.image_ids[index], image=sample.image, target=sample.target)


def _check_classes(parts: Sequence[Dataset], names: Sequence[str]) -> None:
    """Stops unless all parts have the same classes in the same order."""
    first = parts[0].classes
    for part, name in zip(parts, names, strict=True):
        if part.classes != first:
            raise DataError(
                f"the splits {names[0]!r} and {name!r} have different classes, {', '.join(first)}"
                f" and {', '.join(part.classes)}; train on splits with the same classes in the same"
                " order."
            )


def _common_category_ids(parts: Sequence[Dataset]) -> tuple[int, ...] | None:
    """The COCO category ids of the labels 1..K; None if the parts have none, or not the same."""
    ids = {part.category_ids for part in parts}
    return ids.pop() if len(ids) == 1 else None


def _unique_ids(parts: Sequence[Dataset], names: Sequence[str]) -> tuple[ImageId, ...]:
    counts = Counter(image_id for part in parts for image_id in part.image_ids)
    ids: list[ImageId] = []
    for part, name in zip(parts, names, strict=True):
        for image_id in part.image_ids:
            ids.append(f"{name}/{image_id}" if counts[image_id] > 1 else image_id)
    return tuple(ids)
