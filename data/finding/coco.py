"""Finds COCO's annotation files and the folder of their images, whatever both are called."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from data.coco import IMAGE_FOLDERS
from data.coco_annotations import IMAGE_LISTS, INSTANCES, read_json
from data.errors import DataError
from data.finding.records import FoundLayout, FoundSplit, role_of
from data.image_files import folder_with_most, is_hidden
from data.problems import forward_slashes

ROBOFLOW = "_annotations.coco"
SAMPLE = 200  # names that are looked up to find the folder of the images


def find_coco(root: Path) -> FoundLayout | None:
    """What a folder with COCO's annotation files holds, or None if it holds none.

    Raises:
        DataError: the images of a file are not there.
    """
    splits = [_found_split(root, file, names) for file, names in _annotation_files(root)]
    if not splits:
        return None
    sentences = [f"COCO: {split.name} in {split.labels}, images in {split.images}"
                 for split in splits]  # fmt: skip
    return FoundLayout(layout="coco", root=root, splits=tuple(splits), sentences=tuple(sentences))


def coco_split(annotations: Path, images: Path) -> FoundSplit:
    """The split of a file and a folder that a person names.

    Raises:
        DataError: the file is none of COCO's, or the folder is not there.
    """
    read_json(annotations)
    if not images.is_dir():
        raise DataError(
            f"The image folder {images} does not exist; give the folder that the names in"
            f" {annotations} are relative to."
        )
    name = split_name(annotations, annotations.parent)
    return FoundSplit(name=name, labels=annotations, images=images)


def split_name(file: Path, root: Path) -> str:
    """What the split of an annotation file below ``root`` is called: "train" of
    instances_train.json and of train/labels.json.
    """
    stem = file.stem
    for beginning in (INSTANCES, IMAGE_LISTS):
        stem = stem.removeprefix(beginning)
    in_split = file.parent != root and role_of(file.parent.name) is not None
    if role_of(stem) is None and in_split:
        return file.parent.name
    return stem.removesuffix(ROBOFLOW) or file.parent.name


def _annotation_files(root: Path) -> Iterator[tuple[Path, list[str]]]:
    """COCO's annotation files in a folder, in its annotations/ and one level deeper, and the first
    images that each names.

    In a folder with instances_*.json only those count: captions and key points lie beside them.
    """
    folders = [root, *(path for path in sorted(root.iterdir()) if path.is_dir())]
    for folder in (*folders, root / "coco" / "annotations"):
        if is_hidden(folder.name) or not folder.is_dir():
            continue
        files = [file for file in sorted(folder.glob("*.json")) if not is_hidden(file.name)]
        named = [file for file in files if file.name.startswith(INSTANCES)]
        for file in named or files:
            try:
                yield file, _file_names(read_json(file))
            except DataError:
                if named:
                    raise


def _file_names(document: dict[str, Any]) -> list[str]:
    names = (entry.get("file_name") for entry in document["images"][:SAMPLE])
    return [forward_slashes(name) for name in names if isinstance(name, str)]


def _found_split(root: Path, file: Path, names: list[str]) -> FoundSplit:
    """The split of an annotation file with the folder that has most of some of its images."""
    name = split_name(file, root)
    usual = IMAGE_FOLDERS.get(name, name)
    bases = [file.parent, file.parent.parent, root] if file.parent != root else [root]
    inside = [base / part for base in bases for part in (usual, f"images/{usual}", "images")]
    children = [path for base in bases for path in sorted(base.iterdir()) if path.is_dir()]
    best, _ = folder_with_most([*inside, *bases, *children], names)
    if best is None:
        example = f", such as {names[0]!r}," if names else ""
        raise DataError(
            f"{file}: none of its images{example} is in {root} or a folder in it; put the images"
            " there, or give their folder with --images."
        )
    return FoundSplit(name=name, labels=file, images=best)
