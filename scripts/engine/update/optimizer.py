"""Parameter groups, learning rate and the linear scaling rule of the papers' recipes."""

from dataclasses import replace
from typing import Any

import torch
from torch import nn

from experiments.records import TrainConfig


def parameter_groups(detector: nn.Module, train: TrainConfig) -> list[dict]:
    """The trainable parameters in groups with their ``lr_factor`` and weight decay.

    The rate of biases (every one-dimensional parameter) is multiplied by ``bias_lr_factor``, and
    they decay only if ``bias_decay``; the backbone's rate is multiplied by ``backbone_lr_factor``.
    """
    groups: dict[tuple[float, float], list[nn.Parameter]] = {}
    for name, parameter in detector.named_parameters():
        if not parameter.requires_grad:
            continue
        bias = parameter.ndim == 1
        factor = (train.bias_lr_factor if bias else 1.0) * (
            train.backbone_lr_factor if name.startswith("backbone.") else 1.0
        )
        decay = train.weight_decay if train.bias_decay or not bias else 0.0
        groups.setdefault((factor, decay), []).append(parameter)
    return [
        {"params": members, "lr_factor": factor, "weight_decay": decay, "lr": factor * train.lr}
        for (factor, decay), members in groups.items()
    ]


def build_optimizer(detector: nn.Module, train: TrainConfig) -> torch.optim.Optimizer:
    """The recipe's optimizer, whose step is one kernel for all parameters of a group.

    On one CPU thread that takes a quarter to a seventh of the time of a loop over the
    parameters, and rounds otherwise in the last bits.
    """
    groups = parameter_groups(detector, train)
    if train.optimizer == "sgd":
        optimizer = torch.optim.SGD(groups, lr=train.lr, momentum=train.momentum, fused=True)
        start_momentum(optimizer)
        return optimizer
    if train.optimizer == "adam":  # adds the decay to the gradient; AdamW decouples it
        return torch.optim.Adam(groups, lr=train.lr, fused=True)
    return torch.optim.AdamW(groups, lr=train.lr, fused=True)


def start_momentum(optimizer: torch.optim.Optimizer) -> None:
    """Gives every parameter of SGD a momentum of 0 that has none yet, which changes no step.

    torch's fused SGD stops with a TypeError where a parameter gets its first gradient later than
    the others, because it has no momentum to hand to the kernel.
    """
    for group in optimizer.param_groups:
        for parameter in group["params"] if group["momentum"] else ():
            state = optimizer.state[parameter]
            if state.get("momentum_buffer") is None:
                state["momentum_buffer"] = torch.zeros_like(parameter)


IMPLEMENTATION = ("fused", "foreach")  # options of torch's optimizers that a checkpoint holds too


def load_optimizer(optimizer: torch.optim.Optimizer, saved: dict[str, Any]) -> None:
    """Goes on with a saved state, by the kernels of ``optimizer`` and not by those that wrote it.

    The fused kernels of CPUs read a parameter and its averages in the order of their memory, so
    averages that were saved in another memory format are copied into the parameter's.

    Args:
        optimizer: of the same parameters in the same groups.
        saved: the ``state_dict`` of an optimizer.
    """
    chosen = {name: optimizer.defaults[name] for name in IMPLEMENTATION}
    groups = [{**group, **chosen} for group in saved["param_groups"]]
    optimizer.load_state_dict({**saved, "param_groups": groups})
    for parameter, averages in optimizer.state.items():
        for name, value in averages.items():
            if (
                value is not None
                and value.shape == parameter.shape
                and value.stride() != parameter.stride()
            ):
                averages[name] = torch.empty_like(parameter).copy_(value)
    if isinstance(optimizer, torch.optim.SGD):
        start_momentum(optimizer)


def learning_rate(step: int, train: TrainConfig) -> float:
    """The rate of update ``step`` (from 0): linear warm-up, then a drop at each of ``lr_drops``."""
    rate = train.lr * train.lr_drop_factor ** sum(step >= drop for drop in train.lr_drops)
    if step < train.warmup_iterations:
        progress = step / train.warmup_iterations
        rate *= train.warmup_factor * (1 - progress) + progress
    return rate


def set_learning_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    for group in optimizer.param_groups:
        group["lr"] = rate * group["lr_factor"]


def scaled_to_batch(train: TrainConfig, batch_size: int) -> TrainConfig:
    """The recipe for another batch size: B0 / B times the updates, and another rate.

    With SGD the rate is B / B0 times as high (the linear scaling rule, Goyal et al.). With Adam,
    whose step does not grow with the gradient, it is the square root of that (KL-RPN's own pairs:
    6e-5 for 16 images, 4e-5 for 8).
    """
    factor = batch_size / train.batch_size
    rate_factor = factor if train.optimizer == "sgd" else factor**0.5
    return replace(
        train,
        batch_size=batch_size,
        lr=train.lr * rate_factor,
        iterations=round(train.iterations / factor),
        lr_drops=tuple(round(drop / factor) for drop in train.lr_drops),
        warmup_iterations=round(train.warmup_iterations / factor),
    )
