"""The labeled images that scripts.score scores on."""

from dataclasses import dataclass, replace
from pathlib import Path

from data.build import build_dataset
from data.coco import available_splits
from data.config import DataConfig, Layout
from data.errors import DataError
from data.records import Dataset
from experiments.records import Run

# what a data set needs to be opened, where no network says more
ANY_NETWORK = DataConfig(
    layout="coco",
    train=("train",),
    test="val",
    short_side=1,
    long_side=None,
    pixels="torchvision",
)


@dataclass(frozen=True, kw_only=True)
class LabeledFolder:
    """Where the labeled images are, as the command line says it.

    root: the folder. layout: "coco" or "voc"; None: whichever it is in. split: its name; None: the
    test split of the network's run. skip_bad_boxes: annotations without a usable box are left out
    instead of being an error.
    """

    root: Path
    layout: Layout | None = None
    split: str | None = None
    skip_bad_boxes: bool = False


def open_labeled(folder: LabeledFolder, run: Run | None) -> tuple[Dataset, str]:
    """The data set, and the name of its split.

    Args:
        folder: where it is.
        run: of the network that is scored; None if detections are read from a file.

    Raises:
        DataError: it is not there, has no split of that name, or no image.
    """
    if not folder.root.is_dir():
        raise DataError(f"The data folder {folder.root} does not exist; correct --data.")
    data = ANY_NETWORK if run is None else run.data
    layout = folder.layout or layout_of(folder.root)
    split = folder.split
    if split is None and (run is None or layout != run.data.layout):
        raise DataError(f"Which images of {folder.root} are scored? Name them with --split.")
    split = split or data.test
    masks = run is not None and run.model.mask is not None and layout == "coco"
    data = replace(data, layout=layout, masks=masks)
    if folder.skip_bad_boxes:
        data = replace(data, on_bad_box="skip")
    dataset = build_dataset(data, folder.root, split)
    if len(dataset) == 0:
        raise DataError(f"The split {split} of {folder.root} has no image; choose another one.")
    return dataset, split


def layout_of(root: Path) -> Layout:
    """The layout that a folder is in.

    Raises:
        DataError: it has none of those that are known.
    """
    if available_splits(root):
        return "coco"
    if any(root.glob("**/Annotations")):
        return "voc"
    raise DataError(
        f"{root} holds no annotations/instances_*.json (COCO) and no Annotations/ (VOC); give the "
        "folder that does, or name the layout with --layout."
    )
