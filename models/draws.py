"""The random numbers of a training step: every image has its own.

So they do not depend on which images share a forward pass or a process, and an update that is split
into parts draws the same anchors, RoIs and dropout.
"""

from collections.abc import Sequence
from typing import Literal, get_args

import torch
from torch import Tensor

from data.records import Batch

Use = Literal["anchors", "rois", "dropout", "jitter"]  # what random numbers are drawn for
Generators = Sequence[torch.Generator]
LARGEST_SEED = 2**62


def image_generators(batch: Batch, use: Use) -> list[torch.Generator]:
    """A generator for each image of a batch, on its device.

    Args:
        batch: whose ``draw_seeds`` are used; without them seeds are drawn from torch's global
            generator.
        use: what is drawn; each use has numbers of its own.
    """
    device = batch.images.device
    seeds = batch.draw_seeds or torch.randint(LARGEST_SEED, (len(batch.images),)).tolist()
    return [
        torch.Generator(device).manual_seed((seed + get_args(Use).index(use)) % LARGEST_SEED)
        for seed in seeds
    ]


def dropout(values: Tensor, probability: float, generators: Generators) -> Tensor:
    """Values (R, D) of which each is 0 with this probability, and else divided by its complement.

    Args:
        values: (R, D), the same number of rows for each image, image after image.
        probability: below 1.
        generators: of the images.
    """
    images = values.unflatten(0, (len(generators), -1))
    kept = torch.stack(
        [
            torch.empty_like(image, dtype=torch.float32).bernoulli_(
                1 - probability, generator=generator
            )
            for image, generator in zip(images, generators, strict=True)
        ]
    )
    return values * (kept.flatten(0, 1) / (1 - probability)).to(values.dtype)
