"""What the small scales do alike to a run of a paper."""

from dataclasses import replace

from data.config import DataConfig
from experiments.records import Run, TrainConfig
from models.pooling.pool import Pooling


def pooled_smoothly(pooling: Pooling) -> Pooling:
    """RoIAlign instead of the paper's max pooling, where objects are few cells wide."""
    return "precise" if pooling == "precise" else "align"


def same_for_all(train: TrainConfig, run: Run) -> TrainConfig:
    """The scale's recipe with what belongs to the method of a run.

    That is the weight of the second stage's losses, which part learns, and for how many passes. The
    gradient norm is clipped in units of that weight, since Adam does not see a factor on the whole
    loss but clipping does.

    Args:
        train: the scale's recipe for one pass.
        run: of the paper, at full size.
    """
    assert train.max_grad_norm is not None
    weight, passes = run.train.roi_loss_weight, max(1, run.passes)
    return replace(
        train,
        roi_loss_weight=weight,
        max_grad_norm=train.max_grad_norm * weight,
        trainable_part=run.train.trainable_part,
        iterations=train.iterations * passes,
        lr_drops=tuple(drop * passes for drop in train.lr_drops),
    )


def shrunk_sides(data: DataConfig, short_side: int) -> tuple[int, ...] | None:
    """The short sides of multi-scale training when the test images' becomes ``short_side`` px."""
    if data.train_short_sides is None:
        return None
    return tuple(round(side * short_side / data.short_side) for side in data.train_short_sides)
