"""A run and a data set so small that a test can train, for the tests of the loops."""

import argparse
import signal
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from data.loader import DataConfig
from data.mini.ambiguous import write_dataset
from experiments.records import Run, TrainConfig
from tests.networks import KL, TINY_RESNET, change, model_config

TINY = Run(
    name="tiny",
    start="scratch",
    model=model_config(
        backbone_name="vgg16",
        num_classes=6,
        backbone_width=1 / 16,
        roi_fc_dims=(16, 16),
        roi_dropout=0.5,
        rpn_anchor_sizes=(16.0, 32.0),
        rpn_anchors_per_image=32,
        rpn_pre_nms_train=100,
        rpn_post_nms_train=30,
        rpn_pre_nms_test=100,
        rpn_post_nms_test=20,
        rpn_min_size=4.0,
        roi_rois_per_image=16,
        roi_pool_size=3,
        rpn_channels=8,
        roi_rfcn_channels=64,
    ),
    data=DataConfig(
        layout="coco",
        train=("train",),
        test="val",
        short_side=64,
        long_side=96,
        pixels="torchvision",
    ),
    train=TrainConfig(batch_size=2, iterations=6, lr=1e-3, lr_drops=(4,), warmup_iterations=2),
)
TINY_KL = replace(TINY, name="tiny_kl", model=change(TINY.model, **KL))
TINY_KLRPN = replace(
    TINY,
    name="tiny_klrpn",
    train=replace(TINY.train, optimizer="adam", roi_loss_weight=10.0),
    model=change(TINY.model, **TINY_RESNET, roi_head="rfcn", rpn_kind="kl_rpn"),
    data=replace(TINY.data, train_short_sides=(48, 64)),
)
SCALES = {"tiny": lambda run: run}


def tiny_dataset(folder: Path) -> Path:
    """12 training and 3 validation scenes in COCO's layout."""
    return write_dataset(folder / "set", seed=0, train=12, val=3) / "coco"


def arguments(data: Path, out: Path, **changed) -> argparse.Namespace:
    """The command line of scripts.train and scripts.evaluate."""
    given = {"run": "kl_loss/tiny", "table": "kl_loss/tiny", "scale": "tiny", "data_root": data, "splits": None, "out": out,
             "skip_bad_boxes": False, "proposals": None, "device": "cpu", "workers": 0, "seed": 0, "seeds": 1, "resume": "auto",
             "weights": "auto", "amp": "off", "batch_size": None, "accumulate": 1, "stop_after": None, "unfinished": False}
    return argparse.Namespace(**given | changed)


@contextmanager
def signal_handlers_kept():
    """scripts.train answers Ctrl-C and SIGTERM itself; the test runner wants its own answer back."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
