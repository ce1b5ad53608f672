"""Checks a data set and says what is wrong: every bad file, box, mask, id and category, each with
its reason.

    python -m data.validate --root DIR                           finds the layout and the splits
    python -m data.validate --annotations FILE --images DIR      COCO's file, whatever its name
    python -m data.validate --layout coco|voc|yolo --root ROOT --splits A,B

Exit code: 0 nothing is wrong, 1 something is, 2 the command line is wrong. Every image is decoded
in full, so a large data set takes a while.
"""

import argparse
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

from data.annotations import ImageTable
from data.checks import Report, check_table, unlabeled_images
from data.coco import annotation_file, find_annotation_file, find_image_folder, with_files
from data.coco_annotations import read_coco
from data.errors import DataError
from data.finding.records import FoundLayout, FoundSplit
from data.finding.yolo import split_images, yolo_classes
from data.layouts import find_layout, find_split, named_layout, read_voc_split
from data.problems import Problem
from data.voc import VOC_CLASSES, find_voc_root, read_split
from data.voc_annotations import VocFolders, read_classes, read_voc
from data.yolo import read_yolo

Checks = list[tuple[str, Callable[[], Report]]]  # by the name of the split


def check_coco(root: Path, split: str, file: Path) -> Report:
    """Checks a split in COCO's own layout.

    Raises:
        DataError: the file is not a COCO instances file.
    """
    content = read_coco(file, "check")
    folder = find_image_folder(root, split, file, content)
    table, renamed = with_files(content.table, folder)
    return check_table(split, table, folder, [*content.problems, *renamed])


def check_voc(root: Path, split: str) -> Report:
    """Checks one split in VOC's own layout; "2007_trainval" has a year and VOC's classes, "train"
    has neither.

    Raises:
        DataError: the folder or the image list is missing.
    """
    dated = re.fullmatch(r"(\d{4})_(.+)", split)
    folder = find_voc_root(root, int(dated[1]) if dated else None)
    names, problems = read_split(folder, dated[2] if dated else split)
    folders = VocFolders(annotations=folder / "Annotations", images=folder / "JPEGImages")
    classes, unreadable = (VOC_CLASSES, []) if dated else read_classes([folders.annotations], names)
    table, of_annotations = read_voc(folders, names, classes)
    return check_table(split, table, folders.images, [*problems, *of_annotations, *unreadable])


def check_found(found: FoundLayout, name: str) -> Report:
    """Checks one split of a folder whose layout was found.

    Raises:
        DataError: its labels cannot be read at all.
    """
    split = find_split(found, name)
    table, problems = read_found(found, split)
    if split.listed is None and not _shares_images(found, split):
        problems += unlabeled_images(table, split.images)
    return check_table(name, table, split.images, problems)


def read_found(found: FoundLayout, split: FoundSplit) -> tuple[ImageTable, list[Problem]]:
    """What is usable of the labels of a split, and what is wrong with the rest."""
    if found.layout == "voc":
        return read_voc_split(found, split)
    if found.layout == "yolo":
        return read_yolo(split.images, split_images(split), yolo_classes(split.labels))
    content = read_coco(split.labels, "check")
    table, renamed = with_files(content.table, split.images)
    return table, [*content.problems, *renamed]


def _shares_images(found: FoundLayout, split: FoundSplit) -> bool:
    """Whether another split has its images in the same folder."""
    others = [other for other in found.splits if other.name != split.name]
    return any(other.images == split.images and not other.folders for other in others)


def planned_checks(
    layout: str | None, root: Path, splits: Sequence[str], found: FoundLayout | None
) -> Checks:
    """What is to be checked: the named splits, or all that are found.

    A split of the papers' layouts (COCO's instances_<split>.json, VOC's lists) is taken as the
    runs take it; any other as ``find_layout`` finds it.
    """
    if found is not None:
        return [(name, partial(check_found, found, name)) for name in splits or found.names]
    return [(name, partial(_check_named, layout, root, name)) for name in splits]


def _check_named(layout: str | None, root: Path, split: str) -> Report:
    file = annotation_file(root, split)
    if layout == "coco" and file is not None:
        return check_coco(root, split, file)
    if layout == "voc" and re.match(r"\d{4}_", split):
        return check_voc(root, split)
    try:
        found = find_layout(root)
    except DataError:
        if layout == "coco":
            find_annotation_file(root, split)  # says where COCO's files belong
        raise
    if found.layout != layout and layout is not None:
        raise DataError(f"{root} is in the {found.layout} layout; leave --layout out.")
    if layout == "coco" and split not in found.names:
        find_annotation_file(root, split)
    return check_found(found, split)


def option_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m data.validate",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--layout", choices=("coco", "voc", "yolo"), default=None)
    parser.add_argument("--root", type=Path, default=None, help="folder of the data")
    parser.add_argument(
        "--splits",
        default=None,
        help="split names with commas between: train2017,val2017 (default: all that are found)",
    )
    parser.add_argument(
        "--annotations", type=Path, default=None, metavar="FILE", help="a file in COCO's format"
    )
    parser.add_argument(
        "--images", type=Path, default=None, metavar="DIR", help="the folder of its images"
    )
    return parser


def plan(parser: argparse.ArgumentParser, options: dict[str, object]) -> Checks:
    """The checks that the command line asks for; leaves by the parser if it is wrong."""
    annotations, images, root = (options[key] for key in ("annotations", "images", "root"))
    text = options["splits"]
    splits = [split for split in str(text).split(",") if split] if text is not None else []
    if text is not None and not splits:
        parser.error("--splits names no split")
    if isinstance(annotations, Path) and isinstance(images, Path):
        if any(options[key] is not None for key in ("root", "layout", "splits")):
            parser.error("--annotations and --images go without --root, --layout and --splits")
        return planned_checks(None, images, (), named_layout(annotations, images))
    if annotations is not None or images is not None:
        parser.error("give --annotations and --images together")
    if not isinstance(root, Path):
        parser.error("give --root DIR, or --annotations FILE and --images DIR")
    layout = None if options["layout"] is None else str(options["layout"])
    found = None
    if layout is None or not splits:
        found = find_layout(root)
        for sentence in found.sentences:
            print(sentence)
        if layout not in (None, found.layout):
            raise DataError(f"{root} is in the {found.layout} layout; leave --layout out.")
    return planned_checks(layout, root, splits, found)


def run_checks(checks: Checks) -> Iterator[int]:
    """Prints what each check says; the number of problems of each."""
    for split, check in checks:
        try:
            report = check()
        except DataError as error:
            print(f"{split}: {error}")
            yield 1
            continue
        for line in report.lines():
            print(line)
        yield len(report.wrong)


def main(arguments: Sequence[str] | None = None) -> int:
    """The exit code of the command line ``arguments`` (None: those of the process)."""
    for stream in (sys.stdout, sys.stderr):  # a terminal that lacks a letter gets its number
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    parser = option_parser()
    options = vars(parser.parse_args(arguments))
    try:
        checks = plan(parser, options)
    except DataError as error:
        print(error)
        return 1
    bad = sum(run_checks(checks))
    print(f"{bad} problems in {len(checks)} splits")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
