"""The length of a training on data of one's own, from the number of its images."""

import math
from dataclasses import dataclass, replace

from experiments.records import Run, TrainConfig

DROP_AT = 0.75  # share of the updates after which the rate drops
WARMUP = 0.1  # of the updates, at most


@dataclass(frozen=True, kw_only=True)
class OwnRecipe:
    """A network for data of one's own.

    run: the network and its training but for its length. epochs: how often each image is seen.
    least_updates: few images are seen more often, until there are so many updates. needs_gpu: a CPU
    takes days.
    """

    run: Run
    epochs: int
    least_updates: int
    needs_gpu: bool = False

    def epochs_for(self, images: int, batch_size: int) -> int:
        """How often each of so many images is seen."""
        return max(self.epochs, math.ceil(self.least_updates * batch_size / images))


def updates_an_epoch(images: int, batch_size: int) -> int:
    """Full batches, as ``data.sampler.EndlessSampler`` makes them."""
    return max(1, images // batch_size)


def scheduled(train: TrainConfig, *, updates: int) -> TrainConfig:
    """The training with so many updates: the rate drops at DROP_AT and warms up for WARMUP at
    most.
    """
    return replace(
        train,
        iterations=updates,
        lr_drops=(round(DROP_AT * updates),),
        warmup_iterations=min(train.warmup_iterations, round(WARMUP * updates)),
    )
