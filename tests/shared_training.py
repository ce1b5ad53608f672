"""Trainings of tiny runs of every kind of detector, alone or with other processes."""

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torchvision import ops

from data.errors import DataError
from data.records import Batch
from experiments.records import Row, Run, Table
from models.iou_jitter import jitter_table_on
from models.iou_net import IoUConfig
from models.mask import MaskConfig
from postprocess.pipeline import PostprocessConfig
from scripts.engine.evaluation.evaluation import evaluate_table
from scripts.engine.places import table_place
from scripts.engine.processes import barrier, joined
from scripts.engine.shared_batch import SharedBatch
from scripts.engine.training import training
from scripts.engine.training.progress import Progress
from tests.networks import TINY_RESNET, change
from tests.tiny import TINY, TINY_KL, TINY_KLRPN, environment, know_tiny, train_tiny

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


def never(step: int) -> bool:
    return False


def in_float64(batch: SharedBatch, device: object) -> SharedBatch:
    """The batch with images and boxes in float64."""
    targets = tuple(replace(target, boxes=target.boxes.double()) for target in batch.own.targets)
    return replace(batch, own=replace(batch.own, images=batch.own.images.double(), targets=targets))


def losses_of(
    kind: str,
    data: Path,
    out: Path,
    updates: int,
    *,
    double: bool = False,
    spoil: Callable[[int], object] = never,
    unreadable: Callable[[int], object] = never,
    timeout_s: float = 60,
    **options: Any,
) -> list[dict]:
    """Trains a kind of detector; the loss terms of each update of this process.

    ``double``: in float64, in which rounding does not change which proposals are kept. ``spoil``
    and ``unreadable``: whether the images of an update are NaN, or cannot be read.
    """
    losses: list[dict] = []

    class Recorded(Progress):
        def step(self, step: int, terms: Any, **others: Any) -> None:
            losses.append({"step": step, **terms})
            super().step(step, terms, **others)

        def next_batch(self, batches: Iterator[Batch]) -> Batch:
            batch, step = super().next_batch(batches), len(losses)
            if unreadable(step):
                raise DataError("the label file is gone")
            return replace(batch, images=batch.images * float("nan")) if spoil(step) else batch

    run = KINDS[kind]
    run = replace(run, train=replace(run.train, iterations=updates, lr_drops=()))
    with pytest.MonkeyPatch.context() as patch, joined("cpu", timeout_s=timeout_s):
        patch.setattr(training, "Progress", Recorded)
        if double:
            patch.setattr(SharedBatch, "to", in_float64)
            torch.set_default_dtype(torch.float64)
            jitter_table_on.cache_clear()  # an earlier test may have left one in float32
            nms = ops.nms
            patch.setattr(ops, "nms", lambda boxes, s, iou: nms(boxes.double(), s.double(), iou))
        know_tiny(patch, {f"kl_loss/{run.name}": run})
        try:
            train_tiny(data, out, f"kl_loss/{run.name}", **options)
        finally:
            torch.set_default_dtype(torch.float32)
            jitter_table_on.cache_clear()
    return losses


TABLE = Table(
    title="A tiny table",
    metric="coco",
    columns=("AP", "AP50"),
    extra=("nll",),
    rows=(
        Row(
            label="KL Loss",
            run=TINY_KL,
            postprocess=PostprocessConfig(sigma_t=0.02),
            printed=(1, 2),
        ),
        Row(label="R-FCN", run=TINY_KLRPN, postprocess=PostprocessConfig(), printed=(1, 2)),
    ),
)
EVALUATED = {f"kl_loss/{run.name}": run for run in (TINY_KL, TINY_KLRPN)}


def finished(data: Path, out: Path) -> None:
    """Trains the networks of TABLE."""
    with pytest.MonkeyPatch.context() as patch:
        know_tiny(patch, EVALUATED)
        for name in EVALUATED:
            train_tiny(data, out, name)


def evaluated(data: Path, out: Path) -> list[Any]:
    """The numbers of TABLE, with the processes that work together."""
    with pytest.MonkeyPatch.context() as patch, joined("cpu", timeout_s=60):
        know_tiny(patch, EVALUATED)
        place = table_place("kl_loss/table1", scale="tiny", out=out)
        evaluate_table(TABLE, place, environment(data, out), 1)
        barrier()
    return [row["metrics"] for row in json.loads(place.seed_file(0).read_text())["rows"]]
