"""How long the tables of both papers take to train at full size, from counted operations.

The rates and the efficiency are assumptions; nothing here was timed on a GPU.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from experiments.records import Run
from scripts.engine.files import read_json, write_atomically
from scripts.engine.full_size.training_flops import same_cost, step_flops
from scripts.engine.places import EXPERIMENTS, find_run, find_table
from scripts.engine.table_runs import training_order

COUNTED = EXPERIMENTS / "training_flops.json"  # operations of a step for each image, by "paper/run"
RATES = {"float32": 15e12, "bf16": 40e12}  # assumed of one GPU (A100): operations a second
GPUS = 8
EFFICIENCY = 0.9  # assumed of several GPUs
SECONDS_A_DAY = 86_400
PARTS = {
    "KL Loss": ("table1", "table3", "table4", "table5", "table6", "figure5", "figure6"),
    "KL-RPN": ("table1", "table2", "figure3"),
}
FOLDERS = {"KL Loss": "kl_loss", "KL-RPN": "kl_rpn"}


@dataclass(frozen=True, kw_only=True)
class Cost:
    """What a network takes to train: images, operations, and how many GPUs a batch can use."""

    images: int
    operations: int
    gpus: int

    def days(self, rate: float, gpus: int) -> float:
        """On so many GPUs, of which a batch uses no more than it has images.

        Args:
            rate: operations a second of one GPU.
            gpus: that are there.
        """
        used = min(gpus, self.gpus)
        speed = rate if used == 1 else rate * used * EFFICIENCY
        return self.operations / speed / SECONDS_A_DAY


def tables_runs() -> dict[str, dict[str, Run]]:
    """The networks of each table or figure, "KL Loss Table 1" -> "paper/run" -> run."""
    runs = {}
    for paper, parts in PARTS.items():
        folder = FOLDERS[paper]
        for part in parts:
            title = f"{paper} {part[:-1].capitalize()} {part[-1]}"
            needed = training_order(find_table(f"{folder}/{part}"), folder, "paper")
            runs[title] = {f"{folder}/{run.name}": run for run in needed}
    return runs


def count_all() -> None:
    """Counts the operations of each kind of network that a table needs, and writes COUNTED.

    It takes one or two minutes for each on a CPU core.
    """
    counts: dict[str, int] = {}
    known = set()
    for runs in tables_runs().values():
        for name, run in runs.items():
            if same_cost(run) not in known:
                known.add(same_cost(run))
                counts[name] = step_flops(run)
                print(f"{name}: {counts[name] / 1e12:.3f} TFLOP", flush=True)
    write_atomically(COUNTED, json.dumps(counts, indent=1) + "\n")


def cost(run: Run, counts: Mapping[str, int]) -> Cost:
    """What a run takes.

    Args:
        run: at full size.
        counts: of COUNTED.

    Raises:
        ValueError: no counted run is like this one.
    """
    for name, operations in counts.items():
        if same_cost(find_run(name)) == same_cost(run):
            images = run.train.iterations * run.train.batch_size
            return Cost(images=images, operations=operations * images, gpus=run.train.batch_size)
    raise ValueError(
        f"The operations of {run.name} are not counted; `python -m scripts.training_days --count` "
        "counts those of all networks anew."
    )


def days_table() -> str:
    """The table of docs/scaling.md, as Markdown."""
    counts = read_json(COUNTED, "count anew with `python -m scripts.training_days --count`")
    tables = tables_runs()
    lines = [
        "| | networks | million images | PFLOP | GPUs a batch can use | 1 GPU, float32 | 8 GPUs, "
        "float32 | 1 GPU, bf16 | 8 GPUs, bf16 |",
        "|---|" + "---:|" * 8,
    ]
    for title, runs in tables.items():
        lines.append(days_line(title, [cost(run, counts) for run in runs.values()]))
    every = {name: run for runs in tables.values() for name, run in runs.items()}
    lines.append(days_line("all, each network once", [cost(run, counts) for run in every.values()]))
    return "\n".join(lines)


def days_line(title: str, costs: Sequence[Cost]) -> str:
    """A line of the table: the networks of ``title``, one after the other."""
    images = sum(each.images for each in costs) / 1e6
    petaflops = sum(each.operations for each in costs) / 1e15
    used = sorted({min(GPUS, each.gpus) for each in costs})
    days = [
        in_days(sum(each.days(rate, gpus) for each in costs))
        for rate in RATES.values()
        for gpus in (1, GPUS)
    ]
    cells = [title, str(len(costs)), f"{images:.2f}", f"{petaflops:,.0f}"]
    cells += [", ".join(map(str, used)), *days]
    return f"| {' | '.join(cells)} |"


def in_days(days: float) -> str:
    """Days with two digits where they are less than one, else with one behind the point."""
    return f"{days:.2f}" if days < 1 else f"{days:.1f}"
