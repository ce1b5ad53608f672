"""Batches for training and testing, made so that a run can be resumed at any batch.

The k-th training batch is a pure function of (seed, k): k gives the epoch, default_rng([seed, epoch]) gives the order
of that epoch, default_rng([seed, epoch, image index]) gives the augmentation of each image, and a stream of its own
gives the size of the batch in multi-scale training (`drawn_short_side`). No state is carried from batch to batch, no
global random generator is read or moved, and the number of workers changes nothing but the speed.
"""

import re
import signal
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader
from torch.utils.data import Dataset as MapDataset

from data.annotations import FlatTargets, OnBadBox, pack
from data.coco import CocoDataset
from data.coco_splits import UNLABELED, coco_parts
from data.concat import ConcatDataset
from data.errors import DataError
from data.formats.saved_proposals import SavedProposals, outside_crowds
from data.records import Batch, Dataset, ImageId, Sample, Target
from data.transforms import boxes_to_network, pad, to_network
from data.voc import VOC_CLASSES, VocDataset

Layout = Literal["coco", "voc"]
Pixels = Literal["torchvision", "caffe", "tf"]
# network image, target, original (height, width), id, saved proposals (P, 4) in network px
Row = tuple[Tensor, Target | None, tuple[int, int], ImageId, Tensor | None]
WORKER_TIMEOUT = 120.0  # seconds without a batch until a worker counts as hanging
UNREADABLE_SHARE = 0.01  # of the training images; beyond it the data, not a file, is at fault


@dataclass(frozen=True, kw_only=True)
class DataConfig:
    """Which images, and what is done to them before the network.

    Raises:
        ValueError: a value that is not one of the choices, or a length that is not positive.
    """

    layout: Layout
    train: tuple[str, ...]  # COCO: ("train2014",), ("trainval35k",); VOC: ("2007_trainval", ...); or ("train",)
    test: str  # COCO: "val2014", "minival"; VOC: "2007_test"
    short_side: int  # network px
    long_side: int | None  # limit, network px; None: no limit
    pixels: Pixels  # a key of data.transforms.PIXELS
    train_short_sides: tuple[int, ...] | None = None  # network px: each batch draws one (the limit in proportion)
    train_long_side: int | None = None  # limit in training, network px; None: long_side
    flip: bool = True  # augmentation: mirror with probability 1/2
    train_difficult: bool = False  # VOC: difficult objects as training targets
    train_crowd: bool = False  # COCO: crowd regions as training targets
    train_empty: bool = False  # keep images without usable objects in training
    aspect_grouping: bool = True  # wide and tall images in different batches: less padding
    size_divisor: int = 1  # H and W of a batch are padded up to a multiple, network px
    on_bad_box: OnBadBox = "error"  # boxes without positive size: stop, or "skip" (the public COCO files need it)
    masks: bool = False  # read the segments, for Mask R-CNN
    proposals_train: int | None = None  # Fast R-CNN: the best so many saved proposals of an image; None: all
    proposals_test: int = 1000
    proposals_crowd_iou: float = 0.7  # in training without those of which a crowd region covers a larger share

    def __post_init__(self) -> None:
        for name, choices in (("layout", Layout), ("pixels", Pixels), ("on_bad_box", OnBadBox)):
            if getattr(self, name) not in get_args(choices):
                listed = ", ".join(map(repr, get_args(choices)))
                raise ValueError(f"DataConfig.{name} is {getattr(self, name)!r}; choose one of {listed}.")
        if isinstance(self.train, str) or not self.train:
            raise ValueError(f"DataConfig.train is {self.train!r}; give at least one split name, as a tuple.")
        unlabeled = [name for name in self.train if self.layout == "coco" and name in UNLABELED]
        if unlabeled:
            raise ValueError(
                f"DataConfig.train names {unlabeled[0]!r}, whose labels are not published; train on a split with"
                ' labels, such as "trainval35k" or "train2017", and only test on that one.'
            )
        if not 0 < self.short_side <= (self.short_side if self.long_side is None else self.long_side):
            raise ValueError(
                f"DataConfig.short_side is {self.short_side} and long_side {self.long_side} px; they must be positive,"
                " and the short side not longer than the long side (long_side None: no limit)."
            )
        sides = self.train_short_sides
        if sides is not None and not (isinstance(sides, tuple) and sides and all(_is_length(side) for side in sides)):
            raise ValueError(
                f"DataConfig.train_short_sides is {sides!r}; give at least one positive integer of px, as a tuple, or"
                " None to train at short_side."
            )
        if self.train_long_side is not None and self.train_long_side < self.short_side:
            raise ValueError(
                f"DataConfig.train_long_side is {self.train_long_side} px, less than short_side {self.short_side};"
                " give a larger limit, or None for that of long_side."
            )
        if self.size_divisor < 1:
            raise ValueError(f"DataConfig.size_divisor is {self.size_divisor}; use 1 for no further padding.")
        if self.proposals_test < 1 or (self.proposals_train is not None and self.proposals_train < 1):
            raise ValueError(
                f"DataConfig.proposals_train is {self.proposals_train} and proposals_test {self.proposals_test}; use"
                " 1 or more proposals an image (proposals_train None: all of the file)."
            )
        if not 0 < self.proposals_crowd_iou <= 1:
            raise ValueError(
                f"DataConfig.proposals_crowd_iou is {self.proposals_crowd_iou}; it is a share above 0, and 1 keeps all."
            )


