"""Evaluates a table: python -m scripts.evaluate kl_loss/table1 --scale mini --seeds 3

One forward pass for each network and seed writes its candidates to disk; every row is then a pure post-processing of
them. A row whose network is not trained stays in the result as "not run".
"""

import argparse
import json
import math
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from tqdm import tqdm

from data.calibration import evaluate_calibration
from data.coco_eval import coco_tables, evaluate_coco, summarise, summarise_per_class
from data.loader import test_batches
from data.records import Candidates, Dataset, Detections, Target
from data.voc_eval import evaluate_voc
from experiments.records import Row, Run
from experiments.scales import SCALES
from postprocess.pipeline import postprocess
from scripts.candidates import load_candidates, save_candidates
from scripts.checkpoint import recorded_sha256, write_atomically
from scripts.command import exit_code
from scripts.cost import COST_COLUMNS, row_costs
from scripts.lookup import add_common_arguments, find_table, on_this_data, open_dataset, pick_device, run_folder
from scripts.trained import trained_detector, trained_run

BATCH = 4  # images a forward pass
IMAGES_AT_ONCE = 64  # post-processed together
OTHER_SCRIPTS = {"latency": "benchmark", "recall": "recall", "figure3": "figure3"}  # metric -> script


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("table", help="paper/table, for example kl_loss/table1")
    add_common_arguments(parser)
    parser.add_argument("--seeds", type=int, default=1, help="evaluate seeds 0 .. SEEDS-1")
    parser.add_argument("--unfinished", action="store_true", help="also evaluate runs whose training has not ended")
    return parser.parse_args()


def run_candidates(run: Run, folder: Path, dataset: Dataset, args: argparse.Namespace, threshold: float,
                   name: str = "candidates.pt") -> tuple[list[Candidates], int, int] | None:
    """Candidates of every test image and the network's updates, done and planned; None if there is none to evaluate.

    They are kept in the file ``name`` in ``folder``.

    Raises: ValueError if the checkpoint is of another configuration or another number of classes.
    """
    trained = trained_run(run, folder, dataset, args)
    if trained is None:
        return None
    run, path, state = trained
    progress = state["step"], state["run"]["train"]["iterations"]
    key = {"checkpoint": recorded_sha256(path), "threshold": threshold,
           "images": [str(image) for image in dataset.image_ids], "sizes": [list(size) for size in dataset.sizes]}
    stored = load_candidates(folder / name, key)
    if stored is not None:
        return stored, *progress
    device = pick_device(args.device)
    detector = trained_detector(run, state, device)
    found: list[Candidates] = []
    batches = test_batches(dataset, run.data, batch_size=BATCH, workers=args.workers)
    began = time.monotonic()
    for batch in tqdm(batches, total=math.ceil(len(dataset) / BATCH), desc=f"{run.name} candidates",
                      disable=not sys.stderr.isatty()):
        found += [image.to("cpu") for image in detector.candidates(batch.to(device), threshold)]
    print(f"{run.name}: {len(found)} images, {sum(len(c.scores) for c in found)} candidates, "
          f"{len(found) / (time.monotonic() - began):.1f} img/s on {device}", flush=True)
    save_candidates(folder / name, found, key)
    return found, *progress


def detections_of(candidates: Sequence[Candidates], row: Row) -> list[Detections]:
    found: list[Detections] = []
    for start in range(0, len(candidates), IMAGES_AT_ONCE):
        found += postprocess(candidates[start : start + IMAGES_AT_ONCE], row.postprocess)
    return found


def score(detections: list[Detections], targets: list[Target], metric: str, classes: tuple[str, ...]) -> dict[str, Any]:
    """All numbers of one row. With known clean boxes also the same numbers against them, under "clean"."""
    count = len(classes)
    if metric == "coco":
        # COCO's protocol knows crowds, not difficult objects: on VOC labels these are ignored in the same way
        targets = [replace(target, crowd=target.crowd | target.difficult) for target in targets]
        tables = coco_tables(detections, targets, count)
        scores: dict[str, Any] = dict(summarise(*tables))
        per_class = [line["AP"] for line in summarise_per_class(*tables)]
        scores["per_class"] = dict(zip(classes, per_class, strict=True))
    else:
        voc = evaluate_voc(detections, targets, count)
        scores = {"mAP": voc["mAP"], "per_class": dict(zip(classes, voc["AP_per_class"], strict=True))}
        for name, iou, eleven in (("mAP75", 0.75, True), ("mAP90", 0.9, True), ("mAP_area", 0.5, False)):
            scores[name] = evaluate_voc(detections, targets, count, iou_threshold=iou, eleven_point=eleven)["mAP"]
    scores |= evaluate_calibration(detections, targets)
    if metric == "coco" and all(target.clean_boxes is not None for target in targets):
        clean = [Target(boxes=t.clean_boxes, labels=t.labels) for t in targets if t.clean_boxes is not None]
        scores["clean"] = evaluate_coco(detections, clean, count)
    return scores


