"""Trainings of tiny runs of every kind of detector, alone or with other processes."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torchvision import ops

from experiments.records import Run
from models.iou_net import IoUConfig
from models.mask import MaskConfig
from scripts.engine import training
from scripts.engine.processes import joined
from scripts.engine.progress import Progress
from scripts.engine.shared_batch import SharedBatch
from tests.networks import TINY_RESNET, change
from tests.tiny import TINY, TINY_KL, TINY_KLRPN, know_tiny, train_tiny

FOUR = replace(TINY.train, batch_size=4)
RFCN = change(TINY.model, **TINY_RESNET, roi_head="rfcn", roi_hardest=8)
KINDS: dict[str, Run] = {
    "faster": replace(TINY_KL, train=FOUR),
    "mask": replace(
        TINY,
        train=FOUR,
        model=replace(TINY.model, mask=MaskConfig(channels=8, pool_size=4)),
        data=replace(TINY.data, masks=True),
    ),
    "rfcn": replace(TINY, train=FOUR, model=RFCN),
    "kl_rpn": replace(TINY_KLRPN, train=replace(TINY_KLRPN.train, batch_size=4)),
    "iou_net": replace(TINY, train=FOUR, model=replace(TINY.model, iou=IoUConfig(rois=16))),
}


def in_float64(batch: SharedBatch, device: object) -> SharedBatch:
    """The batch with images and boxes in float64."""
    targets = tuple(replace(target, boxes=target.boxes.double()) for target in batch.own.targets)
    return replace(batch, own=replace(batch.own, images=batch.own.images.double(), targets=targets))


def losses_of(
    kind: str, data: Path, out: Path, updates: int, *, double: bool = False, **options: Any
) -> list[dict]:
    """Trains a kind of detector; the loss terms of each update of this process.

    ``double``: in float64, in which rounding does not change which proposals are kept.
    """
    losses: list[dict] = []

    class Recorded(Progress):
        def step(self, step: int, terms: Any, **others: Any) -> None:
            losses.append({"step": step, **terms})
            super().step(step, terms, **others)

    run = KINDS[kind]
    run = replace(run, train=replace(run.train, iterations=updates, lr_drops=()))
    with pytest.MonkeyPatch.context() as patch, joined("cpu", timeout_s=60):
        patch.setattr(training, "Progress", Recorded)
        if double:
            patch.setattr(SharedBatch, "to", in_float64)
            torch.set_default_dtype(torch.float64)
            nms = ops.nms
            patch.setattr(ops, "nms", lambda boxes, s, iou: nms(boxes.double(), s.double(), iou))
        know_tiny(patch, {f"kl_loss/{run.name}": run})
        try:
            train_tiny(data, out, f"kl_loss/{run.name}", **options)
        finally:
            torch.set_default_dtype(torch.float32)
    return losses
