"""What was found in a folder: its layout, and where the labels and images of each split are."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

FoundKind = Literal["coco", "voc", "yolo"]
Role = Literal["train", "validation", "test"]

ROLES: dict[Role, tuple[str, ...]] = {  # words in the name of a split
    "train": ("train", "training", "trainval"),
    "validation": ("val", "valid", "validation", "dev", "minival", "eval"),
    "test": ("test", "testing"),
}
BOTH = "trainval"  # contains "val": for training where there is no "train"


@dataclass(frozen=True, kw_only=True)
class FoundSplit:
    """One split.

    labels: COCO: the annotation file; VOC: the folder of the XML files; YOLO: the file with the
    class names. images: the folder that the names of the images are relative to. listed: VOC and
    YOLO: the file that lists the images of the split; None: all that are there. folders: YOLO: the
    folders of the split's images.
    """

    name: str
    labels: Path
    images: Path
    listed: Path | None = None
    folders: tuple[Path, ...] = ()


@dataclass(frozen=True, kw_only=True)
class FoundLayout:
    """A folder of labeled images.

    root: the folder that was given. sentences: what was found, for a person.
    """

    layout: FoundKind
    root: Path
    splits: tuple[FoundSplit, ...]
    sentences: tuple[str, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the splits."""
        return tuple(split.name for split in self.splits)

    @property
    def train(self) -> str | None:
        """The split to train on: the only one there is, if its name says nothing else."""
        named = self._named("train")
        if named is None and len(self.splits) == 1 and role_of(self.names[0]) is None:
            return self.names[0]
        return named

    @property
    def validation(self) -> str | None:
        """The split to validate on; None: some of the training images have to be held back."""
        return self._named("validation")

    @property
    def test(self) -> str | None:
        """The split to test on."""
        return self._named("test")

    def _named(self, role: Role) -> str | None:
        names = [name for name in self.names if role_of(name) == role]
        # trainval contains val, so it comes after every other name
        return min(names, key=lambda name: (BOTH in name.lower(), len(name)), default=None)


def role_of(name: str) -> Role | None:
    """What a split is for, by the words of its name: "valid", "val2017" and "my_val" are for
    validation.
    """
    words = re.findall("[a-z]+", name.lower())
    for role, names in ROLES.items():
        if not set(words).isdisjoint(names):
            return role
    return None
