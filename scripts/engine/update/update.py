"""One update of the weights: forward, backward, finite check, step.

Several processes may share its images: each makes the passes of its own, and gradients and loss
terms are averaged over all.
"""

import math
import operator
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from functools import reduce
from typing import TypeVar

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from data.records import Batch
from scripts.engine.command import EnvironmentFault
from scripts.engine.memory import OutOfMemoryFault, raising
from scripts.engine.processes import lost_processes, share, summed
from scripts.engine.update.loss_scaler import MOST_SKIPPED, LossScaler

STATISTICS_EVERY = 20  # updates
Number = TypeVar("Number", float, Tensor)


class DivergedError(RuntimeError):
    """A loss or gradient is not finite, or was not for many updates under float16; the message says
    which.
    """


@dataclass(frozen=True, kw_only=True)
class Accumulated:
    """What the micro-batches of an update gave together, in this process.

    terms: the loss terms, each the sum over its images divided by the number of all images.
    statistics: of the last micro-batch.
    """

    terms: dict[str, Tensor]
    statistics: dict[str, Tensor]


def update(
    network: nn.Module,
    optimizer: torch.optim.Optimizer,
    scaler: LossScaler,
    batches: Sequence[Batch],
    *,
    step: int,
    of_images: int | None = None,
    amp: torch.dtype | None = None,
    max_norm: float | None = None,
    roi_loss_weight: float = 1.0,
) -> tuple[dict[str, float], dict[str, float]]:
    """Makes one update of the weights from micro-batches.

    What is minimized is ``weighted_sum`` of the loss terms; the terms themselves are returned. The
    host waits for the device once: for the terms and the gradient norm, before the weights change.

    Args:
        network: a Detector in training mode, or one in DistributedDataParallel.
        optimizer: of its trainable parameters.
        scaler: enabled for float16 only.
        batches: the micro-batches of this process, on the network's device.
        step: the update, from 0.
        of_images: the images of all processes; None: those of ``batches``.
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
        LostProcess: if another process is gone.
    """
    optimizer.zero_grad(set_to_none=True)
    images = sum(len(batch.images) for batch in batches) if of_images is None else of_images
    with raising(OutOfMemoryFault, step, batches), lost_processes():
        accumulated = accumulate_gradients(network, scaler, batches, images, amp, roi_loss_weight)
        terms = over_processes(accumulated.terms)
    scaler.unscale_(optimizer)
    trained = [p for p in network.parameters() if p.grad is not None]
    norm = nn.utils.get_total_norm([p.grad for p in trained if p.grad is not None])
    if max_norm is not None:
        nn.utils.clip_grads_with_norm_(trained, max_norm, norm)
    with lost_processes():  # CUDA says so where the host waits
        *values, norm_value = torch.stack([*terms.values(), norm]).tolist()
    losses = dict(zip(terms, values, strict=True))
    # under float16 an infinite gradient is normal: the scaler skips that update and scales less
    checked = losses if scaler.is_enabled() else {**losses, "gradient norm": norm_value}
    raise_if_not_finite(checked, step, batches, accumulated.terms)
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
    network: nn.Module,
    scaler: LossScaler,
    batches: Sequence[Batch],
    images: int,
    amp: torch.dtype | None,
    roi_loss_weight: float,
) -> Accumulated:
    """Forward and backward of each micro-batch, weighted by its share of the images.

    DistributedDataParallel averages gradients over the processes, with the last micro-batch.

    Args:
        network, scaler, batches, amp, roi_loss_weight: as in ``update``.
        images: of all processes.

    Law: micro-batches, and processes, add up to the batch's gradient, because each image is
    normalized by itself and draws its own random numbers. Micro-batches do not if a batch norm is
    trained (networks with norms that train from scratch), nor quite for roi_mask and roi_iou, which
    are means over the RoIs of all images, as in Detectron.
    """
    device = batches[0].images.device
    processes = share().of
    parts: list[dict[str, Tensor]] = []
    statistics: dict[str, Tensor] = {}
    for index, batch in enumerate(batches):
        weight = 0.0 if batch.is_stand_in else len(batch.images) / images
        is_last = index == len(batches) - 1
        waits = isinstance(network, DistributedDataParallel) and not is_last
        with network.no_sync() if waits else nullcontext():  # type: ignore[operator]
            with torch.autocast(device.type, dtype=amp, enabled=amp is not None):
                losses = network(batch, statistics=statistics)
            total = weighted_sum(losses, roi_loss_weight) * (weight * processes)
            scaler.scale(total).backward()
        parts.append({name: loss.detach() * weight for name, loss in losses.items()})
    terms = {name: torch.stack([part[name] for part in parts]).sum() for name in parts[0]}
    return Accumulated(terms=terms, statistics=statistics)


def over_processes(terms: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The loss terms, each added over the processes; a term that is not finite in one is not in
    any.
    """
    values = summed(torch.stack(list(terms.values())))
    return dict(zip(terms, values.unbind(), strict=True))


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


def raise_if_not_finite(
    values: Mapping[str, float], step: int, batches: Sequence[Batch], own: Mapping[str, Tensor]
) -> None:
    """Checks the loss terms and the gradient norm of an update.

    Args:
        values: of all processes.
        step: the update.
        batches: the micro-batches of this process.
        own: the loss terms of this process.

    Raises:
        DivergedError: if one is not finite, naming it and the images.
    """
    bad = [name for name, value in values.items() if not math.isfinite(value)]
    if bad:
        config = "RPNConfig" if "rpn_kl" in bad else "RoIConfig"
        images = ", ".join(str(image) for batch in batches for image in batch.image_ids)
        if share().of > 1 and all(term.isfinite() for term in own.values()):
            images = "in another process"
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
