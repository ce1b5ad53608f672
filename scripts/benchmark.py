"""Latency of a table's networks: python -m scripts.benchmark kl_loss/table2 --scale paper --device auto

All rows are timed in one process, in turn (A B A B ...), so that a warm or busy machine slows both alike; numbers are
medians. Weights are random, which costs the same time as trained ones, except that hardly any score is above the
threshold. So the network's threshold is set to let through as many candidates as a trained network gives, and the
post-processing is timed on synthetic candidates (scripts/engine/synthetic.py), the same boxes for every row.
The core operations (scripts/engine/operations.py) are timed in the same process.
"""

import argparse
import json
import sys
from dataclasses import replace
from pathlib import Path

import torch

from data.records import Batch, Candidates
from experiments.records import Row, Run
from experiments.scales import SCALES
from models.build import build_detector
from models.detector import Detector
from postprocess.pipeline import postprocess
from scripts.engine.checkpoint import write_atomically
from scripts.engine.command import exit_code
from scripts.engine.operations import time_operations
from scripts.engine.optimizer import build_optimizer, set_learning_rate
from scripts.engine.places import find_table, pick_device
from scripts.engine.provenance import commit_and_date
from scripts.engine.synthetic import largest_size, random_batch, tame, trained_candidates
from scripts.engine.timing import Action, Times, interleaved
from scripts.engine.update import update
from scripts.evaluate import device_name
from scripts.reports.results import markdown_table


def threshold_for(detector: Detector, batch: Batch, wanted: int) -> float:
    """The score threshold that lets through ``wanted`` candidates of an untrained network (fewer if it has fewer)."""
    scores = detector.candidates(batch, 0.0)[0].scores.sort(descending=True).values
    return float(scores[wanted]) if len(scores) > wanted else 0.0


def time_rows(rows: tuple[Row, ...], runs: list[Run], repeats: int, device: torch.device, train_step: bool
              ) -> list[dict[str, float]]:
    """For each row latency, network and post-processing in ms, and the ratio of its latency to the first row's."""
    data = runs[0].data
    size = largest_size(data)
    classes = runs[0].model.num_classes
    generator = torch.Generator().manual_seed(0)
    batch = random_batch(images=1, size=size, pixels=data.pixels, num_classes=classes, generator=generator).to(device)
    full = trained_candidates(size=size, num_classes=classes, generator=generator).to(device)
    print(f"image {size[0]} x {size[1]} px of noise, random weights; synthetic candidates: {len(full.scores)} boxes of "
          f"{classes} classes, the same for every row; medians (quartiles) of {repeats} calls in turn, ms", flush=True)
    torch.manual_seed(0)
    detectors = {run.name: build_detector(run.model).to(device).eval() for run in runs}
    for detector in detectors.values():
        tame(detector)
    thresholds = {name: threshold_for(detector, batch, len(full.scores)) for name, detector in detectors.items()}

    def actions(row: Row, run: Run) -> tuple[Action, Action, Action]:
        boxes = full if run.model.log_variance else replace(full, variances=None, pixel_variances=None)

        def network() -> list[Candidates]:
            return detectors[run.name].candidates(batch, thresholds[run.name])

        return (network, lambda: postprocess([boxes], row.postprocess),
                lambda: (network(), postprocess([boxes], row.postprocess)))

    network, after, both = zip(*[actions(row, run) for row, run in zip(rows, runs, strict=True)], strict=True)
    timed = {name: interleaved(list(part), repeats, device)
             for name, part in (("latency", both), ("network", network), ("postprocess", after))}
    if train_step:
        timed["train_step"] = time_steps(detectors, runs, repeats, device)
    first = timed["latency"][0].median
    print(markdown_table(["row", "run", *[f"{name} ms" for name in timed], "ratio"],
                         [[row.label, run.name, *[str(times[i]) for times in timed.values()],
                           f"{timed['latency'][i].median / first:.3f}"]
                          for i, (row, run) in enumerate(zip(rows, runs, strict=True))]), flush=True)
    return [{**{f"{name}_ms": times[i].median for name, times in timed.items()},
             "latency_q1_ms": timed["latency"][i].q1, "latency_q3_ms": timed["latency"][i].q3,
             "ratio": timed["latency"][i].median / first, "candidates": len(full.scores), "repeats": repeats}
            for i in range(len(rows))]


def time_steps(detectors: dict[str, Detector], runs: list[Run], repeats: int, device: torch.device) -> list[Times]:
    """One training step of each run, at learning rate 0: the work of a step, on weights that stay as they are."""
    scaler = torch.amp.GradScaler(device.type, enabled=False)

    def step(run: Run) -> Action:
        data, detector = run.data, detectors[run.name].train()
        detector.freeze(run.model.frozen_stages)
        optimizer = build_optimizer(detector, run.train)
        set_learning_rate(optimizer, 0.0)
        batch = random_batch(images=run.train.batch_size, size=largest_size(data), pixels=data.pixels,
                             num_classes=run.model.num_classes, generator=torch.Generator().manual_seed(1)).to(device)
        return lambda: update(detector, optimizer, scaler, [batch], step=0, seed=0, max_norm=run.train.max_grad_norm,
                              roi_loss_weight=run.train.roi_loss_weight)

    return interleaved([step(run) for run in runs], repeats, device)


def benchmark(args: argparse.Namespace) -> None:
    table = find_table(args.table)
    if table.metric != "latency":
        raise ValueError(f"{args.table} is scored by {table.metric!r}, not by time; use python -m scripts.evaluate.")
    if args.repeats < 1:
        raise ValueError(f"--repeats {args.repeats} measures nothing; give 1 or more.")
    device = pick_device(args.device)
    runs = [SCALES[args.scale](row.run) for row in table.rows]
    print(f"{table.title}; scale {args.scale}; {device_name(args.device)}; torch {torch.__version__}", flush=True)
    metrics = time_rows(table.rows, runs, args.repeats, device, args.train_step)
    rows = [{"group": row.group, "label": row.label, "run": run.name, "metrics": values}
            for row, run, values in zip(table.rows, runs, metrics, strict=True)]
    about = {"table": args.table, "scale": args.scale, "seed": 0, "device": device_name(args.device),
             **commit_and_date()}
    path = args.out / args.scale / args.table / "seed0.json"
    write_atomically(path, json.dumps({**about, "rows": rows}, indent=1))
    operations = time_operations(runs[0], args.repeats, device)
    operations_path = args.out / args.scale / "benchmark.json"
    write_atomically(operations_path, json.dumps({**about, "operations": operations}, indent=1))
    print(f"-> {path} and {operations_path}")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("table", help="paper/table that is measured in time, for example kl_loss/table2")
    parser.add_argument("--scale", choices=sorted(SCALES), default="mini")
    parser.add_argument("--out", type=Path, default=Path("runs"), metavar="DIR", help="where results are kept")
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")
    parser.add_argument("--repeats", type=int, default=20, help="timed calls of each")
    parser.add_argument("--train-step", action="store_true", help="also time one training step of each run")
    args = parser.parse_args()
    return exit_code(lambda: benchmark(args))


if __name__ == "__main__":
    sys.exit(main())
