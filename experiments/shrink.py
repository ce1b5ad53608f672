"""What the small scales do alike to a run of a paper."""

from dataclasses import replace

from data.config import DataConfig
from experiments.records import Run, TrainConfig
from models.pooling.pool import Pooling
from models.rpn import RPNConfig


def pooled_smoothly(pooling: Pooling) -> Pooling:
    """RoIAlign instead of the paper's max pooling, where objects are few cells wide."""
    return "precise" if pooling == "precise" else "align"


def same_for_all(train: TrainConfig, run: Run) -> TrainConfig:
    """The scale's recipe with what belongs to the method of a run.

    That is the weight of the second stage's losses, which part learns, for how many passes, and the
    optimizer where the run keeps its own. The gradient norm is clipped in units of that weight,
    since Adam does not see a factor on the whole loss but clipping does.

    Args:
        train: the scale's recipe for one pass.
        run: of the paper, at full size.
    """
    weight, passes = run.train.roi_loss_weight, max(1, run.passes)
    if run.printed_optimizer:
        train = replace(
            train,
            optimizer=run.train.optimizer,
            lr=run.train.lr,
            weight_decay=run.train.weight_decay,
            max_grad_norm=run.train.max_grad_norm,
        )
    limit = train.max_grad_norm
    return replace(
        lengthened(train, passes),
        roi_loss_weight=weight,
        max_grad_norm=None if limit is None else limit * weight,
        trainable_part=run.train.trainable_part,
    )


def lengthened(train: TrainConfig, times: int) -> TrainConfig:
    """The recipe with ``times`` as many updates, its rate dropping as much later; the warm-up
    stays."""
    drops = tuple(drop * times for drop in train.lr_drops)
    return replace(train, iterations=train.iterations * times, lr_drops=drops)


def shrunk_sample(rpn: RPNConfig, anchors: int) -> int:
    """How many anchors an image a run samples where the scale samples ``anchors`` instead of 256:
    those of a run that samples twice as many at full size are twice as many here."""
    return round(rpn.anchors_per_image * anchors / RPNConfig().anchors_per_image)


def shrunk_sides(data: DataConfig, short_side: int) -> tuple[int, ...] | None:
    """The short sides of multi-scale training when the test images' becomes ``short_side`` px."""
    if data.train_short_sides is None:
        return None
    return tuple(round(side * short_side / data.short_side) for side in data.train_short_sides)
