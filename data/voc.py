"""The PASCAL VOC layout: VOC<year>/{Annotations/*.xml, ImageSets/Main/<split>.txt, JPEGImages}.

data/voc_annotations.py reads the XML files; this file finds them and the lists of the splits.
data/layouts.py finds the other arrangements of such files.
"""

from collections.abc import Sequence
from pathlib import Path

from data.annotations import ImageTable, TableDataset
from data.errors import DataError
from data.image_files import same_text, without_image_suffix
from data.problems import OnBadBox, Problem, check_problems, name_problem
from data.text_files import read_lines
from data.voc_annotations import VocFolders, annotated_names, read_classes, read_voc

VOC_CLASSES = (
    "aeroplane",
    "bicycle",
    "bird",
    "boat",
    "bottle",
    "bus",
    "car",
    "cat",
    "chair",
    "cow",
    "diningtable",
    "dog",
    "horse",
    "motorbike",
    "person",
    "pottedplant",
    "sheep",
    "sofa",
    "train",
    "tvmonitor",
)


def find_voc_root(root: Path, year: int | None) -> Path:
    """The folder with Annotations/, ImageSets/ and JPEGImages/.

    Args:
        root: VOCdevkit, a folder that contains VOCdevkit, or (as for data of one's own) that folder
            itself.
        year: of the challenge, or None for data without a year, which lie in ``root`` itself.

    Raises:
        DataError: there is none; says where it looked and how to get the data.
    """
    if year is None and not (root / "Annotations").is_dir():
        raise DataError(
            f"{root} is not laid out as VOC is: it has no folder Annotations; python -m"
            f" data.validate --root {root} says what lies there and whether it can be read. VOC's"
            " own splits carry a year, such as 2007_trainval."
        )
    if year is None:
        places = [root]
    else:
        places = [root / f"VOC{year}", root / "VOCdevkit" / f"VOC{year}"]
        places += [root] if root.name == f"VOC{year}" else []
    for place in places:
        if (place / "Annotations").is_dir():
            return place
    raise DataError(
        f"no VOC data for the year {year}: looked for a folder Annotations in"
        f" {' and '.join(map(str, places))}; years there:"
        f" {', '.join(_available_years(root)) or 'none'}; correct the data root or the split"
        f" (2007_trainval means year 2007), or fetch the data with: python -m scripts.get_data"
        f" voc{2012 if year == 2012 else 2007}"
    )


def _available_years(root: Path) -> list[str]:
    folders = [*root.glob("VOC[0-9]*"), *(root / "VOCdevkit").glob("VOC[0-9]*")]
    return sorted({folder.name for folder in folders if folder.is_dir()})


def read_split(folder: Path, split: str) -> tuple[list[str], list[Problem]]:
    """The image names in ImageSets/Main/<split>.txt, and the problems of the list.

    Raises:
        DataError: the list is missing or empty.
    """
    file = folder / "ImageSets" / "Main" / f"{split}.txt"
    if not file.is_file():
        raise _missing_list(folder, file)
    return read_list(file, folder / "Annotations")


def read_list(file: Path, annotations: Path) -> tuple[list[str], list[Problem]]:
    """The image names in a list of a split, one on each line, and the problems of the list.

    Which part of a line is the name, the folder of the XML files says: the whole line, a line of
    VOC's lists of one class without its last word ("000012  1"), or a line without the suffix of
    an image. A line to which no XML file belongs is a name as it stands, and will be reported.

    Raises:
        DataError: the list is empty.
    """
    annotated = {same_text(name): name for name in annotated_names(annotations)}
    names: dict[str, None] = {}  # in the order of the list
    problems: list[Problem] = []
    for line in read_lines(file):
        name = _listed_name(line, annotated)
        if name_problem(name) or "/" in name:
            text = f"{name!r} is not an image name without folder and suffix"
        elif name in names:
            text = f"the image {name!r} is listed twice"
        else:
            names[name] = None
            continue
        problems.append(Problem(severity="error", file=str(file), text=text))
    if not names:
        raise DataError(f"{file}: the list names no image; put one image name on each line.")
    return list(names), problems


def _listed_name(line: str, annotated: dict[str, str]) -> str:
    """The image that a line of a list names, if one of ``annotated`` (by ``same_text``) fits."""
    words = line.rsplit(maxsplit=1)
    flagged = words[0] if len(words) == 2 and words[1] in ("1", "0", "-1") else line
    for name in (line, flagged, without_image_suffix(line)):
        if same_text(name) in annotated:
            return annotated[same_text(name)]
    return flagged


def _missing_list(folder: Path, file: Path) -> DataError:
    # VOC's lists of a single class have an underscore: "aeroplane_train"
    splits = sorted(path.stem for path in file.parent.glob("*.txt") if "_" not in path.stem)
    year = 2012 if folder.name == "VOC2012" else 2007
    return DataError(
        f"VOC split {file.stem!r} has no image list: looked for {file}; splits there:"
        f" {', '.join(splits) or 'none'}; choose one of them, or fetch the data with: python -m"
        f" scripts.get_data voc{year}"
    )


class VocDataset(TableDataset):
    """A split in the VOC layout; difficult objects are kept and marked.

    Args:
        root: as in `find_voc_root`.
        year: of the challenge, or None for data without a year.
        split: name of a list in ImageSets/Main, such as "trainval".
        classes: their order gives the labels 1..K; None: the names in the annotations, sorted.
        on_bad_box: "error", or "skip": leave boxes without positive size out and name them in
            ``.skipped``.

    Raises:
        DataError: something is missing or wrong; says what, where, and what to do.
    """

    def __init__(
        self,
        root: Path | str,
        year: int | None,
        split: str,
        *,
        classes: tuple[str, ...] | None = VOC_CLASSES,
        on_bad_box: OnBadBox = "error",
    ) -> None:
        folder = find_voc_root(Path(root), year)
        names, problems = read_split(folder, split)
        folders = VocFolders(annotations=folder / "Annotations", images=folder / "JPEGImages")
        if classes is None:
            classes, unreadable = read_classes([folders.annotations], names)
            problems += unreadable
        table, of_annotations = read_voc(folders, names, classes)
        every = [*problems, *of_annotations]
        skipped = check_voc_table(table, every, on_bad_box, folders.annotations)
        super().__init__(table, folders.images, skipped)


def check_voc_table(
    table: ImageTable, problems: Sequence[Problem], on_bad_box: OnBadBox, annotations: Path
) -> tuple[str, ...]:
    """Stops at what makes annotations unusable; a sentence for each box that is left out.

    Args:
        table: what is usable of the annotations.
        problems: all that is wrong.
        on_bad_box: as in ``VocDataset``.
        annotations: the folder of the XML files.

    Raises:
        DataError: something is wrong, or there is no class.
    """
    skipped = check_problems(problems, on_bad_box)
    if not table.classes:
        raise DataError(
            f"{annotations}: no annotation names an object, so there is no class to learn."
        )
    return skipped
