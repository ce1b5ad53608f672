"""A run and a data set so small that a test can train, for the tests of the loops."""

from dataclasses import fields, replace
from pathlib import Path

from data.config import DataConfig
from data.mini.ambiguous import write_dataset
from experiments.records import Run, TrainConfig
from experiments.scales import SCALES
from scripts.engine import places
from scripts.engine.environment import Environment
from scripts.engine.training.recipe import TrainOptions
from scripts.engine.training.training import train
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


def tiny_options(data: Path, out: Path) -> list[str]:
    """The options of a command at the scale of these runs."""
    return ["--scale", "tiny", "--data-root", str(data), "--out", str(out), "--device", "cpu"]


def tiny_dataset(folder: Path) -> Path:
    """12 training and 3 validation scenes in COCO's layout."""
    return write_dataset(folder / "set", seed=0, train=12, val=3) / "coco"


def environment(data: Path, out: Path, **changed) -> Environment:
    """The environment of a command on the CPU at the scale "tiny"."""
    return Environment(
        **{"scale": "tiny", "data_root": data, "out": out, "device": "cpu"} | changed
    )


def train_tiny(data: Path, out: Path, run: str = "kl_loss/tiny", **options) -> int:
    """``train`` with options of the environment and of the training, told apart by their names."""
    names = {field.name for field in fields(TrainOptions)}
    training = {name: value for name, value in options.items() if name in names}
    rest = {name: value for name, value in options.items() if name not in names}
    return train(run, environment(data, out, **rest), TrainOptions(**training))


def know_tiny(monkeypatch, runs: dict[str, Run] | None = None) -> None:
    """Adds the scale "tiny", which changes nothing; ``runs`` ("paper/run") take the place of
    runs.py.
    """
    monkeypatch.setitem(SCALES, "tiny", lambda run: run)
    if runs is not None:
        monkeypatch.setattr(
            places, "papers", lambda: sorted({name.partition("/")[0] for name in runs})
        )
        monkeypatch.setattr(
            places,
            "runs_of",
            lambda paper: {
                name.partition("/")[2]: run
                for name, run in runs.items()
                if name.startswith(paper + "/")
            },
        )
