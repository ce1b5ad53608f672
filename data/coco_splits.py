"""The COCO splits that papers name but no file is called after: trainval35k, minival, trainval, test-dev.

trainval35k is train2014 and val2014 without minival, 5,000 images of val2014 to validate on. The annotation files of
these two parts of val2014 were published apart from COCO. The 2017 split repeats the division, so train2017 is
trainval35k and val2017 is minival; trainval is all of either year. test-dev has images without published labels.
"""

from pathlib import Path

from data.coco import annotation_file, annotation_folders
from data.errors import DataError

PAPER_SPLITS: dict[str, tuple[tuple[str, ...], ...]] = {  # the first that is there completely is taken
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
        root: the folder of the data, as in `data.coco.find_annotation_file`.
        split: a key of PAPER_SPLITS or any other split.

    Raises:
        DataError: no way is there completely; says what is there, what each way needs, and how to get it.
    """
    if split not in PAPER_SPLITS or annotation_file(root, split) is not None:
        return (split,)
    there = [part for way in PAPER_SPLITS[split] for part in way if annotation_file(root, part) is not None]
    for way in PAPER_SPLITS[split]:
        if set(way) <= set(there):
            return way
    ways = " or ".join(" + ".join(way) for way in PAPER_SPLITS[split])
    found = f"only {' and '.join(there)}, which is a part of it" if there else "none of these"
    fetched = "coco2017test" if split in UNLABELED else "coco2017"
    raise DataError(
        f"COCO split {split!r} is {ways}, and {' and '.join(map(str, annotation_folders(root)))} hold the annotation"
        f" file of {found}; add the missing files, choose another split, correct the data root, or fetch the data with:"
        f" python -m scripts.get_data {fetched}"
    )
