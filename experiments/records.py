"""What an experiment is made of: TrainConfig, Run, Row, Table."""

from collections import Counter
from dataclasses import KW_ONLY, dataclass, field
from typing import Any, Literal, get_args

from data.config import DataConfig
from models.build import ModelConfig
from postprocess.pipeline import PostprocessConfig
from postprocess.refine import Refinement

Optimizer = Literal["sgd", "adam", "adamw"]
Metric = Literal["coco", "voc", "latency", "recall", "first_stage", "figure3", "figure5"]
Command = Literal[
    "evaluate",
    "evaluate_length",
    "benchmark",
    "recall",
    "first_stage",
    "first_stage_length",
    "figure3",
    "figure5",
    "figure6",
]


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
    trainable_part: str = ""  # the one submodule that is trained; "": whatever is not frozen

    def __post_init__(self) -> None:
        if self.optimizer not in get_args(Optimizer):
            raise ValueError(
                f"TrainConfig.optimizer is {self.optimizer!r}; choose one of {get_args(Optimizer)}."
            )


@dataclass(frozen=True, kw_only=True)
class Run:
    """One network to train: its name is its folder.

    start: "imagenet", "scratch", or the name of another run of the paper, whose finished network it
    starts from. Without another run mini starts from scratch and lite from ImageNet.
    short_mini: whether the mini scale trains it for a shorter time: tables of many networks should
    end in minutes, too.
    passes: 1 for Detectron's "1x" schedule, 2 for "2x"; mini and lite lengthen theirs by it. 0:
    other schedules.
    printed_optimizer: whether the small scales keep the run's own optimizer, rate and clipping
    instead of giving it theirs.
    nms_iou: the threshold of plain NMS in the run's tables, and when it detects in photos.
    proposals: the run whose region proposal network proposed, for Fast R-CNN; "" if the network has
    its own. Like start it is a name of runs.py at every scale.
    """

    name: str
    model: ModelConfig
    data: DataConfig
    train: TrainConfig
    start: str = "imagenet"
    short_mini: bool = False
    passes: int = 0
    printed_optimizer: bool = False
    nms_iou: float = 0.3
    proposals: str = ""


@dataclass(frozen=True)
class Row:
    """One line of a table: a run, what happens to its candidates, and what the paper printed.

    printed: the paper's numbers, one for each of ``Table.columns``, None where it prints none; ()
    for a row of ours.
    group: a heading shared by neighboring rows (the backbone in Table 5). cited: whom the paper
    quotes for the number, "" if the authors measured it. missing: why this row cannot be computed
    (yet), "" if it can. added: a row of ours that the paper does not have; so are all rows of a
    table of ours. rounds: how often boxes go through the box head (2: MR-CNN's iterative
    localization). refine: IoU-Net's refinement of the detections, None for none.
    """

    label: str
    run: Run
    postprocess: PostprocessConfig
    printed: tuple[float | None, ...] = ()
    _: KW_ONLY
    group: str = ""
    cited: str = ""
    missing: str = ""
    added: bool = False
    rounds: int = 1
    refine: Refinement | None = None

    @property
    def name(self) -> str:
        """Group and label."""
        return f"{self.group}: {self.label}" if self.group else self.label


@dataclass(frozen=True, kw_only=True)
class Table:
    """A table or figure of a paper, or one of ours: what is run, what is measured, and what is
    compared.

    metric: how rows are scored. command: how it is measured (scripts/engine/table_runs.py).
    columns: the paper's; extra: ours, shown apart. comparisons: what the paper reads from the
    table, (row, minus row) by their labels, within each group. notes: sentences below the report
    of a scale.
    """

    title: str
    metric: Metric
    rows: tuple[Row, ...]
    columns: tuple[str, ...] = ()
    extra: tuple[str, ...] = ()
    comparisons: tuple[tuple[str, str], ...] = ()
    notes: dict[str, tuple[str, ...]] = field(default_factory=dict)
    command: Command = "evaluate"

    def __post_init__(self) -> None:
        for name, choices in (("metric", Metric), ("command", Command)):
            if getattr(self, name) not in get_args(choices):
                raise ValueError(
                    f"Table.{name} is {getattr(self, name)!r}; choose one of {get_args(choices)}."
                )
        self._check_labels()
        for row in self.rows:
            if row.printed and len(row.printed) != len(self.columns):
                raise ValueError(
                    f"{self.title}: the row {row.name!r} prints {len(row.printed)} numbers, the "
                    f"table has {len(self.columns)} columns; give one a column, None where the "
                    "paper prints none."
                )

    def _check_labels(self) -> None:
        """Checks that the labels of the rows differ and that the comparisons name such labels."""
        for name, uses in Counter(row.name for row in self.rows).items():
            if uses > 1:
                raise ValueError(
                    f"{self.title}: two rows are called {name!r}; give each its own label."
                )
        unknown = {label for pair in self.comparisons for label in pair}
        unknown -= {row.label for row in self.rows}
        if unknown:
            raise ValueError(
                f"{self.title}: a comparison names {min(unknown)!r}, and no row has that label."
            )

    def printed(self, row: Row) -> dict[str, float]:
        """What the paper prints in a row, by column."""
        printed = zip(self.columns, row.printed, strict=False)
        return {column: value for column, value in printed if value is not None}


def epoch_schedule(*, images: int, batch_size: int, epochs: int, drop_every: int) -> dict[str, Any]:
    """``batch_size``, ``iterations`` and ``lr_drops`` of a TrainConfig from epochs.

    An epoch is that of faster-rcnn.pytorch: each image and its mirror. The rate drops at the start
    of each epoch (counted from 1) that ``drop_every`` + 1 divides.
    """
    each = 2 * images // batch_size
    drops = tuple((epoch - 1) * each for epoch in range(drop_every + 1, epochs + 1, drop_every + 1))
    return {"batch_size": batch_size, "iterations": epochs * each, "lr_drops": drops}
