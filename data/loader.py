"""Batches for training and testing, made so that a run can be resumed at any batch.

The k-th training batch is a pure function of (seed, k), see data/training_batches.py. No state is
carried from batch to batch, no global random generator is read or moved, and the number of workers
changes nothing but the speed. Several processes share each batch.
"""

import sys
from collections.abc import Iterator, Sequence
from functools import partial

from data.config import DataConfig
from data.errors import DataError
from data.formats.saved_proposals import SavedProposals
from data.reader import ImageReader, training_target
from data.records import Batch, Dataset
from data.sampler import (
    WHOLE,
    EndlessSampler,
    Share,
    batches_of_one_size,
)
from data.training_batches import TrainingBatches, check_unreadable
from data.transforms import padded_size, resized_size
from data.workers import PackedBatch, load_batches


def _test_batch(reader: ImageReader, batches: Sequence[Sequence[int]], k: int) -> PackedBatch:
    return reader.collate([reader.read_test(index) for index in batches[k]])


def usable_images(dataset: Dataset, config: DataConfig) -> list[int]:
    """The indices of the images that training uses: those with an object, or all.

    Args:
        dataset: all its targets are looked at; no image is opened.
        config: ``train_empty`` keeps images without objects.

    Raises:
        DataError: no image has an object that training uses.
    """
    counts = [learned for learned, _ in _object_counts(dataset, config)]
    if not any(counts):
        raise DataError(
            f"the training data have {len(dataset)} images, but none with an object to train on"
            " (crowd and difficult objects count only if the config keeps them); choose another"
            " split or add annotations."
        )
    return [index for index, count in enumerate(counts) if config.train_empty or count > 0]


def _object_counts(dataset: Dataset, config: DataConfig) -> list[tuple[int, int]]:
    """How many objects of each image training learns from, and how many are annotated."""
    targets = map(dataset.target, range(len(dataset)))
    return [(len(training_target(item, config).labels), len(item.labels)) for item in targets]


def used_images(dataset: Dataset, config: DataConfig) -> str:
    """In words, how many images training uses, and why it leaves out the others.

    Args:
        dataset: of the training splits.
        config: as ``usable_images``.
    """
    counts = _object_counts(dataset, config)
    without = [annotated for learned, annotated in counts if not learned]
    if not without:
        return f"{len(counts)} training images"
    hidden = sum(annotated > 0 for annotated in without)
    only = f" ({hidden} of them have only crowd or difficult ones)" if hidden else ""
    if config.train_empty:
        return f"{len(counts)} training images, {len(without)} of them without objects{only}"
    return (
        f"{len(counts) - len(without)} of {len(counts)} training images, the other {len(without)}"
        f" are without objects and not used{only}"
    )


def train_batches(
    dataset: Dataset,
    config: DataConfig,
    *,
    batch_size: int,
    seed: int,
    start: int,
    workers: int,
    proposals: SavedProposals | None = None,
    share: Share = WHOLE,
) -> Iterator[Batch]:
    """Training batches without end; the k-th is a function of (seed, k) alone.

    What can be checked without reading an image is checked at once, not with the first batch.

    An image that cannot be read is left out of its batch, with a sentence in ``Batch.skipped``.
    Targets hold what ``training_target`` keeps; images where that is nothing are not used unless
    ``config.train_empty``.

    Args:
        dataset: of the training splits.
        config: sizes, augmentation, and which annotations count.
        batch_size: images in a batch.
        seed: of all random choices.
        start: number of the first batch; a run that is resumed after ``start`` batches goes on
            exactly.
        workers: processes that load images; 0: this process.
        proposals: saved ones for Fast R-CNN, which become ``Batch.proposals``; None: the network
            has an RPN.
        share: of the images of each batch that this process gets.

    Raises:
        ValueError: a batch has fewer images than there are processes.
        DataError: no usable image, too many unreadable ones (``check_unreadable``), or one without
            saved proposals.
    """
    if batch_size < share.of:
        raise ValueError(
            f"{share.of} processes cannot share batches of {batch_size} images; start at most "
            f"{batch_size}, or train with a larger --batch-size."
        )
    usable = usable_images(dataset, config)
    if proposals is not None:
        if config.crop < 1:
            raise DataError(
                "DataConfig.crop takes windows of the images, and saved proposals are boxes of"
                " whole images; set crop to 1, or train a network with a region proposal network."
            )
        proposals.check_covers([dataset.image_ids[index] for index in usable])
    sizes = [dataset.sizes[index] for index in usable]
    wide = [config.aspect_grouping and width >= height for height, width in sizes]
    sampler = EndlessSampler(usable, wide, batch_size=batch_size, seed=seed)
    reader = ImageReader(dataset=dataset, config=config, proposals=proposals)
    make_batch = TrainingBatches(reader=reader, sampler=sampler, seed=seed, share=share)
    return _readable_batches(
        load_batches(make_batch, range(start, sys.maxsize), workers), images=len(usable)
    )


