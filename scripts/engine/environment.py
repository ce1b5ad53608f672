"""What differs between machines: where the data and the runs lie, and on what the network runs.

No hyper-parameter is among it: those are in experiments/.
"""

import argparse
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from data.build import build_dataset
from data.errors import DataError
from data.layouts import find_layout
from data.mini.ambiguous import ensure_dataset
from data.records import Dataset
from experiments.records import Run
from experiments.scales import at_scale, renders_its_data
from scripts.engine.numbers import at_least_zero
from scripts.engine.places import OUT, RunPlace, TablePlace, add_place_options, table_place

DATASETS = Path("datasets")  # where data are unless the command line says otherwise
MINI_FOLDERS = {"coco": "coco", "voc": "VOCdevkit/VOC2007"}
LISTED = 3  # of the annotations that were left out


@dataclass(frozen=True, kw_only=True)
class Environment:
    """The options that all commands share, as the command line gives them.

    scale: "mini", "lite", "lite600", "paper", or a longer one such as "mini-4x". out: the folder
    below which runs and results are kept. data_root: the folder of the data set; None: datasets/.
    splits: "TRAIN:TEST" instead of the run's own.
    skip_bad_boxes: annotations without a usable box are left out instead of being an error.
    proposals: "TRAIN_FILE:TEST_FILE" for Fast R-CNN; None: those of the run that it names. device:
    "auto", "cpu" or "cuda". workers: processes that read images. unfinished: networks whose
    training has not ended are evaluated as well.
    """

    scale: str = "mini"
    out: Path = OUT
    data_root: Path | None = None
    splits: str | None = None
    skip_bad_boxes: bool = False
    proposals: str | None = None
    device: str = "auto"
    workers: int = 0
    unfinished: bool = False

    def run_place(self, paper: str, run: Run, seed: int) -> RunPlace:
        """Where a run at this scale is kept."""
        return RunPlace(out=self.out, scale=self.scale, paper=paper, run=run.name, seed=seed)

    def table_place(self, name: str) -> TablePlace:
        """Where the results of the table "paper/table" at this scale are kept."""
        return table_place(name, scale=self.scale, out=self.out)


def add_environment_options(
    parser: argparse.ArgumentParser, *, proposals: bool = False, unfinished: bool = False
) -> None:
    """Adds the options of an Environment to the parser of a command.

    Args:
        parser: of the command.
        proposals: whether the command trains or runs networks that need saved proposals.
        unfinished: whether the command evaluates networks.
    """
    add_place_options(parser)
    parser.add_argument(
        "--data-root",
        "--data",
        dest="data_root",
        type=Path,
        default=None,
        metavar="DIR",
        help="folder of the data set, which the scale mini does not read (default: datasets/)",
    )
    parser.add_argument(
        "--splits",
        default=None,
        metavar="TRAIN:TEST",
        help="use these splits instead of the run's, for example train2017:val2017",
    )
    parser.add_argument(
        "--skip-bad-boxes",
        action="store_true",
        help="leave annotations without a usable box out, each named, instead of stopping at them",
    )
    add_machine_options(parser)
    if proposals:
        parser.add_argument(
            "--proposals",
            default=None,
            metavar="TRAIN_FILE:TEST_FILE",
            help="Fast R-CNN: the boxes of these files (ours, Detectron's or Detectron2's; several "
            "joined by +) instead of its run's; a part that the command does not need may be empty",
        )
    if unfinished:
        parser.add_argument(
            "--unfinished", action="store_true", help="also use runs whose training has not ended"
        )


def add_machine_options(parser: argparse._ActionsContainer) -> None:
    """The options that say on what a command runs; no result depends on them."""
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")
    parser.add_argument(
        "--workers",
        type=at_least_zero,
        default=0,
        help="processes that read images; changes no result",
    )


def environment_from(options: dict[str, Any]) -> Environment:
    """The Environment among the options of a command line.

    Options that the command does not have keep their defaults.

    Args:
        options: ``vars`` of what the parser returns.
    """
    names = Environment.__dataclass_fields__
    return Environment(**{name: value for name, value in options.items() if name in names})


