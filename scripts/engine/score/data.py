"""The labeled images that scripts.score scores on."""

import argparse
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from data.build import DATED_SPLIT, build_dataset
from data.coco_splits import PAPER_SPLITS
from data.config import DataConfig
from data.errors import DataError
from data.finding.records import FoundLayout
from data.layouts import find_layout, named_layout
from data.problems import OnBadBox
from data.records import Dataset
from experiments.records import Run
from scripts.engine.own.data import HELD_BACK, open_named_split


@dataclass(frozen=True, kw_only=True)
class LabeledFolder:
    """Where the labeled images are, as the command line says it.

    root: a folder whose layout is found; None: annotations and images say it. annotations: a COCO
    file. images: the folder that its file names are relative to; None: that of the file. split:
    which images; None: ``default_split``. skip_bad_boxes: annotations without a usable box are left
    out instead of being an error.
    """

    root: Path | None = None
    annotations: Path | None = None
    images: Path | None = None
    split: str | None = None
    skip_bad_boxes: bool = False

    @property
    def name(self) -> str:
        """The folder or file, for a person."""
        return str(self.root or self.annotations)

    @property
    def image_root(self) -> Path:
        """The folder that has all images, maybe in folders of it."""
        beside = self.annotations.parent if self.annotations is not None else Path()
        return self.root or self.images or beside


def add_labeled_options(parser: argparse.ArgumentParser, *, split: str) -> None:
    """The options that say where the labeled images are; ``split`` is the help of --split."""
    where = parser.add_mutually_exclusive_group(required=True)
    where.add_argument("--data", type=Path, metavar="DIR", help="folder of the labeled images")
    where.add_argument("--annotations", type=Path, metavar="FILE", help="a COCO file of any name")
    parser.add_argument(
        "--images",
        type=Path,
        metavar="DIR",
        help="what the file names in --annotations are relative to (default: its folder)",
    )
    parser.add_argument("--split", metavar="NAME", help=split)
    parser.add_argument(
        "--skip-bad-boxes",
        action="store_true",
        help="leave annotations without a usable box out instead of stopping at them",
    )


def labeled_folder_from(options: dict[str, Any]) -> LabeledFolder:
    """The folder among the options of a command line, ``vars`` of what the parser returns."""
    return LabeledFolder(
        root=options["data"],
        annotations=options["annotations"],
        images=options["images"],
        split=options["split"],
        skip_bad_boxes=options["skip_bad_boxes"],
    )


def open_labeled(folder: LabeledFolder, run: Run | None) -> tuple[Dataset, str]:
    """The data set, and the name of its split.

    Args:
        folder: where it is.
        run: of the network that is scored; None if detections are read from a file.

    Raises:
        DataError: it is not there, has no split of that name, or no image; or the command line
            names it in two ways.
    """
    check_named_once(folder)
    skips = folder.skip_bad_boxes or (run is not None and run.data.on_bad_box == "skip")
    on_bad_box: OnBadBox = "skip" if skips else "error"
    masks = run is not None and run.model.mask is not None
    if folder.root is not None and folder.split is not None and is_paper_split(folder.split):
        dataset = build_dataset(
            paper_data(folder.split, on_bad_box, masks=masks), folder.root, folder.split
        )
        return checked(dataset, folder), folder.split
    found = layout_of(folder)
    split = folder.split or default_split(found, run)
    masks = masks and found.layout == "coco"
    train = None if run is None else run.data.train[0]
    dataset = open_named_split(found, split, on_bad_box=on_bad_box, masks=masks, train=train)
    return checked(dataset, folder), split


def check_named_once(folder: LabeledFolder) -> None:
    """Checks that the images are named in one way.

    Raises:
        DataError: in none, or in two of which one would be ignored.
    """
    if (folder.root is None) == (folder.annotations is None):
        raise DataError(
            "Where are the labeled images? Give --data DIR, or --annotations FILE --images DIR for "
            "a COCO file."
        )
    if folder.root is not None and folder.images is not None:
        raise DataError("--images goes with --annotations; --data finds the images itself.")


def layout_of(folder: LabeledFolder) -> FoundLayout:
    """What the folder holds, or what the annotation file is.

    Raises:
        DataError: nothing that is known is there.
    """
    if folder.root is not None:
        return find_layout(folder.root)
    assert folder.annotations is not None
    return named_layout(folder.annotations, folder.images or folder.annotations.parent)


def default_split(found: FoundLayout, run: Run | None) -> str:
    """The split that is scored where none is named.

    It is the run's test split, also without the year of VOC's; of a recipe of own/ the images that
    it was validated on. Else it is that for validation, that for testing, or the only one.

    Raises:
        DataError: there are several, and none of these.
    """
    of_run = [] if run is None else [run.data.test, re.sub(r"^\d{4}_", "", run.data.test)]
    for name in of_run:
        if name in (*found.names, HELD_BACK):
            return name
    only = found.names[0] if len(found.names) == 1 else None
    split = found.validation or found.test or only
    if split is None:
        raise DataError(
            f"Which images of {found.root} are scored? Name them with --split: "
            f"{', '.join(found.names)}."
        )
    return split


def is_paper_split(split: str) -> bool:
    """Whether a name is one of the papers' that no folder has: "minival", or VOC's with a year."""
    return split in PAPER_SPLITS or DATED_SPLIT.fullmatch(split) is not None


def paper_data(split: str, on_bad_box: OnBadBox, *, masks: bool) -> DataConfig:
    """How a split of the papers is opened; sizes and pixels are the network's own business."""
    coco = split in PAPER_SPLITS
    return DataConfig(
        layout="coco" if coco else "voc",
        train=("train",),
        test=split,
        short_side=1,
        long_side=None,
        pixels="torchvision",
        on_bad_box=on_bad_box,
        masks=masks and coco,
    )


def checked(dataset: Dataset, folder: LabeledFolder) -> Dataset:
    """The data set, if it has images.

    Raises:
        DataError: it has none.
    """
    if len(dataset) == 0:
        raise DataError(f"There is no image to score on in {folder.name}; choose another split.")
    return dataset
