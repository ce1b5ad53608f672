"""Finds VOC's XML files: VOC's own folders, and the flat ones that labeling tools write."""

from collections.abc import Iterator
from pathlib import Path

from data.errors import DataError
from data.finding.records import FoundLayout, FoundSplit, role_of
from data.image_files import folder_with_most, is_hidden
from data.voc_annotations import annotated_names

IMAGE_FOLDERS = ("jpegimages", "images", "imgs", "image")
SAMPLE = 200  # names that are looked up to find the folder of the images


def find_voc(root: Path) -> FoundLayout | None:
    """What a folder of VOC's XML files holds, or None if it holds none.

    In this order: ImageSets/Main/<split>.txt beside Annotations/; a folder for each split; one
    folder without splits. VOCdevkit and a folder above it stand for the only year in them.

    Raises:
        DataError: there are several years, or XML files without an image.
    """
    folder = _year_folder(root)
    annotations = _annotation_folder(folder)
    lists = _split_lists(folder)
    if annotations is not None and lists:
        images = _image_folder(annotations, folder)
        splits = [
            FoundSplit(name=file.stem, labels=annotations, images=images, listed=file)
            for file in lists
        ]
    elif annotations is not None:
        images = _image_folder(annotations, folder)
        splits = [FoundSplit(name="all", labels=annotations, images=images)]
    else:
        splits = list(_split_folders(folder))
    if not splits:
        return None
    return FoundLayout(
        layout="voc", root=root, splits=tuple(splits), sentences=(_sentence(splits),)
    )


def _sentence(splits: list[FoundSplit]) -> str:
    first = splits[0]
    count = len({name for split in splits for name in annotated_names(split.labels)})
    place = f"{first.labels}, images in {first.images}"
    if first.listed is not None:
        names = ", ".join(split.name for split in splits)
        return f"VOC: {count} XML files in {place}; splits {names} in {first.listed.parent}"
    if len(splits) > 1:
        names = ", ".join(split.name for split in splits)
        return f"VOC: {count} XML files in a folder for each split: {names}"
    return f"VOC: {count} XML files in {place}; no splits"


def _year_folder(root: Path) -> Path:
    """The folder itself, or the only VOC<year> in it or in its VOCdevkit."""
    years = [*root.glob("VOC[0-9]*"), *root.glob("VOCdevkit/VOC[0-9]*")]
    years = sorted(folder for folder in years if (folder / "Annotations").is_dir())
    if len(years) > 1:
        raise DataError(
            f"{root} holds {' and '.join(folder.name for folder in years)}; give the folder of one"
            " of them."
        )
    return years[0] if years else root


def _subfolders(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.is_dir() and not is_hidden(path.name))


def _annotation_folder(folder: Path) -> Path | None:
    """Where the XML files of a folder are: in itself, or in its Annotations/."""
    named = [path for path in _subfolders(folder) if path.name.lower() in ("annotations", "xml")]
    return next((path for path in (*named, folder) if annotated_names(path)), None)


def _image_folder(annotations: Path, folder: Path) -> Path:
    """The folder with the images of the XML files: whichever has most of them."""
    names = annotated_names(annotations)[:SAMPLE]
    named = [path for path in _subfolders(folder) if path.name.lower() in IMAGE_FOLDERS]
    places = [*named, annotations, folder]
    best, _ = folder_with_most(places, names)
    if best is None:
        raise DataError(
            f"{annotations} has XML files, such as {names[0]}.xml, but no image of that name is in"
            f" {', '.join(map(str, dict.fromkeys(places)))}; put the images there."
        )
    return best


def _split_lists(folder: Path) -> list[Path]:
    """The lists of the splits, without VOC's lists of one class ("aeroplane_train")."""
    files = sorted(folder.glob("ImageSets/Main/*.txt")) or sorted(folder.glob("ImageSets/*.txt"))
    files = [file for file in files if not is_hidden(file.name) and file.stat().st_size]
    stems = {file.stem for file in files}
    return [file for file in files if file.stem.rpartition("_")[2] not in stems - {file.stem}]


def _split_folders(folder: Path) -> Iterator[FoundSplit]:
    """The sub-folders with XML files whose names are those of splits."""
    for path in _subfolders(folder):
        if role_of(path.name) is None:
            continue
        annotations = _annotation_folder(path)
        if annotations is not None:
            images = _image_folder(annotations, path)
            yield FoundSplit(name=path.name, labels=annotations, images=images)
