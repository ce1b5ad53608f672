"""What an experiment is made of: TrainConfig, Run, Row, and the numbers that the papers print."""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

from data.config import DataConfig
from models.build import ModelConfig
from postprocess.pipeline import PostprocessConfig
from postprocess.refine import Refinement

Optimizer = Literal["sgd", "adam", "adamw"]
PAPER_TABLES = json.loads((Path(__file__).parent / "paper_tables.json").read_text())


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """How a network is trained. Defaults: py-faster-rcnn's SGD."""

    batch_size: int  # images an update
    iterations: int  # updates
    lr: float  # for that batch size
    lr_drops: tuple[int, ...]  # updates after which the rate is multiplied by lr_drop_factor
    lr_drop_factor: float = 0.1
    warmup_iterations: int = 0  # linear warm-up
    warmup_factor: float = 1 / 3  # of lr, at the first update
    optimizer: Optimizer = "sgd"  # "adam" adds the decay to the gradient, "adamw" decouples it
    momentum: float = 0.9
    weight_decay: float = 5e-4
    bias_lr_factor: float = 2.0  # Caffe and Detectron: biases learn twice as fast
    bias_decay: bool = True  # Caffe decays biases, Detectron does not
    backbone_lr_factor: float = 1.0
    max_grad_norm: float | None = None  # clip the global gradient norm; the papers do not
    roi_loss_weight: float = 1.0  # of the second stage's losses; 10 in KL-RPN Eq. 9
    only: str = ""  # the one part of the network that learns, all else stays as it starts; "": whatever is not frozen

    def __post_init__(self) -> None:
        if self.optimizer not in get_args(Optimizer):
            raise ValueError(f"TrainConfig.optimizer is {self.optimizer!r}; choose one of {get_args(Optimizer)}.")


@dataclass(frozen=True, kw_only=True)
class Run:
    """One network to train: its name is its folder.

    start: "imagenet", "scratch", or the name of another run of the paper, whose finished network it starts from.
    short_mini: whether the mini scale trains it for a shorter time: tables of many networks should end in minutes, too.
    passes: 1 for Detectron's "1x" schedule, 2 for "2x"; mini and lite lengthen theirs by it. 0: other schedules.
    proposals: the run whose region proposal network proposed, for Fast R-CNN; "" if the network has its own. Like
    start it is a name of runs.py at every scale.
    """

    name: str
    model: ModelConfig
    data: DataConfig
    train: TrainConfig
    start: str = "imagenet"
    short_mini: bool = False
    passes: int = 0
    proposals: str = ""


@dataclass(frozen=True, kw_only=True)
class Row:
    """One line of a table: a run, what happens to its candidates, and what the paper printed.

    group: a heading shared by neighboring rows (the backbone in Table 5). cited: whom the paper quotes for the
    number, "" if the authors measured it. missing: why this row cannot be computed (yet), "" if it can. added: a row of
    ours that the paper does not have. rounds: how often boxes go through the box head (2: MR-CNN's iterative
    localization). refine: IoU-Net's refinement of the detections, None for none.
    """

    label: str
    run: Run
    postprocess: PostprocessConfig
    published: dict[str, float] = field(default_factory=dict)
    group: str = ""
    cited: str = ""
    missing: str = ""
    added: bool = False
    rounds: int = 1
    refine: Refinement | None = None


def epoch_schedule(*, images: int, batch_size: int, epochs: int, drop_every: int) -> dict[str, Any]:
    """``iterations`` and ``lr_drops`` of a TrainConfig, in epochs of faster-rcnn.pytorch (each image and its mirror).

    The rate drops at the start of each epoch (counted from 1) that ``drop_every`` + 1 divides.
    """
    each = 2 * images // batch_size
    drops = tuple((epoch - 1) * each for epoch in range(drop_every + 1, epochs + 1, drop_every + 1))
    return {"batch_size": batch_size, "iterations": epochs * each, "lr_drops": drops}


def published(table: str, row: int) -> dict[str, float]:
    """The numbers that line ``row`` (from 0) of ``table`` prints, from paper_tables.json."""
    return PAPER_TABLES[table]["rows"][row]["metrics"]
