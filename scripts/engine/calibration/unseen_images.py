"""Whether images are new to a network, so that its errors there are those of any new image."""

import re
from pathlib import Path

from data.errors import DataError
from data.records import Dataset
from scripts.engine.detection.detection import LoadedDetector
from scripts.engine.files import read_json
from scripts.engine.image_digests import DIGESTS, image_digests
from scripts.engine.own.data import HELD_BACK
from scripts.engine.places import TRAINED_IMAGES

# of splits that hold others, or images of others, the parts that have no image in common; COCO's of
# 2017 repeat the division of 2014 (data/coco_splits.py)
PARTS = {
    "trainval": {"train", "val", "train2014", "valminusminival2014", "minival2014"},
    "trainval35k": {"train2014", "valminusminival2014"},
    "train2017": {"train2014", "valminusminival2014"},
    "val2014": {"valminusminival2014", "minival2014"},
    "val2017": {"minival2014"},
    "minival": {"minival2014"},
}
SAME_IMAGES = "the training, run again, writes it anew"


def check_not_trained_on(
    loaded: LoadedDetector, checkpoint: Path, dataset: Dataset, split: str
) -> None:
    """Checks that a network did not learn from these images: its sigmas fit them already.

    A run on data of one's own knows its images. Of other networks, and of those that were moved
    away from that file, the name of the split decides, which is said.

    Raises:
        DataError: it did.
    """
    known = checkpoint.parent / TRAINED_IMAGES
    trained = read_json(known, SAME_IMAGES).get(DIGESTS) if known.is_file() else None
    if trained is not None:
        shared = len(image_digests(dataset) & set(trained))
        learned = f"{shared} of the {len(dataset)} images of {split}" if shared else ""
    else:
        learned = split if is_trained_split(loaded, split) else ""
        if not learned:
            print(
                f"note: which images the network learned from is not known beside {checkpoint}; "
                f"the name {split!r} is taken to mean others"
            )
    if learned:
        raise DataError(
            f"The network learned from {learned}, where its errors are smaller than elsewhere; "
            "name labeled images that it has not seen with --split."
        )


def is_trained_split(loaded: LoadedDetector, split: str) -> bool:
    """Whether a network learned from a split, by its name without the year.

    Images that were held back of a split have its name as well; they are new to a network that was
    validated on them and to no other.
    """
    if split == HELD_BACK:
        return loaded.run.data.test != HELD_BACK
    learned = {part for name in loaded.run.data.train for part in parts_of_split(name)}
    return bool(learned & parts_of_split(split))


def parts_of_split(name: str) -> set[str]:
    """The parts of a split: "2007_trainval" is train and val, COCO's as well."""
    plain = re.sub(r"^\d{4}_", "", name)
    return PARTS.get(plain, {plain})


def check_apart(fitted: Dataset, reported: Dataset, split: str) -> None:
    """Checks that no image is both fitted on and measured on.

    Raises:
        DataError: some are.
    """
    shared = len(image_digests(fitted) & image_digests(reported))
    if shared:
        raise DataError(
            f"{shared} of the {len(reported)} images of --report-split {split} are fitted on as "
            "well; name other images."
        )
