"""Images that are made up on the spot, and the configuration that reads them."""

import itertools
import os
from dataclasses import replace

import torch

from data.config import DataConfig
from data.errors import DataError
from data.loader import train_batches
from data.records import Sample, Target

CONFIG = DataConfig(layout="coco", train=("a",), test="b", short_side=16, long_side=32, pixels="tf")
MANY_SIZES = replace(CONFIG, train_short_sides=(8, 16, 32))


class Synthetic:
    """n images in which the color tells the index; every third is tall; index i is unreadable if in
    ``broken``.
    """

    classes = ("thing",)

    def __init__(self, n, broken=(), empty=(), kill=None):
        self.image_ids = tuple(range(n))
        self.sizes = tuple((24, 16) if i % 3 == 0 else (16, 24) for i in range(n))
        self.broken, self.empty, self.kill = broken, empty, kill

    def __len__(self):
        return len(self.sizes)

    def target(self, index):
        boxes = torch.tensor([[1.0, 2.0, 9.0, 12.0], [2.0, 2.0, 8.0, 8.0]])[
            : 0 if index in self.empty else 2
        ]
        labels = torch.ones(len(boxes), dtype=torch.long)
        return Target(
            boxes=boxes, labels=labels, difficult=torch.tensor([False, True])[: len(boxes)]
        )

    def __getitem__(self, index):
        if index in self.broken:
            raise DataError(f"image {index} is broken.")
        if index == self.kill:
            os._exit(9)
        image = torch.full((3, *self.sizes[index]), index, dtype=torch.uint8)
        image[:, :, 0] = 255  # the left edge, so that a mirrored image differs
        return Sample(image_id=index, image=image, target=self.target(index))


def take(dataset, count, *, config=CONFIG, batch_size=4, seed=0, start=0, workers=0):
    stream = train_batches(
        dataset, config, batch_size=batch_size, seed=seed, start=start, workers=workers
    )
    batches = list(itertools.islice(stream, count))
    stream.close()
    return batches
