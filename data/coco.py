"""The COCO layout: <root>/annotations/instances_<split>.json and <root>/<split>/<file_name>.

A split whose labels are not published has image_info_<split>.json instead: images and categories,
no annotations. data/coco_annotations.py reads these files; this one finds them and their images.
"""

from dataclasses import replace
from pathlib import Path

from data.annotations import ImageTable, TableDataset
from data.coco_annotations import IMAGE_LISTS, INSTANCES, CocoFile, read_coco
from data.errors import DataError
from data.formats.masks import Rle, decode_masks
from data.image_files import ImageFolder, same_text
from data.problems import OnBadBox, Problem, check_problems
from data.records import ImageId, Sample

IMAGE_FOLDERS = {  # splits whose images lie in the folder of a larger one
    "minival2014": "val2014",
    "valminusminival2014": "val2014",
    "test-dev2015": "test2015",
    "test-dev2017": "test2017",
}


def annotation_folders(root: Path) -> tuple[Path, Path]:
    """Where the annotation files may be below ``root``, which is the COCO folder or contains a
    folder coco/.
    """
    return root / "annotations", root / "coco" / "annotations"


def annotation_file(root: Path, split: str) -> Path | None:
    """The JSON file of a split below ``root``, or None; a file with labels goes first."""
    for kind in (INSTANCES, IMAGE_LISTS):
        for folder in annotation_folders(root):
            file = folder / f"{kind}{split}.json"
            if file.is_file():
                return file
    return None


def available_splits(root: Path) -> list[str]:
    """The sorted names of the splits that have an annotation file below ``root``."""
    names: set[str] = set()
    for kind in (INSTANCES, IMAGE_LISTS):
        for folder in annotation_folders(root):
            names.update(file.stem.removeprefix(kind) for file in folder.glob(f"{kind}*.json"))
    return sorted(names)


def find_annotation_file(root: Path, split: str) -> Path:
    """The JSON file of a split below ``root``, which is the COCO folder or contains a folder coco/.

    Raises:
        DataError: there is none; says where it looked, which splits are there, and how to get the
            data.
    """
    file = annotation_file(root, split)
    if file is not None:
        return file
    year = 2017 if split.endswith("2017") else 2014
    data = "coco2017test" if split.startswith("test-dev") else f"coco{year}"
    raise DataError(
        f"COCO split {split!r} has no annotation file: looked for {INSTANCES}{split}.json and"
        f" {IMAGE_LISTS}{split}.json in {' and '.join(map(str, annotation_folders(root)))}; splits"
        f" there: {', '.join(available_splits(root)) or 'none'}; choose one of them, correct the"
        f" data root, or fetch the data with: python -m scripts.get_data {data}"
    )


class CocoDataset(TableDataset):
    """A split in the COCO layout; crowd annotations are kept and marked.

    Args:
        root: the COCO folder, or a folder that contains it as coco/.
        split: such as "train2014"; names the annotation file and the image folder.
        annotation_file: another annotation file for the images of this split; None:
            instances_<split>.json, or image_info_<split>.json, whose images have no annotations and
            can only be tested on.
        image_folder: where the images are; None: as in ``find_image_folder``.
        on_bad_box: "error", or "skip": leave boxes without positive size out and name them in
            ``.skipped``. The public COCO files do contain a few boxes of zero width or height.
        masks: read the segmentations: the targets of samples then have masks. An annotation whose
            segmentation is missing or cannot be used is treated as a bad box.

    Raises:
        DataError: something is missing or wrong; says what, where, and what to do.
    """

    category_ids: tuple[int, ...]

    def __init__(
        self,
        root: Path | str,
        split: str,
        *,
        annotation_file: Path | None = None,
        image_folder: Path | None = None,
        on_bad_box: OnBadBox = "error",
        masks: bool = False,
    ) -> None:
        file = (
            annotation_file
            if annotation_file is not None
            else find_annotation_file(Path(root), split)
        )
        content = read_coco(file, "read" if masks else "leave")
        folder = image_folder or find_image_folder(Path(root), split, file, content)
        if not folder.is_dir():
            raise DataError(
                f"COCO split {split!r}: the image folder {folder} does not exist; put the images"
                " there."
            )
        table, renamed = with_files(content.table, folder)
        skipped = check_problems([*content.problems, *renamed], on_bad_box)
        super().__init__(table, folder, skipped)
        self.category_ids = content.category_ids
        self._segments = content.segments

    def segments(self, index: int) -> list[Rle]:
        """The compressed RLE of each annotation of one image, in the order of its target, in
        original px.

        Raises:
            DataError: the data set was opened without masks.
        """
        if self._segments is None:
            return super().segments(index)
        first, end = self._targets.starts[index : index + 2].tolist()
        return self._segments.rles(first, end, self.sizes[index])

    def __getitem__(self, index: int) -> Sample:
        """As in TableDataset; the target has masks if the data set was opened with them."""
        sample = super().__getitem__(index)
        if self._segments is None:
            return sample
        masks = decode_masks(self.segments(index), self.sizes[index])
        return replace(sample, target=replace(sample.target, masks=masks))


def find_image_folder(root: Path, split: str, file: Path, content: CocoFile) -> Path:
    """Where the images are: beside annotations/, in info.image_folder, else in IMAGE_FOLDERS, else
    in <split>.
    """
    base = file.parent.parent if file.parent.name == "annotations" else root
    return base / (content.image_folder or IMAGE_FOLDERS.get(split, split))


def with_files(table: ImageTable, folder: Path) -> tuple[ImageTable, list[Problem]]:
    """The table with the names of the image files that are there, and what was renamed.

    An image that is not there keeps its name; whoever reads it is told. Two images with one file
    would each have the objects of the other as background, so that is an error.
    """
    images = ImageFolder(folder)
    names: list[str] = []
    problems: list[Problem] = []
    owners: dict[str, ImageId] = {}
    for image_id, name in zip(table.image_ids, table.file_names, strict=True):
        found = images.find(name) or name
        if same_text(found) != same_text(name):
            text = f"image {image_id}: the file is called {found!r}, not {name!r}"
            problems.append(Problem(severity="repaired", file=str(folder), text=text))
        if found in owners:
            text = (
                f"images {owners[found]} and {image_id} have the same file {found!r}, so each has"
                " the other's objects as background; give all its objects to one image"
            )
            problems.append(Problem(severity="error", file=str(folder), text=text))
        owners.setdefault(found, image_id)
        names.append(found)
    return replace(table, file_names=tuple(names)), problems