def pick_device(name: str) -> torch.device:
    """The device that "auto" (CUDA if there is a GPU, else the CPU), "cpu" or "cuda" stands for.

    Raises:
        ValueError: for "cuda" without a GPU, or another name.
    """
    if name not in ("auto", "cpu", "cuda"):
        raise ValueError(f"The device is {name!r}; choose one of auto, cpu and cuda.")
    if name == "cuda" and not torch.cuda.is_available():
        raise ValueError(
            "--device cuda: torch sees no GPU; run `make doctor`, or use --device cpu."
        )
    return torch.device("cuda" if name != "cpu" and torch.cuda.is_available() else "cpu")


def device_name(name: str) -> str:
    """What results call the device: the GPU's name, or the CPU and its number of threads."""
    device = pick_device(name)
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"CPU, {torch.get_num_threads()} threads"


def scaled_run(run: Run, environment: Environment) -> Run:
    """A run of runs.py at the scale and on the data of the environment.

    Raises:
        ValueError: if data are named that the scale would not read.
    """
    check_reads_given_data(environment)
    return on_this_data(at_scale(run, environment.scale), environment)


def check_reads_given_data(environment: Environment) -> None:
    """Checks that the scale reads the data that the command line names.

    Raises:
        ValueError: if it renders its own; it says which scales read data.
    """
    given = {"--data-root": environment.data_root, "--splits": environment.splits}
    named = [f"{option} {value}" for option, value in given.items() if value is not None]
    if named and renders_its_data(environment.scale):
        raise ValueError(
            f"{' '.join(named)}: the scale {environment.scale} renders its own scenes and reads no "
            "other data. Say which scale was meant: --scale lite or --scale paper (SCALE= with "
            "make) reads the papers' data there; `python -m scripts.train own/small --data DIR` "
            "trains on photos of your own."
        )


def on_this_data(run: Run, environment: Environment) -> Run:
    """The run with --splits (several training splits joined by "+") and --skip-bad-boxes.

    Raises:
        ValueError: if --splits does not name a training and a test split.
    """
    data = replace(run.data, on_bad_box="skip") if environment.skip_bad_boxes else run.data
    if environment.splits is not None:
        train, colon, test = environment.splits.partition(":")
        if not (train and colon and test):
            raise ValueError(
                f"--splits {environment.splits!r} is not of the form TRAIN:TEST, for example "
                "train2017:val2017."
            )
        data = replace(data, train=tuple(train.split("+")), test=test)
    return replace(run, data=data)


def open_dataset(run: Run, environment: Environment, split: str | tuple[str, ...]) -> Dataset:
    """The data set of a split; says how many annotations were left out, and names the first.

    Raises:
        ValueError: the data are not there, wrong, or in another layout than the run's at its scale.
    """
    check_reads_given_data(environment)
    root = data_root(environment.scale, environment.data_root, run.data.layout)
    try:
        dataset = build_dataset(run.data, root, split)
    except DataError as error:
        layout = layout_there(root)
        if layout in (None, run.data.layout):
            raise
        raise DataError(
            f"{root} is in the {str(layout).upper()} layout, and {run.name} at the scale "
            f"{environment.scale} reads {run.data.layout.upper()}; `python -m scripts.train "
            f"own/small --data {root}` trains on any layout."
        ) from error
    if dataset.skipped:
        listed = " | ".join(dataset.skipped[:LISTED])
        print(
            f"left out: {len(dataset.skipped)} annotations without a usable box, such as: {listed}"
        )
    return dataset


def layout_there(root: Path) -> str | None:
    """The layout of a folder; None if none is found."""
    try:
        return find_layout(root).layout
    except DataError:
        return None


def data_root(scale: str, given: Path | None, layout: str) -> Path:
    """The folder to read; renders the mini data set into datasets/ on first use.

    Args:
        scale: as in Environment.
        given: --data-root, which a scale that renders its data does not have; None: datasets/.
        layout: "coco" or "voc".

    Raises:
        DataError: if the folder is not there.
    """
    root = given or DATASETS
    if renders_its_data(scale):
        ensure_dataset(DATASETS / "mini")
        return DATASETS / "mini" / MINI_FOLDERS[layout]
    if not root.is_dir():
        raise DataError(
            f"The data folder {root} does not exist; pass --data-root DIR (DATA=DIR with make), or "
            "fetch the data with `python -m scripts.get_data voc2007` or `python -m "
            "scripts.get_data coco2014`."
        )
    return root
