"""One update of the weights: forward, backward, finite check, step.

Every random draw is keyed by (seed, step).
"""

import math
import operator
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import TypeVar

import torch
from torch import Tensor, nn

from data.records import Batch
from models.detector import Detector
from scripts.engine.command import EnvironmentFault
from scripts.engine.loss_scaler import MOST_SKIPPED, LossScaler
from scripts.engine.memory import OutOfMemoryFault, raising

STATISTICS_EVERY = 20  # updates
Number = TypeVar("Number", float, Tensor)


class DivergedError(RuntimeError):
    """A loss or gradient is not finite, or was not for many updates under float16; the message says
    which.
    """


@dataclass(frozen=True, kw_only=True)
class Accumulated:
    """What the micro-batches of an update gave together.

    terms: the loss terms, each the mean over all images. statistics: of the last micro-batch.
    """

    terms: dict[str, Tensor]
    statistics: dict[str, Tensor]


def update(
    detector: Detector,
    optimizer: torch.optim.Optimizer,
    scaler: LossScaler,
    batches: Sequence[Batch],
    *,
    step: int,
    seed: int,
    amp: torch.dtype | None = None,
    max_norm: float | None = None,
    roi_loss_weight: float = 1.0,
) -> tuple[dict[str, float], dict[str, float]]:
    """Makes one update of the weights from micro-batches.

    What is minimized is ``weighted_sum`` of the loss terms; the terms themselves are returned. The
    host waits for the device once: for the terms and the gradient norm, before the weights change.

    Args:
        detector: in training mode.
        optimizer: of its trainable parameters.
        scaler: enabled for float16 only.
        batches: the micro-batches, on the detector's device.
        step: the update, from 0.
        seed: of the random draws, together with ``step``.
        amp: the type of mixed precision; None for none.
        max_norm: limit of the global gradient norm; None for none.
        roi_loss_weight: of the second stage's terms.

    Returns:
        the loss terms, and the statistics of the last micro-batch every STATISTICS_EVERY updates.

    Raises:
        DivergedError: if a term is not finite, or if the scaler skips the MOST_SKIPPED-th update in
            a row; the weights are then as before.
        OutOfMemoryFault: if the forward and backward passes do not fit into memory; the weights are
            then as before.
        EnvironmentFault: if the optimizer's step does not.
    """
    optimizer.zero_grad(set_to_none=True)
    key = (seed * 10**9 + step) * 1000
    with raising(OutOfMemoryFault, step, batches):
        accumulated = accumulate_gradients(detector, scaler, batches, key, amp, roi_loss_weight)
    scaler.unscale_(optimizer)
    gradients = [p for p in detector.parameters() if p.grad is not None]
    norm = nn.utils.clip_grad_norm_(gradients, math.inf if max_norm is None else max_norm)
    terms = accumulated.terms
    *values, norm_value = torch.stack([*terms.values(), norm]).tolist()
    losses = dict(zip(terms, values, strict=True))
    # under float16 an infinite gradient is normal: the scaler skips that update and scales less
    checked = losses if scaler.is_enabled() else {**losses, "gradient norm": norm_value}
    raise_if_not_finite(checked, step, batches)
    with raising(EnvironmentFault, step, batches):
        scaler.step_if_finite(optimizer, norm_value)
    raise_if_all_skipped(scaler, step)
    if step % STATISTICS_EVERY:
        return losses, {}
    statistics = {name: float(value) for name, value in accumulated.statistics.items()}
    if scaler.is_enabled():
        statistics["amp/skipped_updates"] = float(scaler.skipped)
    return losses, {"gradient_norm": norm_value, **statistics}


def accumulate_gradients(
    detector: Detector,
    scaler: LossScaler,
    batches: Sequence[Batch],
    key: int,
    amp: torch.dtype | None,
    roi_loss_weight: float,
) -> Accumulated:
    """Forward and backward of each micro-batch, weighted by its share of the images.

    Args:
        detector, scaler, batches, amp, roi_loss_weight: as in ``update``.
        key: of the random draws of the first micro-batch, that is of sampling and dropout; the next
            one has the next key.

    Law: micro-batches of one image each add up to the batch's gradient, because each image is
    normalized by itself; exactly so where nothing is drawn (every anchor and RoI sampled, no
    dropout), in expectation otherwise; and not if a batch norm is trained (networks with norms that
    train from scratch), nor quite for roi_mask and roi_iou, which are means over the RoIs of all
    images, as in Detectron.
    """
    device = batches[0].images.device
    images = sum(len(batch.images) for batch in batches)
    parts: list[dict[str, Tensor]] = []
    statistics: dict[str, Tensor] = {}
    for index, batch in enumerate(batches):
        share = len(batch.images) / images
        torch.manual_seed(key + index)
        with torch.autocast(device.type, dtype=amp, enabled=amp is not None):
            losses = detector.losses(batch, statistics=statistics)
        scaler.scale(weighted_sum(losses, roi_loss_weight) * share).backward()
        parts.append({name: loss.detach() * share for name, loss in losses.items()})
    terms = {name: torch.stack([part[name] for part in parts]).sum() for name in parts[0]}
    return Accumulated(terms=terms, statistics=statistics)


def weighted_sum(losses: Mapping[str, Number], roi_loss_weight: float) -> Number:
    """The terms of the first stage plus ``roi_loss_weight`` times the second's (KL-RPN Eq. 9).

    Args:
        losses: the terms; those of the second stage begin with roi_.
        roi_loss_weight: 10 in KL-RPN.
    """
    terms = [
        roi_loss_weight * loss if name.startswith("roi_") else loss for name, loss in losses.items()
    ]
    return reduce(operator.add, terms)


def raise_if_not_finite(values: dict[str, float], step: int, batches: Sequence[Batch]) -> None:
    """Checks the loss terms and the gradient norm of an update.

    Raises:
        DivergedError: if one is not finite, naming it and the images.
    """
    bad = [name for name, value in values.items() if not math.isfinite(value)]
    if bad:
        config = "RPNConfig" if "rpn_kl" in bad else "RoIConfig"
        images = ", ".join(str(image) for batch in batches for image in batch.image_ids)
        raise DivergedError(
            f"At update {step} {' and '.join(bad)} of images {images} are not finite; the weights "
            "were not changed. Check these images' boxes (python -m data.validate), lower the "
            f"learning rate, or set {config}.log_variance_limit."
        )


def raise_if_all_skipped(scaler: LossScaler, step: int) -> None:
    """Checks that float16 does not skip one update after another.

    Raises:
        DivergedError: if the newest MOST_SKIPPED updates were all skipped.
    """
    if scaler.in_a_row >= MOST_SKIPPED:
        raise DivergedError(
            f"Update {step} is the {scaler.in_a_row}th in a row that was skipped, because gradients"
            f" are not finite under float16 (losses are scaled by {scaler.get_scale():g}); they "
            "changed no weight. Train with --amp bf16 or without --amp, or lower the learning rate."
        )
