"""The record that says which images a network sees, and what is done to them before it."""

from dataclasses import dataclass
from typing import Literal, get_args

from data.coco_splits import UNLABELED
from data.problems import OnBadBox

Layout = Literal["coco", "voc", "yolo"]
Pixels = Literal["torchvision", "caffe", "tf"]


@dataclass(frozen=True, kw_only=True)
class DataConfig:
    """Which images, and what is done to them before the network.

    Raises:
        ValueError: a value that is not one of the choices, or a length that is not positive.
    """

    layout: Layout
    train: tuple[str, ...]  # COCO: ("train2014",), ("trainval35k",); VOC: ("2007_trainval", ...)
    test: str  # COCO: "val2014", "minival"; VOC: "2007_test"
    short_side: int  # network px
    long_side: int | None  # limit, network px; None: no limit
    pixels: Pixels  # a key of data.transforms.PIXELS
    # network px: each training batch draws one (the limit in proportion); None: short_side
    train_short_sides: tuple[int, ...] | None = None
    train_long_side: int | None = None  # limit in training, network px; None: long_side
    flip: bool = True  # augmentation: mirror with probability 1/2
    # augmentation: each training image's short side times a factor between these; None: 1
    scale_jitter: tuple[float, float] | None = None
    crop: float = 1.0  # augmentation: a window of at least this share of each side; 1: all of it
    color: float = 0.0  # augmentation: brightness, contrast, saturation times 1 +- this; 0: as is
    train_difficult: bool = False  # VOC: difficult objects as training targets
    train_crowd: bool = False  # COCO: crowd regions as training targets
    train_empty: bool = False  # keep images without usable objects in training
    aspect_grouping: bool = True  # wide and tall images in different batches: less padding
    size_divisor: int = 1  # H and W of a batch are padded up to a multiple, network px
    # boxes without positive size: stop, or "skip" (the public COCO files need it)
    on_bad_box: OnBadBox = "error"
    masks: bool = False  # read the segments, for Mask R-CNN
    # Fast R-CNN: the best so many saved proposals of an image; None: all
    proposals_train: int | None = None
    proposals_test: int = 1000
    # training drops a proposal of which a crowd region covers a larger share
    proposals_crowd_iou: float = 0.7

    def __post_init__(self) -> None:
        _check_choices(self)
        _check_splits(self)
        _check_sides(self)
        _check_training_sides(self)
        _check_proposals(self)
        _check_augmentation(self)


def _check_choices(config: DataConfig) -> None:
    for name, choices in (("layout", Layout), ("pixels", Pixels), ("on_bad_box", OnBadBox)):
        value, allowed = getattr(config, name), get_args(choices)
        if value not in allowed:
            listed = ", ".join(map(repr, allowed))
            raise ValueError(f"DataConfig.{name} is {value!r}; choose one of {listed}.")


def _check_splits(config: DataConfig) -> None:
    if isinstance(config.train, str) or not config.train:
        raise ValueError(
            f"DataConfig.train is {config.train!r}; give at least one split name, as a tuple."
        )
    if config.layout != "coco":
        return
    for split in config.train:
        if split in UNLABELED:
            raise ValueError(
                f"DataConfig.train names {split!r}, whose labels are not published; train on a"
                ' split with labels, such as "trainval35k" or "train2017", and only test on that'
                " one."
            )


def _check_sides(config: DataConfig) -> None:
    long_side = config.short_side if config.long_side is None else config.long_side
    if not 0 < config.short_side <= long_side:
        raise ValueError(
            f"DataConfig.short_side is {config.short_side} and long_side {config.long_side} px;"
            " they must be positive, and the short side not longer than the long side (long_side"
            " None: no limit)."
        )
    if config.size_divisor < 1:
        raise ValueError(
            f"DataConfig.size_divisor is {config.size_divisor}; use 1 for no further padding."
        )


def _check_training_sides(config: DataConfig) -> None:
    sides = config.train_short_sides
    if sides is not None and not _are_lengths(sides):
        raise ValueError(
            f"DataConfig.train_short_sides is {sides!r}; give at least one positive integer of px,"
            " as a tuple, or None to train at short_side."
        )
    if config.train_long_side is not None and config.train_long_side < config.short_side:
        raise ValueError(
            f"DataConfig.train_long_side is {config.train_long_side} px, less than short_side"
            f" {config.short_side}; give a larger limit, or None for that of long_side."
        )


def _are_lengths(sides: object) -> bool:
    """Whether a value is a tuple of at least one positive integer."""
    if not isinstance(sides, tuple) or not sides:
        return False
    integers = all(isinstance(side, int) and not isinstance(side, bool) for side in sides)
    return integers and min(sides) > 0


def _check_proposals(config: DataConfig) -> None:
    train, test = config.proposals_train, config.proposals_test
    if test < 1 or (train is not None and train < 1):
        raise ValueError(
            f"DataConfig.proposals_train is {train} and proposals_test {test}; use 1 or more"
            " proposals an image (proposals_train None: all of the file)."
        )
    if not 0 < config.proposals_crowd_iou <= 1:
        raise ValueError(
            f"DataConfig.proposals_crowd_iou is {config.proposals_crowd_iou}; it is a share above"
            " 0, and 1 keeps all."
        )


def _check_augmentation(config: DataConfig) -> None:
    low, high = config.scale_jitter or (1.0, 1.0)
    if not 0 < low <= high:
        raise ValueError(
            f"DataConfig.scale_jitter is {config.scale_jitter}; give two positive factors, the"
            " smaller one first, or None."
        )
    if not (0 < config.crop <= 1 and 0 <= config.color < 1):
        raise ValueError(
            f"DataConfig.crop is {config.crop} and color {config.color}; crop is a share above 0"
            " (1: no window), color a share below 1 (0: the colors stay)."
        )
