"""Brings the labels of a network's detections into the order of a data set's classes, by name."""

from collections.abc import Sequence
from dataclasses import replace

import torch

from data.errors import DataError
from data.formats.masks import Rle
from data.records import Detections
from scripts.engine.evaluation.refinement import RowDetections

LISTED = 5  # class names in a sentence


def to_classes(
    row: RowDetections, trained: Sequence[str], classes: Sequence[str]
) -> tuple[RowDetections, list[str]]:
    """The detections with the labels of a data set; those of classes that it lacks are left out.

    Args:
        row: detections whose label k is ``trained[k - 1]``.
        trained: the classes of the network.
        classes: those of the data set.

    Returns:
        the detections, and a sentence for each difference of the two lists that changes the
        numbers.
    """
    if list(trained) == list(classes):
        return row, []
    unknown = [name for name in classes if name not in trained]
    label_of = {name: label for label, name in enumerate(classes, start=1)}
    table = torch.tensor([0, *(label_of.get(name, 0) for name in trained)])
    keeps = [table[image.labels] > 0 for image in row.detections]
    detections = [
        relabeled(image, table, keep) for image, keep in zip(row.detections, keeps, strict=True)
    ]
    unvoted = None
    if row.unvoted is not None:
        pairs = zip(row.unvoted, keeps, strict=True)
        unvoted = [relabeled(image, table, keep) for image, keep in pairs]
    segments = None
    if row.segments is not None:
        segments = [kept(rles, keep) for rles, keep in zip(row.segments, keeps, strict=True)]
    sentences = []
    foreign = [name for name in trained if name not in label_of]
    if foreign:
        count = sum(int((~keep).sum()) for keep in keeps)
        sentences.append(
            f"left out: {count} detections of classes that the data do not have: {listed(foreign)}"
        )
    if unknown:
        sentences.append(f"the network does not know, and so misses: {listed(unknown)}")
    return replace(row, detections=detections, segments=segments, unvoted=unvoted), sentences


def check_common_class(trained: Sequence[str], classes: Sequence[str]) -> None:
    """Checks that a network and a data set have a class in common.

    Raises:
        DataError: they have none.
    """
    if not set(trained) & set(classes):
        raise DataError(
            f"The network was trained on the classes {listed(trained)}, and the data have "
            f"{listed(classes)}: none is the same; give data with the network's classes."
        )


def relabeled(image: Detections, table: torch.Tensor, keep: torch.Tensor) -> Detections:
    """The detections ``keep`` (D,) of one image with their labels in the data set."""
    return replace(image, labels=table[image.labels]).select(keep)


def kept(rles: Sequence[Rle], keep: torch.Tensor) -> list[Rle]:
    """The masks of the detections ``keep`` (D,) of one image."""
    return [rle for rle, wanted in zip(rles, keep.tolist(), strict=True) if wanted]


def listed(names: Sequence[str]) -> str:
    """The first of some class names."""
    more = f" and {len(names) - LISTED} more" if len(names) > LISTED else ""
    return ", ".join(names[:LISTED]) + more
