"""Finds out how a folder of labeled images is laid out, and opens the splits in it."""

from pathlib import Path

from data.annotations import ImageTable, TableDataset
from data.coco import CocoDataset
from data.errors import DataError
from data.finding.coco import coco_split, find_coco
from data.finding.records import FoundLayout, FoundSplit
from data.finding.voc import find_voc
from data.finding.yolo import find_yolo, split_images, yolo_classes
from data.image_files import is_hidden, is_image_name
from data.problems import OnBadBox, Problem, check_problems
from data.voc import check_voc_table, read_list
from data.voc_annotations import VocFolders, annotated_names, read_classes, read_voc
from data.yolo import read_yolo

LISTED = 6  # names of what lies in a folder


def find_layout(folder: Path) -> FoundLayout:
    """What a folder of labeled images holds: COCO's, VOC's or YOLO's files, and which splits.

    Args:
        folder: of the data set.

    Returns:
        where the labels and images of each split are, and sentences that say so.

    Raises:
        DataError: nothing that is known lies there; says what does.
    """
    if not folder.is_dir():
        raise DataError(f"The data folder {folder} does not exist; give the folder of your images.")
    found = [find(folder) for find in (find_coco, find_voc, find_yolo)]
    known = [layout for layout in found if layout is not None]
    if not known:
        raise DataError(
            f"{folder} has no labels that are known: it holds {_content(folder)}. Known are COCO (a"
            " JSON file with images, annotations and categories), VOC (an XML file for each image)"
            " and YOLO (data.yaml, or classes.txt and a text file for each image); see"
            " docs/own_data.md."
        )
    first, others = known[0], known[1:]
    unused = tuple(f"not used: {sentence}" for other in others for sentence in other.sentences)
    return FoundLayout(
        layout=first.layout,
        root=first.root,
        splits=first.splits,
        sentences=(*first.sentences, *unused),
    )


def named_layout(annotations: Path, images: Path) -> FoundLayout:
    """The layout of COCO's annotation file and a folder of images that a person names.

    Raises:
        DataError: the file is none of COCO's, or the folder is not there.
    """
    split = coco_split(annotations, images)
    sentence = f"COCO: {split.name} in {annotations}, images in {images}"
    return FoundLayout(layout="coco", root=images, splits=(split,), sentences=(sentence,))


def open_split(
    found: FoundLayout, name: str, *, on_bad_box: OnBadBox = "error", masks: bool = False
) -> TableDataset:
    """The data set of one split.

    Args:
        found: of ``find_layout``.
        name: of the split, one of ``found.names``.
        on_bad_box: "error", or "skip": leave boxes that cannot be used out and name them in
            ``.skipped``.
        masks: COCO only: read the segmentations.

    Returns:
        its images in the order of the files. Its classes are the same for every split: COCO's by
        their ids, VOC's sorted names of all XML files, YOLO's as they are listed.

    Raises:
        DataError: something is wrong; says what, where, and what to do.
    """
    split = find_split(found, name)
    if found.layout == "coco":
        return CocoDataset(
            found.root,
            name,
            annotation_file=split.labels,
            image_folder=split.images,
            on_bad_box=on_bad_box,
            masks=masks,
        )
    if masks:
        raise DataError(
            f"{found.root} is in the {found.layout.upper()} layout, whose labels are read as boxes"
            " without masks; use a network without masks, or labels in the COCO layout."
        )
    return _open_voc(found, split, on_bad_box) if found.layout == "voc" else _open_yolo(
        split, on_bad_box
    )  # fmt: skip


def find_split(found: FoundLayout, name: str) -> FoundSplit:
    """The split of that name.

    Raises:
        DataError: there is none; lists those that there are.
    """
    for split in found.splits:
        if split.name == name:
            return split
    raise DataError(f"{found.root} has no split {name!r}; choose one of {', '.join(found.names)}.")


def _open_voc(found: FoundLayout, split: FoundSplit, on_bad_box: OnBadBox) -> TableDataset:
    table, problems = read_voc_split(found, split)
    return TableDataset(
        table, split.images, check_voc_table(table, problems, on_bad_box, split.labels)
    )


def read_voc_split(found: FoundLayout, split: FoundSplit) -> tuple[ImageTable, list[Problem]]:
    """What is usable of a split of VOC's XML files, and what is wrong with the rest."""
    names, problems = annotated_names(split.labels), list[Problem]()
    if split.listed is not None:
        names, problems = read_list(split.listed, split.labels)
    folders = VocFolders(annotations=split.labels, images=split.images)
    label_folders = list(dict.fromkeys(split.labels for split in found.splits))
    classes, unreadable = read_classes(label_folders, names)
    table, of_annotations = read_voc(folders, names, classes)
    return table, [*problems, *unreadable, *of_annotations]


def _open_yolo(split: FoundSplit, on_bad_box: OnBadBox) -> TableDataset:
    table, problems = read_yolo(split.images, split_images(split), yolo_classes(split.labels))
    return TableDataset(table, split.images, check_problems(problems, on_bad_box))


def _content(folder: Path) -> str:
    """What lies in a folder: how many images, and the names of the rest."""
    names = sorted(path.name for path in folder.iterdir() if not is_hidden(path.name))
    images = sum(map(is_image_name, names))
    others = [name for name in names if not is_image_name(name)]
    parts = [f"{images} images"] if images else []
    parts += others[:LISTED]
    if len(others) > LISTED:
        parts.append(f"{len(others) - LISTED} more")
    return ", ".join(parts) or "nothing"
