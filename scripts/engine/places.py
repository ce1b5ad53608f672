"""Where things are: the runs and tables of experiments/ by their names, and the folders of their results."""

import argparse
import importlib
import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from data.errors import DataError
from data.loader import build_dataset
from data.mini.ambiguous import ensure_dataset
from data.records import Dataset
from experiments.records import Run, Table
from experiments.scales import SCALES

MINI_FOLDERS = {"coco": "coco", "voc": "VOCdevkit/VOC2007"}
SHOWN = 3  # of the annotations that were left out
EXPERIMENTS = Path(__file__).resolve().parents[2] / "experiments"


@dataclass(frozen=True, kw_only=True)
class RunPlace:
    """Where one trained network is kept: <out>/<scale>/<paper>/<run>/seed<seed>.

    run: its name at that scale, which is that of runs.py unless the scale makes several runs equal.
    """

    out: Path
    scale: str
    paper: str
    run: str
    seed: int

    @property
    def folder(self) -> Path:
        return self.out / self.scale / self.paper / self.run / f"seed{self.seed}"

    @property
    def name(self) -> str:
        """The folder as sentences name it: without ``out``, which differs between machines."""
        return f"{self.scale}/{self.paper}/{self.run}/seed{self.seed}"

    @property
    def record(self) -> Path:
        """The run that is trained here, as plain values."""
        return self.folder / "run.json"

    @property
    def finished(self) -> Path:
        """What the training leaves when it has ended."""
        return self.folder / "finished.json"

    @property
    def is_finished(self) -> bool:
        return self.finished.is_file()

    @property
    def has_checkpoints(self) -> bool:
        return any(self.folder.glob("step-*.pt"))

    @property
    def tensorboard(self) -> Path:
        return self.folder / "tensorboard"

    @property
    def first_stage_proposals(self) -> Path:
        """The region proposals that recall and Figure 3 of KL-RPN are measured on."""
        return self.folder / "proposals.pt"

    def candidates(self, split: str = "", rounds: int = 1) -> Path:
        """The candidates of the test images, or of another split; those of several ``rounds`` apart."""
        rounds_part = f"rounds{rounds}-" if rounds > 1 else ""
        split_part = f"_{split}" if split else ""
        return self.folder / f"{rounds_part}candidates{split_part}.pt"

    def saved_proposals(self, part: str) -> Path:
        """The proposals for Fast R-CNN, of "train", "test" or "test_" and the name of another split."""
        return self.folder / f"proposals-{part}.npz"

    def sibling(self, run_name: str) -> "RunPlace":
        """The place of another run of the paper, named as in runs.py, with the same scale and seed."""
        run = SCALES[self.scale](find_run(f"{self.paper}/{run_name}"))
        return replace(self, run=run.name)

    def training_facts(self) -> dict[str, Any] | None:
        """What finished.json says: updates, seconds, device; None if the training has not ended."""
        return json.loads(self.finished.read_text()) if self.is_finished else None


@dataclass(frozen=True, kw_only=True)
class TablePlace:
    """Where the results of one table are kept: <out>/<scale>/<paper>/<table>."""

    out: Path
    scale: str
    paper: str
    table: str

    @property
    def name(self) -> str:
        """The table as commands name it: "paper/table"."""
        return f"{self.paper}/{self.table}"

    @property
    def folder(self) -> Path:
        return self.out / self.scale / self.paper / self.table

    @property
    def published(self) -> Path:
        """The folder in experiments/ whose reports are part of the repository."""
        return EXPERIMENTS / self.paper / self.table / "results"

    def seed_file(self, seed: int) -> Path:
        """The numbers of one seed."""
        return self.folder / f"seed{seed}.json"

    def seed_files(self) -> list[Path]:
        """The numbers of every seed that was evaluated."""
        return sorted(self.folder.glob("seed*.json"))

    def submission(self, split: str, row: str) -> Path:
        """The file for COCO's server with the detections of one row."""
        return self.folder / "submission" / f"detections_{split}_{row}_results.json"

    def run_place(self, run: Run, seed: int) -> RunPlace:
        """Where a run of the table, at this scale, is kept."""
        return RunPlace(out=self.out, scale=self.scale, paper=self.paper, run=run.name, seed=seed)


def table_place(name: str, *, scale: str, out: Path) -> TablePlace:
    """The place of the table "paper/table"."""
    paper, _, table = name.partition("/")
    return TablePlace(out=out, scale=scale, paper=paper, table=table)


def seeds_of(place: RunPlace) -> list[RunPlace]:
    """The place of every seed of a run that has a folder, in the order of their names."""
    names = (folder.name for folder in sorted(place.folder.parent.glob("seed*")))
    numbers = (name.removeprefix("seed") for name in names)
    return [replace(place, seed=int(number)) for number in numbers if number.isdecimal()]


