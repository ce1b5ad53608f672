"""The COCO splits that papers name but no file is called after: trainval35k, minival, trainval,
test-dev.

trainval35k is train2014 and val2014 without minival, 5,000 images of val2014 to validate on. The
annotation files of these two parts of val2014 were published apart from COCO. The 2017 split
repeats the division, so train2017 is trainval35k and val2017 is minival; trainval is all of either
year. test-dev has images without published labels.
"""

from pathlib import Path

from data.coco import annotation_file, annotation_folders
from data.errors import DataError

# name -> alternatives, each the parts that it consists of; the first that is complete is taken
PAPER_SPLITS: dict[str, tuple[tuple[str, ...], ...]] = {
    "trainval35k": (("train2014", "valminusminival2014"), ("train2017",)),
    "minival": (("minival2014",), ("val2017",)),
    "trainval": (("train2014", "val2014"), ("train2017", "val2017")),
    "test-dev": (("test-dev2017",), ("test-dev2015",)),
}
UNLABELED = ("test-dev", "test-dev2017", "test-dev2015")


def coco_parts(root: Path, split: str) -> tuple[str, ...]:
    """The splits with a file of their own that together are ``split``.

    A name that PAPER_SPLITS does not list, or that has an annotation file, stands for itself.

    Args:
        root: the folder of the data, as in ``data.coco.find_annotation_file``.
        split: a key of PAPER_SPLITS or any other split.

    Raises:
        DataError: no alternative is there completely; says what is there, what each alternative
            needs, and how to get it.
    """
    if split not in PAPER_SPLITS or annotation_file(root, split) is not None:
        return (split,)
    parts = [part for alternative in PAPER_SPLITS[split] for part in alternative]
    present = [part for part in parts if annotation_file(root, part) is not None]
    for alternative in PAPER_SPLITS[split]:
        if set(alternative) <= set(present):
            return alternative
    raise _missing_parts(root, split, present)


def _missing_parts(root: Path, split: str, present: list[str]) -> DataError:
    alternatives = " or ".join(map(" + ".join, PAPER_SPLITS[split]))
    folders = " and ".join(map(str, annotation_folders(root)))
    held = f"only {' and '.join(present)}, which is a part of it" if present else "none of these"
    data = "coco2017test" if split in UNLABELED else "coco2017"
    return DataError(
        f"COCO split {split!r} is {alternatives}, and {folders} hold the annotation file of"
        f" {held}; add the missing files, choose another split, correct the data root, or fetch the"
        f" data with: python -m scripts.get_data {data}"
    )
