"""From the names of splits to a data set: ``DataConfig`` -> ``Dataset``."""

import re
from collections.abc import Sequence
from pathlib import Path

from data.coco import CocoDataset
from data.coco_splits import coco_parts
from data.concat import ConcatDataset
from data.config import DataConfig
from data.errors import DataError
from data.layouts import find_layout, open_split
from data.records import Dataset
from data.voc import VOC_CLASSES, VocDataset

DATED_SPLIT = re.compile(r"(\d{4})_(.+)")  # "2007_trainval": VOC's year and its list of images


def build_dataset(config: DataConfig, root: Path | str, split: str | Sequence[str]) -> Dataset:
    """The data set of one split, or of several one after the other (``config.train``).

    Args:
        config: layout, masks, and what to do about bad boxes.
        root: the folder of the data, as in ``data.coco.find_annotation_file`` and
            ``data.voc.find_voc_root``.
        split: COCO splits may be names of papers (``data.coco_splits.PAPER_SPLITS``). VOC splits
            carry their year ("2007_trainval"); without one ``root`` itself is in the VOC layout,
            and the classes are those of its annotations instead of the 20 of VOC.

    Returns:
        the images of all named splits, in their order.

    Raises:
        DataError: something is missing or wrong; says what, where, and what to do.
    """
    root = Path(root)
    names = (split,) if isinstance(split, str) else tuple(split)
    if config.layout == "coco":
        names = tuple(part for name in names for part in coco_parts(root, name))
    opened = {"coco": _open_coco, "voc": _open_voc, "yolo": _open_found}[config.layout]
    parts = [opened(config, root, name) for name in names]
    return parts[0] if len(parts) == 1 else ConcatDataset(parts, names)


def _open_coco(config: DataConfig, root: Path, split: str) -> Dataset:
    return CocoDataset(root, split, on_bad_box=config.on_bad_box, masks=config.masks)


def _open_found(config: DataConfig, root: Path, split: str) -> Dataset:
    found = find_layout(root)
    return open_split(found, split, on_bad_box=config.on_bad_box, masks=config.masks)


def _open_voc(config: DataConfig, root: Path, split: str) -> Dataset:
    if config.masks:
        raise DataError(
            f"the split {split!r} is in the VOC layout, whose annotations have boxes but no masks;"
            " train a network without masks (DataConfig.masks=False), or use data in the COCO"
            " layout."
        )
    dated = DATED_SPLIT.fullmatch(split)
    year, name = (int(dated[1]), dated[2]) if dated else (None, split)
    classes = VOC_CLASSES if dated else None
    return VocDataset(root, year, name, classes=classes, on_bad_box=config.on_bad_box)
