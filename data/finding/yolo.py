"""Finds YOLO's label files: by a data.yaml, or by folders images/ and labels/."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from data.errors import DataError
from data.finding.records import FoundLayout, FoundSplit, role_of
from data.formats.data_yaml import DataYaml, read_data_yaml
from data.image_files import image_names, is_hidden
from data.text_files import read_lines
from data.yolo import label_file

CLASS_FILES = ("classes.txt", "obj.names", "labels/classes.txt")  # as LabelImg writes them

LONGEST_PATH = 4096  # characters, Linux's limit


def find_yolo(root: Path) -> FoundLayout | None:
    """What a folder with YOLO's labels holds, or None if it holds none.

    Raises:
        DataError: a data.yaml is wrong, or there are labels and no class names.
    """
    files = [file for ending in ("yaml", "yml") for file in sorted(root.glob(f"*.{ending}"))]
    named = [file for file in files if file.stem in ("data", "dataset")]
    for file in named or (files if len(files) == 1 else []):
        splits = list(_yaml_splits(root, file, read_data_yaml(file)))
        if splits:
            return _layout(root, splits)
        raise DataError(f"{file}: none of its folders train, val and test is there.")
    folders = list(_labeled_folders(root))
    if not folders:
        return None
    classes = next((root / name for name in CLASS_FILES if (root / name).is_file()), None)
    if classes is None:
        raise DataError(
            f"{root} has YOLO labels, and no file with the names of the classes; write data.yaml"
            f" (names: [first, second]) or classes.txt there, one class on each line."
        )
    splits = [
        FoundSplit(name=name, labels=classes, images=root, folders=(folder,))
        for name, folder in folders
    ]
    return _layout(root, splits)


def _layout(root: Path, splits: Sequence[FoundSplit]) -> FoundLayout:
    sentences = tuple(
        f"YOLO: {split.name}: {len(split_images(split))} images in"
        f" {', '.join(map(str, split.folders or (split.listed,)))}; classes in {split.labels}"
        for split in splits
    )
    return FoundLayout(layout="yolo", root=root, splits=tuple(splits), sentences=sentences)


def yolo_classes(file: Path) -> tuple[str, ...]:
    """The names of the classes in a data.yaml or a list of one name on each line.

    Raises:
        DataError: there is none, or two have the same name.
    """
    is_yaml = file.suffix in (".yaml", ".yml")
    names = read_data_yaml(file).classes if is_yaml else tuple(read_lines(file))
    if not names:
        raise DataError(f"{file}: the list names no class; put one on each line.")
    for number, name in enumerate(names):
        if name in names[:number]:
            raise DataError(
                f"{file}: the classes {names.index(name)} and {number} have the same name {name!r};"
                " rename one of them, or give both one number in the label files."
            )
    return names


def split_images(split: FoundSplit) -> list[str]:
    """The image files of a split, relative to ``split.images``."""
    if split.listed is not None:
        return [_listed_image(split, line) for line in read_lines(split.listed)]
    files = (folder / name for folder in split.folders for name in image_names(folder))
    return [file.relative_to(split.images).as_posix() for file in files]


def _listed_image(split: FoundSplit, line: str) -> str:
    """An image that a list names, relative to ``split.images``; as it stands if it is not there."""
    tails = _tails(line)
    there = (tail for tail in tails if (split.images / tail).is_file())
    return next(there, tails[0]).as_posix() if tails else line


def _yaml_splits(root: Path, file: Path, content: DataYaml) -> Iterator[FoundSplit]:
    for name, places in content.splits.items():
        found = [_place(root, content.base, place) for place in places]
        there = [place for place in found if place is not None]
        if len(there) == len(places) == 1 and there[0].is_file():
            yield FoundSplit(name=name, labels=file, images=root, listed=there[0])
        elif there:
            for place, path in zip(places, found, strict=True):
                if path is None or not path.is_dir():
                    raise DataError(
                        f"{file}: {name} names {', '.join(places)}, of which {place!r} is no folder"
                        f" in {root}; give folders that are there, or one list of images."
                    )
            yield FoundSplit(name=name, labels=file, images=root, folders=tuple(there))


def _place(root: Path, base: str, place: str) -> Path | None:
    """A folder or list below ``root`` that a data.yaml means.

    Such files come from another machine: what leads out of the folder ("../train/images", an
    absolute path) is looked for inside it, by its last parts.
    """
    tails = _tails(place)
    inside = [Path(base) / tails[0]] if base and tails and not Path(base).is_absolute() else []
    for tail in (*inside, *tails):
        if ".." not in tail.parts and (root / tail).exists():
            return _image_folder(root / tail)
    return None


def _tails(place: str) -> list[Path]:
    """A path without what leads upwards, then without its first part, and so on; none of a text
    that is too long for a path.
    """
    if len(place) > LONGEST_PATH:
        return []
    parts = [part for part in Path(place.replace("\\", "/")).parts if part not in ("..", ".", "/")]
    return [Path(*parts[start:]) for start in range(len(parts))]


def _image_folder(place: Path) -> Path:
    """The folder itself, or its images/ if only that has images."""
    inside = place / "images"
    return inside if inside.is_dir() and not image_names(place) else place


def _labeled_folders(root: Path) -> Iterator[tuple[str, Path]]:
    """The folders with images that have label files, and the names of their splits."""
    tops = [root, root / "images"]
    for top in tops:
        if not top.is_dir():
            continue
        for folder in [top, *sorted(path for path in top.iterdir() if path.is_dir())]:
            place = _image_folder(folder)
            names = image_names(place)
            if is_hidden(folder.name) or not any(label_file(place / name) for name in names[:50]):
                continue
            if folder in tops:
                yield "all", place
                return
            if role_of(folder.name) is not None:
                yield folder.name, place