def evaluate_seed(table: ModuleType, paper: str, args: argparse.Namespace, seed: int,
                  datasets: dict[tuple[str, str], tuple[Dataset, list[Target]]]) -> list[dict[str, Any]]:
    """Every row of one seed. ``datasets`` keeps what was opened, by layout and split, for the next seed."""
    scaled = {row.run.name: on_this_data(SCALES[args.scale](row.run), args) for row in table.ROWS}
    thresholds = {run.name: min(row.postprocess.score_threshold for row in table.ROWS
                                if scaled[row.run.name].name == run.name) for run in scaled.values()}
    networks: dict[str, tuple[list[Candidates], int, int] | None] = {}
    done: dict[tuple[str, str], dict[str, Any]] = {}
    rows = []
    for row in table.ROWS:
        run = scaled[row.run.name]
        kind = (run.data.layout, run.data.test)
        if kind not in datasets:
            dataset = open_dataset(run, args, run.data.test)
            datasets[kind] = dataset, [dataset.target(i) for i in range(len(dataset))]
        dataset, targets = datasets[kind]
        folder = run_folder(args.out, args.scale, run.name, paper, seed)
        if run.name not in networks:
            networks[run.name] = run_candidates(run, folder, dataset, args, thresholds[run.name])
        network = networks[run.name]
        line: dict[str, Any] = {"group": row.group, "label": row.label, "run": run.name, "metrics": None}
        if row.missing or network is None:
            line["why"] = row.missing or f"no trained network in {folder.relative_to(args.out)}"
        else:
            same = (run.name, repr(row.postprocess))
            if same not in done:
                done[same] = score(detections_of(network[0], row), targets, table.METRIC, dataset.classes)
            finished = folder / "finished.json"
            line |= {"metrics": done[same], "updates": network[1], "of_updates": network[2],
                     "training": json.loads(finished.read_text()) if finished.is_file() else None}
            shown = "  ".join(f"{c} {done[same][c]:.1f}" for c in table.COLUMNS if c in done[same])
            print(f"{row.group}{': ' if row.group else ''}{row.label}: {shown}", flush=True)
        rows.append(line)
    if COST_COLUMNS & set(table.COLUMNS):
        folders = {name: run_folder(args.out, args.scale, run.name, paper, seed) for name, run in scaled.items()}
        costs = row_costs(table.ROWS, scaled, folders, dataset, args)
        rows = [line if line["metrics"] is None else {**line, "metrics": with_costs(line["metrics"], cost)}
                for line, cost in zip(rows, costs, strict=True)]
    return rows


def with_costs(metrics: dict[str, Any], costs: dict[str, Any]) -> dict[str, Any]:
    """The numbers of a row with its costs, which are the same whatever it is scored on."""
    clean = {"clean": {**metrics["clean"], **costs}} if "clean" in metrics else {}
    return {**metrics, **costs, **clean}


def evaluate(args: argparse.Namespace) -> None:
    paper, _, name = args.table.partition("/")
    table = find_table(args.table)
    if table.METRIC in OTHER_SCRIPTS:
        raise ValueError(f"{args.table} is not scored from candidates; use `python -m scripts."
                         f"{OTHER_SCRIPTS[table.METRIC]} {args.table}`.")
    datasets: dict[tuple[str, str], tuple[Dataset, list[Target]]] = {}
    for seed in range(args.seeds):
        rows = evaluate_seed(table, paper, args, seed, datasets)
        path = args.out / args.scale / paper / name / f"seed{seed}.json"
        write_atomically(path, json.dumps(json_safe({"table": args.table, "scale": args.scale, "seed": seed,
                                                     "device": device_name(args.device), "rows": rows}), indent=1))
        ran = sum(row["metrics"] is not None for row in rows)
        print(f"{args.table}, seed {seed}: {ran} of {len(rows)} rows -> {path}", flush=True)


def json_safe(value: Any) -> Any:
    """NaN and infinities become null, which JSON knows."""
    if isinstance(value, dict):
        return {key: json_safe(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [json_safe(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def device_name(asked: str) -> str:
    device = pick_device(asked)
    return torch.cuda.get_device_name(device) if device.type == "cuda" else f"CPU, {torch.get_num_threads()} threads"


def main() -> int:
    args = arguments()
    return exit_code(lambda: evaluate(args))


if __name__ == "__main__":
    sys.exit(main())
