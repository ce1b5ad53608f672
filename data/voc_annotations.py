"""Reads and checks the annotations of a VOC data set: the XML files of some images as one table."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from data.annotations import FlatTargets, ImageTable, clip_rows
from data.errors import DataError
from data.image_files import ImageFolder, is_hidden
from data.problems import Problem
from data.voc_xml import VocImage, VocObject, read_xml


@dataclass(frozen=True, kw_only=True)
class VocFolders:
    """Where the XML files and where the images are; LabelImg puts both into one folder."""

    annotations: Path
    images: Path


def annotated_names(annotations: Path) -> list[str]:
    """The sorted names of all images that have an XML file, without hidden files."""
    files = (file for file in annotations.glob("*.[xX][mM][lL]") if not is_hidden(file.name))
    return sorted(file.stem for file in files)


def xml_file(annotations: Path, name: str) -> Path:
    """The annotation file of an image, whose suffix may be .XML."""
    upper = annotations / f"{name}.XML"
    return upper if upper.is_file() else annotations / f"{name}.xml"


def read_classes(
    folders: Sequence[Path], listed: Collection[str] = ()
) -> tuple[tuple[str, ...], list[Problem]]:
    """The sorted object names of all XML files in some folders.

    All files, not those of one split: so all splits agree on the labels.

    Args:
        folders: of annotations.
        listed: names of the images that the split has, about which ``read_voc`` speaks.

    Returns:
        the names, and a problem for each unreadable file that is not listed.
    """
    names: set[str] = set()
    problems = []
    for folder in folders:
        for stem in annotated_names(folder):
            file = xml_file(folder, stem)
            try:
                names.update(item.name for item in read_xml(file).objects)
            except DataError as error:
                if stem not in listed:
                    text = f"{_reason(file, error)} (it is not in this split, and is ignored)"
                    problems.append(Problem(severity="suspect", file=str(file), text=text))
    return tuple(sorted(names)), problems


def _reason(file: Path, error: DataError) -> str:
    return str(error).removeprefix(f"{file}: ").removesuffix(".")


def read_voc(
    folders: VocFolders, names: Sequence[str], classes: tuple[str, ...]
) -> tuple[ImageTable, list[Problem]]:
    """Reads and checks the annotations of some images; a box that leaves its image is clipped to
    it.

    Args:
        folders: of the XML files and of the images.
        names: of the images, without suffix.
        classes: their order gives the labels 1..K.

    Returns:
        what is usable, and what is wrong with the rest. An image that is not there keeps the name
        that its XML file gives it; whoever reads it is told.
    """
    images: dict[str, VocImage] = {}
    file_names: list[str] = []
    problems: list[Problem] = []
    folder = ImageFolder(folders.images)
    for name in names:
        file = xml_file(folders.annotations, name)
        try:
            image = read_xml(file)
        except DataError as error:
            problems.append(Problem(severity="error", file=str(file), text=_reason(file, error)))
            continue
        problems += [*image.problems, *_unknown_classes(file, image, classes)]
        images[name] = image
        file_names.append(_image_file(folder, image.file_name))
    table = ImageTable(
        classes=classes,
        image_ids=tuple(images),
        file_names=tuple(file_names),
        sizes=tuple(image.size for image in images.values()),
        targets=_flat_targets(list(images.values()), classes),
    )
    return table, problems


def _image_file(folder: ImageFolder, name: str) -> str:
    """The image that is there; of several that differ in their suffix, the first."""
    found = folder.find(name)
    return found or next(iter(folder.alternatives(name)), name)


def _unknown_classes(file: Path, image: VocImage, classes: tuple[str, ...]) -> list[Problem]:
    listed = ", ".join(classes) or "none"
    unknown = sorted({item.name for item in image.objects} - set(classes))
    texts = [f"the class {name!r} is unknown; the classes are {listed}" for name in unknown]
    return [Problem(severity="error", file=str(file), text=text) for text in texts]


def _flat_targets(images: Sequence[VocImage], classes: tuple[str, ...]) -> FlatTargets:
    """The objects of all images whose class is known."""
    labels = {name: k for k, name in enumerate(classes, start=1)}
    objects: list[VocObject] = []
    sizes: list[tuple[int, int]] = []  # of the image of each object
    starts = [0]
    for image in images:
        usable = [item for item in image.objects if item.name in labels]
        objects += usable
        sizes += [image.size] * len(usable)
        starts.append(len(objects))
    boxes = clip_rows(
        np.array([item.box for item in objects], dtype=np.float64).reshape(-1, 4),
        np.array(sizes, dtype=np.float64).reshape(-1, 2),
    )
    return FlatTargets(
        starts=np.array(starts, dtype=np.int64),
        boxes=boxes,
        labels=np.array([labels[item.name] for item in objects], dtype=np.int64),
        crowd=np.zeros(len(objects), dtype=np.bool_),
        difficult=np.array([item.difficult for item in objects], dtype=np.bool_),
        area=np.prod(boxes[:, 2:] - boxes[:, :2], axis=1, dtype=np.float32),
    )
