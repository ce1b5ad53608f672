"""The k-th training batch: which images it holds, in what size, mirrored or not, in whose share.

It is a pure function of (seed, k): data/sampler.py gives its images, their size and the seeds of
the network's draws, and default_rng([seed, epoch, image index]) gives the augmentation of each
image.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from data.augmentation import Draw
from data.config import DataConfig
from data.errors import DataError
from data.reader import ImageReader, NetworkImage
from data.sampler import EndlessSampler, Share, batch_short_side, draw_seeds
from data.workers import PackedBatch

UNREADABLE_SHARE = 0.01  # of the training images; beyond it the data, not a file, is at fault


@dataclass(frozen=True, kw_only=True)
class TrainingBatches:
    """Makes training batches by their numbers, as ``train_batches``; runs in the workers."""

    reader: ImageReader
    sampler: EndlessSampler
    seed: int
    share: Share

    def __call__(self, k: int) -> PackedBatch:
        """This process's share of batch ``k`` without its unreadable images.

        If none of the batch is left, that of the next batch with some. If none of the share is
        left, an image of another process stands in, since every process must make each update.
        """
        skipped: list[tuple[int, str]] = []
        for source in range(k, k + self.sampler.batches_per_epoch):
            places = range(self.sampler.batch_size)
            own = self.share.part(places)
            rows = self._rows(k, source, own, skipped)
            if rows:
                return self._packed(k, rows, skipped, is_stand_in=False)
            for place in places:
                stand_in = {} if place in own else self._rows(k, source, [place], [])
                if stand_in:
                    return self._packed(k, stand_in, skipped, is_stand_in=True)
            unreadable = {index for index, _ in skipped}
            check_unreadable(unreadable, self.sampler.images, skipped[-1][1])
        raise DataError(f"no training image can be read; the last reason was: {skipped[-1][1]}")

    def _rows(
        self, k: int, source: int, places: Sequence[int], skipped: list[tuple[int, str]]
    ) -> dict[int, NetworkImage]:
        """The readable images of batch ``source`` at these places, in the size of batch ``k``;
        the others are added to ``skipped``.
        """
        rows = {}
        short_side = batch_short_side(self.reader.config, self.seed, k)
        batch = self.sampler.batch(source)
        for place in places:
            epoch, index = batch[place]
            draw, mirror = image_draw(self.reader.config, self.seed, epoch, index)
            try:
                rows[place] = self.reader.read_training(
                    index, short_side=short_side, mirror=mirror, draw=draw
                )
            except DataError as error:
                skipped.append((index, str(error)))
        return rows

    def _packed(
        self,
        k: int,
        rows: Mapping[int, NetworkImage],
        skipped: Sequence[tuple[int, str]],
        *,
        is_stand_in: bool,
    ) -> PackedBatch:
        """The images by their places as a batch, with the seeds of their draws."""
        packed = self.reader.collate(list(rows.values()), skipped)
        seeds = draw_seeds(self.seed, k, rows)
        return replace(packed, draw_seeds=seeds, is_stand_in=is_stand_in)


def image_draw(config: DataConfig, seed: int, epoch: int, index: int) -> tuple[Draw, bool]:
    """The random numbers of an image in an epoch, and whether it is mirrored, the first of them."""
    draw = np.random.default_rng([seed, epoch, index]).random
    return draw, config.flip and draw() < 0.5


def check_unreadable(unreadable: set[int], images: int, reason: str) -> None:
    """Stops a run whose data set, not a single file, is at fault.

    Args:
        unreadable: the different images that could not be read so far.
        images: number of images that training uses. One unreadable image is always allowed.
        reason: the latest sentence.

    Raises:
        DataError: more than one image and more than UNREADABLE_SHARE of these are unreadable.
    """
    if len(unreadable) > max(1.0, UNREADABLE_SHARE * images):
        raise DataError(
            f"{len(unreadable)} of {images} training images could not be read, which is more than"
            f" {UNREADABLE_SHARE:.0%}; python -m data.validate lists them all; the last reason was:"
            f" {reason}"
        )
