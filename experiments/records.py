"""What an experiment is made of: TrainConfig, Run, Row, and the numbers that the papers print."""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, get_args

from data.loader import DataConfig
from models.build import ModelConfig
from postprocess.pipeline import PostprocessConfig

Optimiser = Literal["sgd", "adamw"]
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
    optimiser: Optimiser = "sgd"
    momentum: float = 0.9
    weight_decay: float = 5e-4
    bias_lr_factor: float = 2.0  # Caffe and Detectron: biases learn twice as fast
    bias_decay: bool = True  # Caffe decays biases, Detectron does not
    backbone_lr_factor: float = 1.0
    max_grad_norm: float | None = None  # clip the global gradient norm; the papers do not

    def __post_init__(self) -> None:
        if self.optimiser not in get_args(Optimiser):
            raise ValueError(f"TrainConfig.optimiser is {self.optimiser!r}; choose one of {get_args(Optimiser)}.")


@dataclass(frozen=True, kw_only=True)
class Run:
    """One network to train: its name is its folder, its start is "imagenet" or "scratch"."""

    name: str
    model: ModelConfig
    data: DataConfig
    train: TrainConfig
    start: str = "imagenet"


@dataclass(frozen=True, kw_only=True)
class Row:
    """One line of a table: a run, what happens to its candidates, and what the paper printed.

    group: a heading shared by neighbouring rows (the backbone in Table 5). cited: whom the paper quotes for the
    number, "" if the authors measured it. missing: why this row cannot be computed (yet), "" if it can.
    """

    label: str
    run: Run
    postprocess: PostprocessConfig
    published: dict[str, float] = field(default_factory=dict)
    group: str = ""
    cited: str = ""
    missing: str = ""


def published(table: str, row: int) -> dict[str, float]:
    """The numbers that line ``row`` (from 0) of ``table`` prints, from paper_tables.json."""
    return PAPER_TABLES[table]["rows"][row]["metrics"]
