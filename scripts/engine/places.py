"""Where things are: the runs and tables of experiments/ by name, and the folders of results."""

import argparse
import importlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from experiments.records import Run, Table
from experiments.scales import at_scale, scale_and_length
from scripts.engine.files import read_json

EXPERIMENTS = Path(__file__).resolve().parents[2] / "experiments"
TRAINED_IMAGES = "images.json"  # in the folder of a run on data of one's own
OUT = Path("runs")  # where runs are kept unless the command line says otherwise


def add_place_options(parser: argparse.ArgumentParser) -> None:
    """The options that say which results a command reads or writes: --scale and --out."""
    add_scale_option(parser)
    parser.add_argument("--out", type=Path, default=OUT, metavar="DIR", help="where runs are kept")


def add_scale_option(parser: argparse.ArgumentParser) -> None:
    """The option --scale."""
    parser.add_argument(
        "--scale",
        type=scale_name,
        default="mini",
        metavar="SCALE",
        help="mini (default), lite, lite600 or paper; mini-4x is four times as long",
    )


def scale_name(text: str) -> str:
    """The name of a scale as it is typed.

    Raises:
        ArgumentTypeError: there is no such scale.
    """
    try:
        scale_and_length(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error
    return text


@dataclass(frozen=True, kw_only=True)
class RunPlace:
    """Where one trained network is kept: <out>/<scale>/<paper>/<run>/seed<seed>.

    run: its name at that scale, which is that of runs.py unless the scale makes several runs equal.
    Data of one's own have no scale and no paper: ``own_place``.
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
    def best(self) -> Path:
        """The weights with the best validation."""
        return self.folder / "best.pt"

    @property
    def last(self) -> Path:
        """The weights at the end, where a training is validated."""
        return self.folder / "last.pt"

    @property
    def metrics(self) -> Path:
        """A line for each validation."""
        return self.folder / "metrics.jsonl"

    @property
    def training_lines(self) -> Path:
        """A line for each step whose losses TensorBoard shows."""
        return self.folder / "training.jsonl"

    @property
    def status(self) -> Path:
        """Where the training stands."""
        return self.folder / "status.json"

    @property
    def starts(self) -> Path:
        """On what the training ran, each time that it was started."""
        return self.folder / "env.json"

    @property
    def data_facts(self) -> Path:
        """What the network learns from: counts and hashes."""
        return self.folder / "data.json"

    @property
    def trained_images(self) -> Path:
        """Which images of one's own are trained on."""
        return self.folder / TRAINED_IMAGES

    @property
    def tensorboard(self) -> Path:
        return self.folder / "tensorboard"

    @property
    def first_stage_proposals(self) -> Path:
        """The region proposals that recall and Figure 3 of KL-RPN are measured on."""
        return self.folder / "proposals.pt"

    def candidates(self, split: str = "", rounds: int = 1) -> Path:
        """The candidates of the images of a split.

        Args:
            split: its name; "": the run's test split.
            rounds: how often boxes went through the box head.
        """
        rounds_part = f"rounds{rounds}-" if rounds > 1 else ""
        split_part = f"_{split}" if split else ""
        return self.folder / f"{rounds_part}candidates{split_part}.pt"

    def saved_proposals(self, part: str) -> Path:
        """The proposals for Fast R-CNN of one part.

        Args:
            part: "train", "test", or "test_" and the name of another split.
        """
        return self.folder / f"proposals-{part}.npz"

    def sibling(self, run_name: str) -> "RunPlace":
        """The place of another run of the paper, with the same scale and seed.

        Args:
            run_name: its name in runs.py.
        """
        run = at_scale(find_run(f"{self.paper}/{run_name}"), self.scale)
        return replace(self, run=run.name)

    def training_facts(self) -> dict[str, Any] | None:
        """What finished.json says: updates, seconds, device; None if the training has not ended."""
        if not self.is_finished:
            return None
        return read_json(self.finished, "delete it and run the same training again")


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

    def seed_file(self, seed: int) -> Path:
        """The numbers of one seed."""
        return self.folder / f"seed{seed}.json"

    def submission(self, split: str, row: str) -> Path:
        """The file for COCO's server with the detections of one row."""
        return self.folder / "submission" / f"detections_{split}_{row}_results.json"

    def run_place(self, run: Run, seed: int) -> RunPlace:
        """Where a run of the table, at this scale, is kept."""
        return RunPlace(out=self.out, scale=self.scale, paper=self.paper, run=run.name, seed=seed)


def own_place(out: Path, recipe: str, data: str, seed: int) -> RunPlace:
    """Where a network on data of one's own is kept: <out>/own/<recipe>/<data>/seed<seed>.

    Args:
        out: the folder of all runs.
        recipe: its name in experiments/own/.
        data: the name of the data's folder.
        seed: of the training.
    """
    return RunPlace(out=out, scale="own", paper=recipe, run=data, seed=seed)


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
    """The Run called "paper/run", for example "kl_loss/vgg16_coco_kl".

    Raises:
        ValueError: if there is no such paper or run; it lists those that there are.
    """
    paper, _, run = name.partition("/")
    if paper not in papers():
        raise ValueError(
            f"There is no paper {paper!r} to take the run {name!r} from; choose one of {papers()}."
        )
    known = runs_of(paper)
    if run not in known:
        raise ValueError(
            f"There is no run {run!r} in experiments/{paper}/runs.py; choose one of {list(known)}."
        )
    return known[run]


def table_names() -> list[str]:
    """Every table in experiments/ as "paper/table", in order."""
    return sorted(
        f"{p.parent.parent.name}/{p.parent.name}" for p in EXPERIMENTS.glob("*/*/rows.py")
    )


def find_table(name: str) -> Table:
    """The Table called "paper/table", for example "kl_loss/table1".

    Raises:
        ValueError: if there is no such table; it lists those that there are.
    """
    if name not in table_names():
        raise ValueError(f"There is no table {name!r}; choose one of {table_names()}.")
    return importlib.import_module("experiments." + name.replace("/", ".") + ".rows").TABLE


def find_table_of(name: str, metric: str) -> Table:
    """The Table called "paper/table", which must be of one kind.

    Raises:
        ValueError: if there is no such table, or it has another metric.
    """
    table = find_table(name)
    if table.metric != metric:
        raise ValueError(
            f"{name} is a table of {table.metric!r}, not of {metric!r}; evaluate it as "
            f"experiments/{name}/eval.sh does."
        )
    return table
