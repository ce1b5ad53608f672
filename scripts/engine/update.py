"""One update of the weights: forward, backward, finite check, step; every random draw keyed by (seed, step)."""

import math
import operator
from collections.abc import Mapping, Sequence
from functools import reduce
from typing import TypeVar

import torch
from torch import Tensor, nn

from data.records import Batch
from models.detector import Detector

STATISTICS_EVERY = 20  # updates
Number = TypeVar("Number", float, Tensor)


class DivergedError(RuntimeError):
    """A loss or gradient is not finite; the message names the term and the images."""


def update(detector: Detector, optimizer: torch.optim.Optimizer, scaler: torch.amp.GradScaler,
           batches: Sequence[Batch], *, step: int, seed: int, amp: torch.dtype | None = None,
           max_norm: float | None = None, roi_loss_weight: float = 1.0) -> tuple[dict[str, float], dict[str, float]]:
    """One update from micro-batches: (loss terms, statistics); statistics of the last one, every STATISTICS_EVERY.

    What is minimized is ``weighted_sum`` of the terms; the terms themselves are returned.
    The host waits for the device once: for the loss terms and the gradient norm, before the weights change.

    Raises: DivergedError if a term is not finite; the weights are then as before.
    Law: micro-batches of one image each add up to the batch's gradient, because each image is normalized by itself;
    exactly so where nothing is drawn (every anchor and RoI sampled, no dropout), in expectation otherwise; and not if a
    batch norm learns (networks with norms that train from scratch), nor quite for roi_mask and roi_iou, which are means
    over the RoIs of all images, as in Detectron.
    """
    device = batches[0].images.device
    optimizer.zero_grad(set_to_none=True)
    parts: list[dict[str, Tensor]] = []
    shares = [len(batch.images) / sum(len(b.images) for b in batches) for batch in batches]
    statistics: dict[str, Tensor] = {}
    for index, batch in enumerate(batches):
        torch.manual_seed((seed * 10**9 + step) * 1000 + index)  # sampling and dropout
        with torch.autocast(device.type, dtype=amp, enabled=amp is not None):
            losses = detector.losses(batch, statistics=statistics)
        scaler.scale(weighted_sum(losses, roi_loss_weight) * shares[index]).backward()
        parts.append({name: loss.detach() * shares[index] for name, loss in losses.items()})
    scaler.unscale_(optimizer)
    gradients = [p for p in detector.parameters() if p.grad is not None]
    norm = nn.utils.clip_grad_norm_(gradients, math.inf if max_norm is None else max_norm)
    sums = [torch.stack([part[name] for part in parts]).sum() for name in parts[0]]
    *terms, norm_value = torch.stack([*sums, norm]).tolist()
    values = dict(zip(parts[0], terms, strict=True))
    # under float16 an infinite gradient is normal: the scaler skips that update and lowers its scale
    raise_if_not_finite(values if scaler.is_enabled() else {**values, "gradient norm": norm_value}, step, batches)
    scaler.step(optimizer)
    scaler.update()
    if step % STATISTICS_EVERY:
        return values, {}
    return values, {"gradient_norm": norm_value, **{name: float(value) for name, value in statistics.items()}}


def weighted_sum(losses: Mapping[str, Number], roi_loss_weight: float) -> Number:
    """The terms of the first stage plus ``roi_loss_weight`` times those of the second, roi_* (KL-RPN Eq. 9)."""
    terms = [roi_loss_weight * loss if name.startswith("roi_") else loss for name, loss in losses.items()]
    return reduce(operator.add, terms)


def raise_if_not_finite(values: dict[str, float], step: int, batches: Sequence[Batch]) -> None:
    bad = [name for name, value in values.items() if not math.isfinite(value)]
    if bad:
        images = ", ".join(str(image) for batch in batches for image in batch.image_ids)
        raise DivergedError(
            f"At update {step} {' and '.join(bad)} of images {images} are not finite; the weights were not changed. "
            "Check these images' boxes (python -m data.validate), lower the learning rate, or set "
            f"ModelConfig.{'rpn_log_variance_limit' if 'rpn_kl' in bad else 'log_variance_limit'}.")