def _readable_batches(packed_batches: Iterator[PackedBatch], images: int) -> Iterator[Batch]:
    """The batches as the network sees them, until too many images were unreadable.

    Args:
        packed_batches: without their unreadable images.
        images: number of images that training uses.

    Raises:
        DataError: ``check_unreadable``.
    """
    unreadable: set[int] = set()
    for packed in packed_batches:
        unreadable.update(packed.unreadable)
        if packed.skipped:
            check_unreadable(unreadable, images, packed.skipped[-1])
        yield packed.unpack()


def test_batches(
    dataset: Dataset,
    config: DataConfig,
    *,
    batch_size: int,
    workers: int,
    proposals: SavedProposals | None = None,  # noqa: PT028 (no test)
    indices: Sequence[int] | None = None,  # noqa: PT028
    share: Share = WHOLE,  # noqa: PT028
) -> Iterator[Batch]:
    """Each image once, without targets and without augmentation, in batches of one padded size.

    What a network computes near the border of an image depends on the padding. In these batches an
    image is padded to a multiple of ``config.size_divisor`` and no further, whatever
    ``batch_size`` is, so that a score does not depend on it. The batches are therefore not in the
    order of the data set: ``Batch.indices`` says where each image belongs, and
    ``data.sampler.in_order`` brings what was computed into that order.

    Args:
        dataset: of the test split.
        config: sizes and pixels.
        batch_size: most images in a batch.
        workers: processes that load images; 0: this process.
        proposals: as in ``train_batches``.
        indices: of the images to read; None: all.
        share: of the batches that this process gets; together the processes get each batch once.

    Raises:
        DataError: no image, one without saved proposals, or one that cannot be read: leaving it out
            would change the score without a word.
    """
    chosen = range(len(dataset)) if indices is None else indices
    if len(chosen) == 0:
        raise DataError("the test data have no image; choose another split or add images.")
    if proposals is not None:
        proposals.check_covers([dataset.image_ids[index] for index in chosen])
    sizes = {index: network_size(dataset.sizes[index], config) for index in chosen}
    batches = share.part(batches_of_one_size(sizes, batch_size))
    reader = ImageReader(dataset=dataset, config=config, proposals=proposals)
    make_batch = partial(_test_batch, reader, batches)
    for packed in load_batches(make_batch, range(len(batches)), workers):
        yield packed.unpack()


test_batches.__test__ = False  # type: ignore[attr-defined]  # the name is no test for pytest


def network_size(size: tuple[int, int], config: DataConfig) -> tuple[int, int]:
    """The (height, width) of a test image in the network, with its padding.

    Args:
        size: (height, width) of the image as it is stored, original px.
        config: ``short_side``, ``long_side`` and ``size_divisor``.

    Returns:
        network px.
    """
    resized = resized_size(size, config.short_side, config.long_side)
    return padded_size(resized, config.size_divisor)