def _is_length(side: object) -> bool:
    return isinstance(side, int) and not isinstance(side, bool) and side > 0


def build_dataset(config: DataConfig, root: Path | str, split: str | Sequence[str]) -> Dataset:
    """The data set of one split, or of several one after the other (``config.train``).

    Args:
        config: layout and what to do about bad boxes.
        root: the folder of the data, as in `data.coco.find_annotation_file` and `data.voc.find_voc_root`.
        split: COCO splits may be names of papers (`data.coco_splits.WAYS`). VOC splits carry their year
            ("2007_trainval"); without one ``root`` itself is in the VOC layout, and the classes are those of its
            annotations instead of the 20 of VOC.

    Raises:
        DataError: something is missing or wrong; says what, where, and what to do.
    """
    names = (split,) if isinstance(split, str) else tuple(split)
    if config.layout == "coco":
        names = tuple(part for name in names for part in coco_parts(Path(root), name))
    parts = [_build_part(config, Path(root), name) for name in names]
    return parts[0] if len(parts) == 1 else ConcatDataset(parts, names)


def _build_part(config: DataConfig, root: Path, split: str) -> Dataset:
    if config.layout == "coco":
        return CocoDataset(root, split, on_bad_box=config.on_bad_box, masks=config.masks)
    if config.masks:
        raise DataError(
            f"the split {split!r} is in the VOC layout, whose annotations have boxes but no masks; train a network"
            " without masks (DataConfig.masks=False), or use data in the COCO layout."
        )
    dated = re.fullmatch(r"(\d{4})_(.+)", split)
    if dated:
        return VocDataset(root, int(dated[1]), dated[2], classes=VOC_CLASSES, on_bad_box=config.on_bad_box)
    return VocDataset(root, None, split, classes=None, on_bad_box=config.on_bad_box)


def training_target(target: Target, config: DataConfig) -> Target:
    """The annotations that training uses: no crowds and no difficult objects unless the config keeps them."""
    keep = torch.ones_like(target.crowd)
    if not config.train_crowd:
        keep &= ~target.crowd
    if not config.train_difficult:
        keep &= ~target.difficult
    return target.select(keep)


