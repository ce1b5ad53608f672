"""Images of a data set made ready for the network, and put together into a batch.

Letters: P proposals of one image.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import torch
from torch import Tensor

from data.annotations import pack_targets
from data.augmentation import (
    ColorFactors,
    Draw,
    crop_image,
    crop_target,
    draw_colors,
    draw_scale,
    draw_window,
)
from data.config import DataConfig
from data.formats.proposal_boxes import filter_crowd_proposals
from data.formats.saved_proposals import SavedProposals
from data.records import Dataset, ImageId, Sample, Target
from data.transforms import boxes_to_network, pad, to_network
from data.workers import PackedBatch


def is_trained_on(crowd: Tensor, difficult: Tensor, config: DataConfig) -> Tensor:
    """Which of G annotations training uses: no crowds and no difficult objects unless the config
    keeps them.

    Args:
        crowd, difficult: (G,) bool.
        config: ``train_crowd`` and ``train_difficult``.

    Returns:
        (G,) bool.
    """
    keep = torch.ones_like(crowd)
    if not config.train_crowd:
        keep &= ~crowd
    if not config.train_difficult:
        keep &= ~difficult
    return keep


def training_target(target: Target, config: DataConfig) -> Target:
    """The annotations of one image that training uses."""
    return target.select(is_trained_on(target.crowd, target.difficult, config))


class NetworkImage(NamedTuple):
    """One image, ready for the network.

    image_index: its place in the data set; image (3, h, w) float32; target in network px, None in
    testing; original_size (height, width) px; proposals: saved boxes (P, 4) in network px, or None.
    """

    image_index: int
    image: Tensor
    target: Target | None
    original_size: tuple[int, int]
    image_id: ImageId
    proposals: Tensor | None


@dataclass(frozen=True, kw_only=True)
class ImageReader:
    """Reads images of a data set, and makes batches of them; runs in the workers.

    proposals: saved ones for Fast R-CNN, or None.
    """

    dataset: Dataset
    config: DataConfig
    proposals: SavedProposals | None

    def read_training(
        self, index: int, *, short_side: int, mirror: bool, draw: Draw
    ) -> NetworkImage:
        """One image with its targets at ``short_side`` network px, mirrored if so.

        Args:
            index: of the image.
            short_side: network px.
            mirror: left and right exchanged.
            draw: random numbers of this image in this epoch, for the rest of the augmentation.

        Raises:
            DataError: the image cannot be read.
        """
        config, sample = self.config, self.dataset[index]
        limit = config.long_side if config.train_long_side is None else config.train_long_side
        boxes = self._saved_boxes(sample, config.proposals_train)
        if boxes is not None:
            crowds = sample.target.boxes[sample.target.crowd]
            boxes = filter_crowd_proposals(boxes, crowds, config.proposals_crowd_iou)
        target = training_target(sample.target, config)
        window = draw_window(config, sample.image, target, draw)
        if window is not None:
            sample = replace(sample, image=crop_image(sample.image, window))
            target = crop_target(target, window)
        short_side = max(1, round(short_side * draw_scale(config, draw)))
        colors = draw_colors(config, draw)
        return self._to_network(index, sample, target, boxes, short_side, limit, mirror, colors)

    def read_test(self, index: int) -> NetworkImage:
        """One image without targets, at the config's short side."""
        config, sample = self.config, self.dataset[index]
        boxes = self._saved_boxes(sample, config.proposals_test)
        side, limit = config.short_side, config.long_side
        return self._to_network(index, sample, None, boxes, side, limit, False)

    def _saved_boxes(self, sample: Sample, count: int | None) -> Tensor | None:
        """The best ``count`` saved proposals (P, 4) of one image, original px; None without."""
        if self.proposals is None:
            return None
        size = (sample.image.shape[-2], sample.image.shape[-1])
        return self.proposals.proposals_of(sample.image_id, size, count=count)

    def _to_network(
        self,
        index: int,
        sample: Sample,
        target: Target | None,
        boxes: Tensor | None,
        short_side: int,
        limit: int | None,
        mirror: bool,
        colors: ColorFactors | None = None,
    ) -> NetworkImage:
        """``limit`` of the long side is that at the config's short side; it scales along."""
        image, target = to_network(
            sample.image,
            target,
            short_side=short_side,
            long_side=None if limit is None else limit * short_side / self.config.short_side,
            pixels=self.config.pixels,
            mirror=mirror,
            colors=colors,
        )
        old = (sample.image.shape[-2], sample.image.shape[-1])
        if boxes is not None:
            new = (image.shape[-2], image.shape[-1])
            boxes = boxes_to_network(boxes, old, new, mirror=mirror)
        return NetworkImage(index, image, target, old, sample.image_id, boxes)

    def collate(
        self, rows: Sequence[NetworkImage], skipped: Sequence[tuple[int, str]] = ()
    ) -> PackedBatch:
        """One batch of these images; ``skipped``: (index, sentence) of each image left out."""
        indices, images, targets, original_sizes, image_ids, proposals = zip(*rows, strict=True)
        return PackedBatch(
            images=pad(images, self.config.size_divisor),
            image_sizes=tuple((image.shape[-2], image.shape[-1]) for image in images),
            original_sizes=original_sizes,
            image_ids=image_ids,
            targets=None if targets[0] is None else pack_targets(targets),
            skipped=tuple(text for _, text in skipped),
            unreadable=tuple(index for index, _ in skipped),
            proposals=None if proposals[0] is None else tuple(map(Tensor.numpy, proposals)),
            indices=indices,
        )
