"""The PASCAL VOC layout: VOC<year>/{Annotations/*.xml, ImageSets/Main/<split>.txt, JPEGImages}.

data/voc_annotations.py reads the XML files; this file finds them and the lists of the splits.
"""

from pathlib import Path

from data.annotations import TableDataset
from data.errors import DataError
from data.problems import OnBadBox, Problem, check_problems, name_problem
from data.voc_annotations import read_classes, read_voc

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
    if year is None:
        places = [root]
    else:
        places = [root / f"VOC{year}", root / "VOCdevkit" / f"VOC{year}"]
        places += [root] if root.name == f"VOC{year}" else []
    for place in places:
        if (place / "Annotations").is_dir():
            return place
    kind = "a split without a year" if year is None else f"the year {year}"
    raise DataError(
        f"no VOC data for {kind}: looked for a folder Annotations in"
        f" {' and '.join(map(str, places))}; years there:"
        f" {', '.join(_available_years(root)) or 'none'}; correct the data root or the split"
        f" (2007_trainval means year 2007), or fetch the data with: python -m scripts.get_data"
        f" voc{2012 if year == 2012 else 2007}"
    )


def _available_years(root: Path) -> list[str]:
    folders = [*root.glob("VOC[0-9]*"), *(root / "VOCdevkit").glob("VOC[0-9]*")]
    return sorted({folder.name for folder in folders if folder.is_dir()})


def read_split(folder: Path, split: str) -> tuple[list[str], list[Problem]]:
    """The image names in ImageSets/Main/<split>.txt, the first word of each line, and the problems
    of the list.

    Raises:
        DataError: the list is missing or empty.
    """
    file = folder / "ImageSets" / "Main" / f"{split}.txt"
    if not file.is_file():
        raise _missing_list(folder, file)
    lines = file.read_text(encoding="utf-8", errors="replace").splitlines()
    names: dict[str, None] = {}  # in the order of the list
    problems: list[Problem] = []
    for name in (line.split()[0] for line in lines if line.strip()):
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
        if classes is None:
            classes, unreadable = read_classes(folder)
            problems += unreadable
        table, annotation_problems = read_voc(folder, names, classes)
        self.skipped = check_problems([*problems, *annotation_problems], on_bad_box)
        if not table.classes:
            raise DataError(
                f"{folder / 'Annotations'}: no annotation names an object, so there is no class to"
                " learn."
            )
        super().__init__(table, folder / "JPEGImages")