def papers() -> list[str]:
    """The papers that have runs, in order."""
    return sorted(path.parent.name for path in EXPERIMENTS.glob("*/runs.py"))


def runs_of(paper: str) -> dict[str, Run]:
    """Every Run of experiments/<paper>/runs.py by its name, in the order of the file."""
    module = importlib.import_module(f"experiments.{paper}.runs")
    return {name: value for name, value in vars(module).items() if isinstance(value, Run)}


def find_run(name: str) -> Run:
    """The Run called "paper/run", for example "kl_loss/vgg16_coco_kl"."""
    paper, _, run = name.partition("/")
    if paper not in papers():
        raise ValueError(f"There is no paper {paper!r} to take the run {name!r} from; choose one of {papers()}.")
    known = runs_of(paper)
    if run not in known:
        raise ValueError(f"There is no run {run!r} in experiments/{paper}/runs.py; choose one of {list(known)}.")
    return known[run]


def table_names() -> list[str]:
    """Every table in experiments/ as "paper/table", in order."""
    return sorted(f"{p.parent.parent.name}/{p.parent.name}" for p in EXPERIMENTS.glob("*/*/rows.py"))


def find_table(name: str) -> Table:
    """The Table called "paper/table", for example "kl_loss/table1"."""
    if name not in table_names():
        raise ValueError(f"There is no table {name!r}; choose one of {table_names()}.")
    return importlib.import_module("experiments." + name.replace("/", ".") + ".rows").TABLE


def pick_device(name: str) -> torch.device:
    """auto: CUDA if there is a GPU, else the CPU."""
    if name == "cuda" and not torch.cuda.is_available():
        raise ValueError("--device cuda: torch sees no GPU; run `make doctor`, or use --device cpu.")
    return torch.device("cuda" if name != "cpu" and torch.cuda.is_available() else "cpu")


def add_common_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments that say where and on what, never how: no hyper-parameter is among them."""
    parser.add_argument("--scale", choices=sorted(SCALES), default="mini")
    parser.add_argument("--data-root", type=Path, default=None, metavar="DIR",
                        help="folder of the data set (default: datasets/; the mini data set is rendered there)")
    parser.add_argument("--splits", default=None, metavar="TRAIN:TEST", help="use these splits instead of the run's, "
                        "for example train2017:val2017")
    parser.add_argument("--skip-bad-boxes", action="store_true", help="leave annotations without a usable box out, "
                        "each named, instead of stopping at them")
    parser.add_argument("--out", type=Path, default=Path("runs"), metavar="DIR", help="where runs are kept")
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")
    parser.add_argument("--workers", type=int, default=0, help="processes that read images; changes no result")


def on_this_data(run: Run, args: argparse.Namespace) -> Run:
    """The run on the data that the command line names: --splits (several training splits joined by "+") and
    --skip-bad-boxes."""
    data = replace(run.data, on_bad_box="skip") if args.skip_bad_boxes else run.data
    if args.splits is not None:
        train, colon, test = args.splits.partition(":")
        if not (train and colon and test):
            raise ValueError(f"--splits {args.splits!r} is not of the form TRAIN:TEST, for example train2017:val2017.")
        data = replace(data, train=tuple(train.split("+")), test=test)
    return replace(run, data=data)


def open_dataset(run: Run, args: argparse.Namespace, split: str | tuple[str, ...]) -> Dataset:
    """The data set of a split; says how many annotations were left out, and the first few of them."""
    dataset = build_dataset(run.data, data_root(args.scale, args.data_root, run.data.layout), split)
    if dataset.skipped:
        print(f"left out: {len(dataset.skipped)} annotations without a usable box, such as: "
              + " | ".join(dataset.skipped[:SHOWN]))
    return dataset


def data_root(scale: str, given: Path | None, layout: str) -> Path:
    """The folder to read; renders the mini data set on first use. Raises DataError if the folder is not there."""
    root = given or Path("datasets")
    if scale == "mini":
        ensure_dataset(root / "mini")
        return root / "mini" / MINI_FOLDERS[layout]
    if not root.is_dir():
        raise DataError(
            f"The data folder {root} does not exist; pass --data-root DIR (DATA=DIR with make), or fetch the data with "
            "`python -m scripts.get_data voc2007` or `python -m scripts.get_data coco2014`.")
    return root


def run_folder(out: Path, scale: str, run_name: str, paper: str, seed: int) -> Path:
    """Where a trained network lives: <out>/<scale>/<paper>/<run>/seed<seed>."""
    return out / scale / paper / run_name / f"seed{seed}"