class EndlessSampler:
    """Which images the k-th batch holds, for any k >= 0 without walking through the batches before it.

    An epoch has ``batches_per_epoch`` = n // batch_size batches; the up to batch_size - 1 images that are left over
    differ from epoch to epoch. Fewer images than batch_size make one batch in which images repeat.

    Args:
        indices: (n,) the images to choose from, as indices into a data set.
        groups: (n,) bool; images of different groups share a batch only where a group does not fill its last one.
        batch_size: images in a batch.
        seed: of all random choices.
    """

    def __init__(self, indices: Sequence[int], groups: Sequence[bool], *, batch_size: int, seed: int) -> None:
        if batch_size < 1 or seed < 0:
            raise ValueError(f"batch_size is {batch_size} and seed {seed}; they must be at least 1 and at least 0.")
        self.batch_size = batch_size
        self.batches_per_epoch = max(1, len(indices) // batch_size)
        self._indices = np.asarray(indices, dtype=np.int64)
        self._groups = np.asarray(groups, dtype=np.bool_)
        self._seed = seed
        self._plan: tuple[int, NDArray[np.int64]] = (-1, np.empty((0, 0), dtype=np.int64))

    def batch(self, k: int) -> list[tuple[int, int]]:
        """The (epoch, image index) pairs of batch ``k``."""
        epoch, position = divmod(k, self.batches_per_epoch)
        if self._plan[0] != epoch:
            self._plan = (epoch, self._epoch(epoch))
        return [(epoch, int(index)) for index in self._plan[1][position]]

    def _epoch(self, epoch: int) -> NDArray[np.int64]:
        """The images of each batch of one epoch, (batches_per_epoch, batch_size)."""
        rng = np.random.default_rng([self._seed, epoch])
        order = rng.permutation(len(self._indices))
        if len(order) < self.batch_size:
            return self._indices[np.resize(order, (1, self.batch_size))]
        full, rest = [], []
        for group in (order[self._groups[order]], order[~self._groups[order]]):
            end = len(group) - len(group) % self.batch_size
            full.append(group[:end])
            rest.append(group[end:])
        mixed = np.concatenate([*full, rng.permutation(np.concatenate(rest))])
        batches = mixed[: self.batches_per_epoch * self.batch_size].reshape(-1, self.batch_size)
        return self._indices[batches[rng.permutation(len(batches))]]


def drawn_short_side(config: DataConfig, seed: int, k: int) -> int:
    """The short side, network px, of all images of training batch ``k``: one of ``config.train_short_sides``.

    The key keeps these draws apart from those of the order and of the mirroring, which stay what they are without it.
    """
    if config.train_short_sides is None:
        return config.short_side
    rng = np.random.default_rng(np.random.SeedSequence([seed, k], spawn_key=(1,)))
    return config.train_short_sides[rng.integers(len(config.train_short_sides))]


@dataclass(frozen=True, kw_only=True)
class _PackedBatch:
    """A Batch on its way out of a worker: one tensor only, since each costs a file descriptor. unreadable: the indices
    that belong to the sentences in ``skipped``."""

    images: Tensor
    image_sizes: tuple[tuple[int, int], ...]
    original_sizes: tuple[tuple[int, int], ...]
    image_ids: tuple[ImageId, ...]
    targets: FlatTargets | None
    skipped: tuple[str, ...]
    unreadable: tuple[int, ...]
    proposals: tuple[NDArray[np.float32], ...] | None

    def unpack(self) -> Batch:
        targets = self.targets
        return Batch(
            images=self.images,
            image_sizes=self.image_sizes,
            original_sizes=self.original_sizes,
            image_ids=self.image_ids,
            targets=None if targets is None else tuple(targets.target(i) for i in range(len(targets))),
            skipped=self.skipped,
            proposals=None if self.proposals is None else tuple(map(torch.from_numpy, self.proposals)),
        )


class _Batches(MapDataset[Any]):
    """Batch k at index k; runs in the workers. Errors come back as values, so that their sentence arrives unwrapped."""

    def __init__(self, dataset: Dataset, config: DataConfig, proposals: SavedProposals | None) -> None:
        self.dataset = dataset
        self.config = config
        self.proposals = proposals

    def make(self, k: int) -> _PackedBatch:
        raise NotImplementedError

    def __getitem__(self, k: int) -> _PackedBatch | DataError:
        try:
            return self.make(k)
        except DataError as error:
            return error

    def read(self, index: int, *, short_side: int, mirror: bool, training: bool) -> Row:
        """One image made ready at ``short_side``, the limit of the long side in proportion; no target in testing."""
        sample = self.dataset[index]
        limit = self.config.long_side
        if training and self.config.train_long_side is not None:
            limit = self.config.train_long_side
        image, target = to_network(
            sample.image,
            training_target(sample.target, self.config) if training else None,
            short_side=short_side,
            long_side=None if limit is None else limit * short_side / self.config.short_side,
            pixels=self.config.pixels,
            mirror=mirror,
        )
        size = (sample.image.shape[-2], sample.image.shape[-1])
        boxes = self.saved_boxes(sample, size, training=training)
        if boxes is not None:
            boxes = boxes_to_network(boxes, size, (image.shape[-2], image.shape[-1]), mirror=mirror)
        return image, target, size, sample.image_id, boxes

    def saved_boxes(self, sample: Sample, size: tuple[int, int], *, training: bool) -> Tensor | None:
        """The saved proposals (P, 4) of one image in original px, in training those outside crowds; None without."""
        if self.proposals is None:
            return None
        count = self.config.proposals_train if training else self.config.proposals_test
        boxes = self.proposals.proposals_of(sample.image_id, size, count=count)
        if not training:
            return boxes
        return outside_crowds(boxes, sample.target.boxes[sample.target.crowd], self.config.proposals_crowd_iou)

    def collate(self, rows: Sequence[Row], skipped: Sequence[tuple[int, str]] = ()) -> _PackedBatch:
        images, targets, sizes, image_ids, proposals = zip(*rows, strict=True)
        return _PackedBatch(
            images=pad(images, self.config.size_divisor),
            image_sizes=tuple((image.shape[-2], image.shape[-1]) for image in images),
            original_sizes=sizes,
            image_ids=image_ids,
            targets=None if targets[0] is None else pack(targets),
            skipped=tuple(text for _, text in skipped),
            unreadable=tuple(index for index, _ in skipped),
            proposals=None if self.proposals is None else tuple(boxes.numpy() for boxes in proposals),
        )


class _TrainBatches(_Batches):
    def __init__(
        self, dataset: Dataset, config: DataConfig, proposals: SavedProposals | None, sampler: EndlessSampler, seed: int
    ) -> None:
        super().__init__(dataset, config, proposals)
        self.sampler = sampler
        self.seed = seed

    def make(self, k: int) -> _PackedBatch:
        """Batch ``k`` without its unreadable images; if none is left, the images of the next batch that has some."""
        skipped: list[tuple[int, str]] = []
        short_side = drawn_short_side(self.config, self.seed, k)
        for source in range(k, k + self.sampler.batches_per_epoch):
            rows = []
            for epoch, index in self.sampler.batch(source):
                mirror = self.config.flip and np.random.default_rng([self.seed, epoch, index]).random() < 0.5
                try:
                    rows.append(self.read(index, short_side=short_side, mirror=mirror, training=True))
                except DataError as error:
                    skipped.append((index, str(error)))
            if rows:
                return self.collate(rows, skipped)
            check_unreadable({index for index, _ in skipped}, len(self.dataset), skipped[-1][1])
        raise DataError(f"no training image can be read; the last reason was: {skipped[-1][1]}")


class _TestBatches(_Batches):
    def __init__(
        self, dataset: Dataset, config: DataConfig, proposals: SavedProposals | None, batch_size: int
    ) -> None:
        super().__init__(dataset, config, proposals)
        self.batch_size = batch_size

    def __len__(self) -> int:
        return -(-len(self.dataset) // self.batch_size)

    def make(self, k: int) -> _PackedBatch:
        chosen = range(k * self.batch_size, min((k + 1) * self.batch_size, len(self.dataset)))
        side = self.config.short_side
        return self.collate([self.read(index, short_side=side, mirror=False, training=False) for index in chosen])


def check_unreadable(unreadable: set[int], images: int, reason: str) -> None:
    """Stops a run whose data set, not a single file, is at fault.

    Args:
        unreadable: the different images that could not be read so far.
        images: number of images in the data set. One unreadable image is always allowed.
        reason: the latest sentence.

    Raises:
        DataError: more than one image and more than UNREADABLE_SHARE of all images are unreadable.
    """
    if len(unreadable) > max(1.0, UNREADABLE_SHARE * images):
        raise DataError(
            f"{len(unreadable)} of {images} training images could not be read, which is more than"
            f" {UNREADABLE_SHARE:.0%}; python -m data.validate lists them all; the last reason was: {reason}"
        )


def _identity(item: Any) -> Any:
    return item


def _quiet_worker(worker: int) -> None:
    """Ctrl-C reaches the whole process group: only the main process answers. (One thread each: torch's own default,
    stated here because the machine's cores are shared by the workers.)"""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    torch.set_num_threads(1)


def _load(batches: _Batches, numbers: Sequence[int], workers: int) -> Iterator[_PackedBatch]:
    """The batches with these numbers, in order.

    Raises:
        DataError: a batch cannot be made, or a worker process died or hangs.
    """
    loader = DataLoader(
        batches,
        batch_size=None,
        sampler=numbers,
        num_workers=workers,
        collate_fn=_identity,
        generator=torch.Generator(),  # without one the loader draws from the global generator
        worker_init_fn=_quiet_worker,
        timeout=WORKER_TIMEOUT if workers else 0,
    )
    iterator = iter(loader)
    try:
        while True:
            item = _next(iterator, workers)
            if item is None:
                return
            if isinstance(item, DataError):
                raise item
            yield item
    finally:
        del iterator  # ends the workers now, not when an error that holds this frame is forgotten


def _next(iterator: Iterator[_PackedBatch | DataError], workers: int) -> _PackedBatch | DataError | None:
    """The next batch, None after the last, or an error that says what became of a worker.

    A worker hands out the memory of its batches by itself; if it dies in between, what arrives here is a broken
    connection (OSError, EOFError) instead of the loader's own RuntimeError.
    """
    try:
        return next(iterator, None)
    except (RuntimeError, OSError, EOFError) as error:
        of_the_loader = "DataLoader" in str(error) if isinstance(error, RuntimeError) else workers > 0
        if not of_the_loader:
            raise
        reason = str(error) or type(error).__name__
        return DataError(
            f"a worker process that loads images failed ({reason}); killed means too little memory, a bus error too"
            " little shared memory (in Docker: --shm-size); use fewer --workers, 0 loads in this process."
        )


def train_batches(
    dataset: Dataset, config: DataConfig, *, batch_size: int, seed: int, start: int, workers: int,
    proposals: SavedProposals | None = None,
) -> Iterator[Batch]:
    """Training batches without end; the k-th is a function of (seed, k) alone.

    An image that cannot be read is left out of its batch, with a sentence in ``Batch.skipped``. Targets hold what
    `training_target` keeps; images where that is nothing are not used unless ``config.train_empty``.

    Args:
        start: number of the first batch; a run that is resumed after ``start`` batches goes on exactly.
        workers: processes that load images; 0: this process.
        proposals: saved ones for Fast R-CNN, which become ``Batch.proposals``; None: the network has an RPN.

    Raises:
        DataError: no usable image, too many unreadable ones (`check_unreadable`), or one without saved proposals.
    """
    objects = [len(training_target(dataset.target(index), config).labels) for index in range(len(dataset))]
    usable = [index for index, count in enumerate(objects) if config.train_empty or count > 0]
    if not any(objects):
        raise DataError(
            f"the training data have {len(dataset)} images, but none with an object to train on (crowd and difficult"
            " objects count only if the config keeps them); choose another split or add annotations."
        )
    wide = [config.aspect_grouping and dataset.sizes[index][1] >= dataset.sizes[index][0] for index in usable]
    if proposals is not None:
        proposals.check_covers([dataset.image_ids[index] for index in usable])
    sampler = EndlessSampler(usable, wide, batch_size=batch_size, seed=seed)
    unreadable: set[int] = set()
    batches = _TrainBatches(dataset, config, proposals, sampler, seed)
    for packed in _load(batches, range(start, sys.maxsize), workers):
        unreadable.update(packed.unreadable)
        if packed.skipped:
            check_unreadable(unreadable, len(dataset), packed.skipped[-1])
        yield packed.unpack()


def test_batches(
    dataset: Dataset, config: DataConfig, *, batch_size: int, workers: int,
    proposals: SavedProposals | None = None,  # noqa: PT028 (no test)
) -> Iterator[Batch]:
    """Each image once, in the order of the data set, without targets and without augmentation.

    Args:
        proposals: as in `train_batches`.

    Raises:
        DataError: no image, one without saved proposals, or one that cannot be read: leaving it out would change the
            score without a word.
    """
    if len(dataset) == 0:
        raise DataError("the test data have no image; choose another split or add images.")
    if proposals is not None:
        proposals.check_covers(dataset.image_ids)
    batches = _TestBatches(dataset, config, proposals, batch_size)
    for packed in _load(batches, range(len(batches)), workers):
        yield packed.unpack()


test_batches.__test__ = False  # type: ignore[attr-defined]  # the name is no test for pytest
