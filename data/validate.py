"""Checks a data set and says what is wrong: every bad file, box, mask, id and category, each with
its reason.

    python -m data.validate --layout coco|voc --root ROOT --splits A,B

Exit code: 0 nothing is wrong, 1 something is, 2 the command line is wrong. Every image is decoded
in full, so a large data set takes a while.
"""

import argparse
import re
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from data.annotations import ImageTable
from data.coco import find_annotation_file, find_image_folder
from data.coco_annotations import read_coco
from data.errors import DataError
from data.image_files import SUFFIXES
from data.images import read_image_file
from data.problems import Problem
from data.voc import VOC_CLASSES, find_voc_root, read_split
from data.voc_annotations import VocFolders, read_classes, read_voc


@dataclass(frozen=True, kw_only=True)
class Report:
    """What a split holds and all that is wrong with it; counts: the numbers to print, by what they
    count.
    """

    split: str
    problems: tuple[Problem, ...]
    counts: dict[str, int]


def image_problems(table: ImageTable, folder: Path) -> Iterator[Problem]:
    """Decodes every image of a split and compares its size and its file name with its content."""
    for name, size in zip(table.file_names, table.sizes, strict=True):
        file = folder / name
        try:
            image = read_image_file(file, size)
        except DataError as error:
            yield Problem(
                severity="error",
                file=str(file),
                text=str(error).removeprefix(f"{file}: ").removesuffix("."),
            )
            continue
        if file.suffix.lower() not in SUFFIXES.get(image.format, ()):
            text = f"the content is {image.format}, unlike the file name"
            yield Problem(severity="repaired", file=str(file), text=text)


def counts(table: ImageTable) -> dict[str, int]:
    """Images, usable objects, images without any, crowd and difficult objects, and objects of each
    class.
    """
    targets = table.targets
    per_class = Counter(targets.labels.tolist())
    return {
        "images": len(table.image_ids),
        "objects": len(targets.labels),
        "images without objects": int((targets.starts[1:] == targets.starts[:-1]).sum()),
        "crowd objects": int(targets.crowd.sum()),
        "difficult objects": int(targets.difficult.sum()),
        **{
            f"objects of class {name!r}": per_class[k]
            for k, name in enumerate(table.classes, start=1)
        },
    }


def validate_coco(root: Path, split: str) -> Report:
    """Checks one split in the COCO layout.

    Raises:
        DataError: the annotation file is missing or not a COCO instances file.
    """
    file = find_annotation_file(root, split)
    content = read_coco(file, "check")
    folder = find_image_folder(root, split, file, content)
    problems = (*content.problems, *image_problems(content.table, folder))
    return Report(split=split, problems=problems, counts=counts(content.table))


def validate_voc(root: Path, split: str) -> Report:
    """Checks one split in the VOC layout; "2007_trainval" has a year and VOC's classes, "train" has
    neither.

    Raises:
        DataError: the folder or the image list is missing.
    """
    dated = re.fullmatch(r"(\d{4})_(.+)", split)
    folder = find_voc_root(root, int(dated[1]) if dated else None)
    names, problems = read_split(folder, dated[2] if dated else split)
    folders = VocFolders(annotations=folder / "Annotations", images=folder / "JPEGImages")
    classes, unreadable = (VOC_CLASSES, []) if dated else read_classes([folders.annotations], names)
    table, annotation_problems = read_voc(folders, names, classes)
    problems += [*annotation_problems, *unreadable]
    problems += image_problems(table, folder / "JPEGImages")
    return Report(split=split, problems=tuple(dict.fromkeys(problems)), counts=counts(table))


def main(arguments: Sequence[str] | None = None) -> int:
    """The exit code of the command line ``arguments`` (None: those of the process)."""
    parser = argparse.ArgumentParser(
        prog="python -m data.validate", description="Check a data set, file by file."
    )
    parser.add_argument("--layout", choices=("coco", "voc"), required=True)
    parser.add_argument("--root", type=Path, required=True, help="folder of the data")
    parser.add_argument(
        "--splits", required=True, help="split names with commas between: train2017,val2017"
    )
    options = parser.parse_args(arguments)
    splits = [split for split in options.splits.split(",") if split]
    if not splits:
        parser.error("--splits names no split")
    bad = 0
    for split in splits:
        try:
            report = (validate_coco if options.layout == "coco" else validate_voc)(
                options.root, split
            )
        except DataError as error:
            print(f"{split}: {error}")
            bad += 1
            continue
        for problem in report.problems:
            print(f"{split}: {problem}")
        for what, number in report.counts.items():
            print(f"{split}: {number} {what}")
        print(f"{split}: {len(report.problems)} problems")
        bad += len(report.problems)
    print(f"{bad} problems in {len(splits)} splits")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
