"""Data of one's own: the training and the validation images of a folder, and what lies there."""

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from data.annotations import TableDataset
from data.errors import DataError
from data.finding.records import FoundLayout
from data.layouts import find_layout, named_layout, open_split
from data.problems import OnBadBox, plain_name
from data.subset import SubsetDataset, hold_back
from scripts.engine.image_digests import DIGESTS, image_digests

HELD_BACK = "held-back"  # the name of the validation split that no file lists
HELD_BACK_SHARE = 0.2
LISTED = 3  # annotations that were left out
OwnDataset = TableDataset | SubsetDataset


@dataclass(frozen=True, kw_only=True)
class OwnFolder:
    """Where the labeled images are, as the command line says it.

    root: the folder. splits: "TRAIN:VALIDATION"; None: as their names say, and without a split to
    validate on some of the images are held back. annotations, images: COCO's file and the folder of
    its images, where they are named instead of a folder.
    """

    root: Path | None
    splits: str | None = None
    annotations: Path | None = None
    images: Path | None = None

    @property
    def name(self) -> str:
        """What the results of these data are called."""
        if self.annotations is not None:
            return self.annotations.stem
        assert self.root is not None
        return self.root.resolve().name


@dataclass(frozen=True, kw_only=True)
class OwnData:
    """The images to train and to validate on, and what was found, in sentences.

    train_split, validation_split: their names; HELD_BACK: some of the training split's images.
    """

    found: FoundLayout
    train: OwnDataset
    validation: OwnDataset
    train_split: str
    validation_split: str
    sentences: Sequence[str]


def open_own_data(folder: OwnFolder, *, masks: bool = False, train_empty: bool = False) -> OwnData:
    """Finds layout, splits and classes of a folder, and opens what is trained and validated on.

    Args:
        folder: where the images are.
        masks: whether the network learns masks.
        train_empty: whether it learns from images without objects, for the sentences.

    Raises:
        DataError: nothing usable is there; says what is, and what to do.
    """
    found = find_data(folder)
    train_split, validation_split = chosen_splits(found, folder.splits)
    whole = open_split(found, train_split, on_bad_box="skip", masks=masks)
    train: OwnDataset = whole
    validation: OwnDataset
    if validation_split == HELD_BACK:
        train, validation = hold_back(whole, HELD_BACK_SHARE)
    else:
        validation = open_split(found, validation_split, on_bad_box="skip", masks=masks)
    if train.classes != validation.classes:
        raise DataError(
            f"The split {train_split} has the classes {', '.join(train.classes)} and "
            f"{validation_split} {', '.join(validation.classes)}; give both the same list of "
            "categories."
        )
    return OwnData(
        found=found,
        train=train,
        validation=validation,
        train_split=train_split,
        validation_split=validation_split,
        sentences=[
            *found.sentences,
            *described(train, validation, train_split, validation_split, train_empty),
        ],
    )


def find_data(folder: OwnFolder) -> FoundLayout:
    """The layout of what the command line names.

    Raises:
        DataError: nothing known is there, or half of it is named, or more than it.
    """
    if folder.annotations is not None or folder.images is not None:
        if folder.annotations is None or folder.images is None:
            raise DataError("--annotations FILE and --images DIR belong together; give both.")
        if folder.root is not None:
            raise DataError(
                f"--data {folder.root} goes without --annotations and --images, which name the"
                " images themselves; leave one of the two out."
            )
        return named_layout(folder.annotations, folder.images)
    if folder.root is None:
        raise DataError("Which images? Give their folder with --data DIR (DATA=DIR with make).")
    return find_layout(folder.root)


def open_named_split(
    found: FoundLayout,
    name: str,
    *,
    on_bad_box: OnBadBox = "skip",
    masks: bool = False,
    train: str | None = None,
) -> OwnDataset:
    """A split, or the images that are held back of the training split.

    Args:
        found: the layout.
        name: of the split, or HELD_BACK.
        on_bad_box, masks: as in ``data.layouts.open_split``.
        train: the split that images are held back of; None, or one that is not there: that which
            is found.

    Raises:
        DataError: there is no such split.
    """
    if name != HELD_BACK:
        return open_split(found, name, on_bad_box=on_bad_box, masks=masks)
    source = train if train in found.names else chosen_splits(found, None)[0]
    whole = open_split(found, source, on_bad_box=on_bad_box, masks=masks)
    return hold_back(whole, HELD_BACK_SHARE)[1]


def chosen_splits(found: FoundLayout, splits: str | None) -> tuple[str, str]:
    """The names of the splits to train and to validate on.

    Raises:
        DataError: it is not clear which they are.
    """
    if splits is not None:
        train, colon, validation = splits.partition(":")
        if not train:
            raise DataError(f"--splits {splits!r} names no split; give TRAIN:VALIDATION or TRAIN.")
        return train, validation if colon and validation else HELD_BACK
    if found.train is None:
        raise DataError(
            f"{found.root} has the splits {', '.join(found.names)}; which is trained on? Name it: "
            "--splits TRAIN:VALIDATION, or --splits TRAIN to hold some of its images back."
        )
    return found.train, found.validation or HELD_BACK


def described(
    train: OwnDataset,
    validation: OwnDataset,
    train_split: str,
    validation_split: str,
    train_empty: bool,
) -> list[str]:
    """Sentences about the images, the classes, and what is left out."""
    held = f" ({HELD_BACK_SHARE:.0%} of {train_split}, by the names of the images)"
    lines = [
        f"images: {len(train)} to train on ({train_split}), {len(validation)} to validate on "
        f"({validation_split}){held if validation_split == HELD_BACK else ''}",
        f"classes: {len(train.classes)} ({', '.join(train.classes)})",
    ]
    lines += alike(train.classes)
    empty = sum(not len(train.target(index).labels) for index in range(len(train)))
    if empty:
        use = (
            "trained on as background"
            if train_empty
            else "left out; --empty-images trains on them as background"
        )
        lines.append(f"note: {empty} training images have no object and are {use}")
    skipped = tuple(dict.fromkeys((*train.skipped, *validation.skipped)))
    if skipped:
        lines.append(
            f"left out: {len(skipped)} annotations, such as: {' | '.join(skipped[:LISTED])}"
        )
    return lines


def alike(classes: Sequence[str]) -> list[str]:
    """A sentence for names that have one ``plain_name``, which are two classes."""
    counts = Counter(plain_name(name) for name in classes)
    same = [name for name in classes if counts[plain_name(name)] > 1]
    if not same:
        return []
    return [f"warning: {', '.join(map(repr, same))} are different classes; is that meant?"]


def fingerprint(dataset: OwnDataset) -> dict[str, Any]:
    """Which images a network is trained on: their number, the SHA-256 of their names, and the
    digests of the images themselves.
    """
    names = sorted(dataset.name(index) for index in range(len(dataset)))
    digest = hashlib.sha256("\n".join(names).encode("utf-8", "surrogateescape")).hexdigest()
    digests = sorted(image_digests(dataset))
    return {"images": len(dataset), "sha256_of_names": digest, DIGESTS: digests}
