"""What the command line names: runs, tables, the device, the folder that holds the data."""

import argparse
import importlib
from dataclasses import replace
from pathlib import Path

import torch

from data.build import build_dataset
from data.errors import DataError
from data.mini.ambiguous import ensure_dataset
from data.records import Dataset
from experiments.records import Run, Table
from experiments.scales import SCALES

MINI_FOLDERS = {"coco": "coco", "voc": "VOCdevkit/VOC2007"}
SHOWN = 3  # of the annotations that were left out
EXPERIMENTS = Path(__file__).resolve().parents[2] / "experiments"


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


def find_table(name: str) -> Table:
    """The Table called "paper/table", for example "kl_loss/table1"."""
    tables = sorted(f"{p.parent.parent.name}/{p.parent.name}" for p in EXPERIMENTS.glob("*/*/rows.py"))
    if name not in tables:
        raise ValueError(f"There is no table {name!r}; choose one of {tables}.")
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
