"""Evaluates a table: python -m scripts.evaluate kl_loss/table1 --scale mini --seeds 3

One forward pass for each network and seed writes its candidates to disk; every row is then a pure post-processing of
them, and where a row asks for refinement or masks, a second look at the image (engine/second_look.py). A row whose
network is not trained stays in the result as "not run".
"""

import argparse
import json
import math
import sys
import time
from collections.abc import Hashable, Sequence
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import torch
from tqdm import tqdm

from data.formats.masks import Rle
from data.loader import test_batches
from data.records import Candidates, Dataset, Detections, Target
from data.sampler import in_order
from data.scoring.calibration import evaluate_calibration
from data.scoring.coco import coco_tables, evaluate_coco, summarize, summarize_per_class
from data.scoring.voc import evaluate_voc
from experiments.records import Row, Run
from experiments.scales import SCALES
from postprocess.pipeline import postprocess
from postprocess.refine import Refinement
from scripts.engine.candidates import load_candidates, save_candidates
from scripts.engine.checkpoint import recorded_sha256, write_atomically
from scripts.engine.command import exit_code
from scripts.engine.cost import COST_COLUMNS, row_costs
from scripts.engine.places import add_common_arguments, find_table, on_this_data, open_dataset, pick_device, run_folder
from scripts.engine.second_look import Look, second_look
from scripts.engine.trained import trained_detector, trained_run
from scripts.save_proposals import add_proposals_argument, ensure_proposals

BATCH = 4  # images a forward pass
IMAGES_AT_ONCE = 64  # post-processed together
OTHER_SCRIPTS = {"latency": "benchmark", "recall": "recall", "figure3": "figure3",
                 "figure5": "figure5"}  # metric -> script


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("table", help="paper/table, for example kl_loss/table1")
    add_common_arguments(parser)
    add_proposals_argument(parser)
    parser.add_argument("--seeds", type=int, default=1, help="evaluate seeds 0 .. SEEDS-1")
    parser.add_argument("--unfinished", action="store_true", help="also evaluate runs whose training has not ended")
    return parser.parse_args()


def run_candidates(run: Run, folder: Path, dataset: Dataset, args: argparse.Namespace, threshold: float,
                   name: str = "candidates.pt", rounds: int = 1) -> tuple[list[Candidates], int, int] | None:
    """Candidates of every test image and the network's updates, done and planned; None if there is none to evaluate.

    They are kept in the file ``name`` in ``folder``, which starts with "candidates"; those of several ``rounds``
    through the box head in a file of their own.

    Raises: ValueError if the checkpoint is of another configuration or another number of classes.
    """
    trained = trained_run(run, folder, dataset, args)
    if trained is None:
        return None
    run, path, state = trained
    progress = state["step"], state["run"]["train"]["iterations"]
    key = {"checkpoint": recorded_sha256(path), "threshold": threshold,
           "images": [str(image) for image in dataset.image_ids], "sizes": [list(size) for size in dataset.sizes]}
    proposals = ensure_proposals(run, folder, args, dataset, "test" + Path(name).stem.removeprefix("candidates"))
    if proposals is not None:
        key["proposals"] = proposals.key
    if rounds > 1:
        key["rounds"], name = rounds, f"rounds{rounds}-{name}"
    stored = load_candidates(folder / name, key)
    if stored is not None:
        return stored, *progress
    device = pick_device(args.device)
    detector = trained_detector(run, state, device)
    found: list[Candidates] = []
    indices: list[int] = []
    batches = test_batches(dataset, run.data, batch_size=BATCH, workers=args.workers, proposals=proposals)
    began = time.monotonic()
    with tqdm(total=len(dataset), desc=f"{run.name} candidates", disable=not sys.stderr.isatty()) as bar:
        for batch in batches:
            found += [image.to("cpu") for image in detector.candidates(batch.to(device), threshold, rounds=rounds)]
            indices += batch.indices
            bar.update(len(batch.indices))
    found = in_order(found, indices)
    print(f"{run.name}: {len(found)} images, {sum(len(c.scores) for c in found)} candidates, "
          f"{len(found) / (time.monotonic() - began):.1f} img/s on {device}", flush=True)
    save_candidates(folder / name, found, key)
    return found, *progress


def detections_of(candidates: Sequence[Candidates], row: Row) -> list[Detections]:
    found: list[Detections] = []
    for start in range(0, len(candidates), IMAGES_AT_ONCE):
        found += postprocess(candidates[start : start + IMAGES_AT_ONCE], row.postprocess)
    return found


class Network(NamedTuple):
    """What one trained network gives to all its rows, by ``way(row)``, and its updates, done and planned."""

    looks: dict[Hashable, Look]
    updates: int
    of_updates: int


def way(row: Row) -> str:
    """How a row comes from its network: rows that say the same have the same detections."""
    return repr((row.postprocess, row.rounds, row.refine))


def look_at(rows: Sequence[Row], run: Run, folder: Path, dataset: Dataset, args: argparse.Namespace) -> Network | None:
    """The detections of all rows of one network; None if there is no network to evaluate."""
    threshold = min(row.postprocess.score_threshold for row in rows)
    asked: dict[Hashable, tuple[list[Detections], Refinement | None]] = {}
    progress = 0, 0
    for rounds in sorted({row.rounds for row in rows}):
        found = run_candidates(run, folder, dataset, args, threshold, rounds=rounds)
        if found is None:
            return None
        progress = found[1:]
        for row in rows:
            if row.rounds == rounds and way(row) not in asked:
                asked[way(row)] = detections_of(found[0], row), row.refine
    return Network(second_look(run, folder, dataset, args, asked), *progress)


def score(look: Look, targets: list[Target], segments: Sequence[list[Rle]] | None, metric: str,
          classes: tuple[str, ...]) -> dict[str, Any]:
    """All numbers of one row. With known clean boxes also the same numbers against them, under "clean"; with masks
    (``segments``: those of the targets) the mask AP as well."""
    detections, count = look.detections, len(classes)
    if metric == "coco":
        # COCO's protocol knows crowds, not difficult objects: on VOC labels these are ignored in the same way
        targets = [replace(target, crowd=target.crowd | target.difficult) for target in targets]
        tables = coco_tables(detections, targets, count)
        scores: dict[str, Any] = dict(summarize(*tables))
        per_class = [line["AP"] for line in summarize_per_class(*tables)]
        scores["per_class"] = dict(zip(classes, per_class, strict=True))
    else:
        voc = evaluate_voc(detections, targets, count)
        scores = {"mAP": voc["mAP"], "per_class": dict(zip(classes, voc["AP_per_class"], strict=True))}
        for name, iou, eleven in (("mAP75", 0.75, True), ("mAP90", 0.9, True), ("mAP_area", 0.5, False)):
            scores[name] = evaluate_voc(detections, targets, count, iou_threshold=iou, eleven_point=eleven)["mAP"]
    if look.segments is not None and segments is not None:
        masks = evaluate_coco(detections, targets, count, (look.segments, segments))
        scores |= {f"mask_{name}": masks[name] for name in ("AP", "AP50", "AP75", "APS", "APM", "APL")}
    scores |= evaluate_calibration(detections, targets)
    if metric == "coco" and all(target.clean_boxes is not None for target in targets):
        clean = [Target(boxes=t.clean_boxes, labels=t.labels) for t in targets if t.clean_boxes is not None]
        scores["clean"] = evaluate_coco(detections, clean, count)
    return scores


class TestSet(NamedTuple):
    """A data set to score on: its targets and, for mask AP, its segments."""

    dataset: Dataset
    targets: list[Target]
    segments: list[list[Rle]] | None


TestSets = dict[tuple[str, str, bool], TestSet]  # by layout, split and whether masks are scored


def opened(test_sets: TestSets, run: Run, args: argparse.Namespace) -> TestSet:
    """The test set of a run, opened once."""
    kind = (run.data.layout, run.data.test, run.model.mask)
    if kind not in test_sets:
        dataset = open_dataset(run, args, run.data.test)
        images = range(len(dataset))
        segments = [dataset.segments(i) for i in images] if run.model.mask else None
        test_sets[kind] = TestSet(dataset, [dataset.target(i) for i in images], segments)
    return test_sets[kind]


def evaluate_seed(table: ModuleType, paper: str, args: argparse.Namespace, seed: int,
                  test_sets: TestSets) -> list[dict[str, Any]]:
    """Every row of one seed. ``test_sets`` keeps what was opened for the next seed."""
    scaled = {row.run.name: on_this_data(SCALES[args.scale](row.run), args) for row in table.ROWS}
    networks: dict[str, Network | None] = {}
    done: dict[tuple[str, str], dict[str, Any]] = {}
    rows = []
    for row in table.ROWS:
        run = scaled[row.run.name]
        folder = run_folder(args.out, args.scale, run.name, paper, seed)
        if run.name not in networks:
            same_run = [other for other in table.ROWS if scaled[other.run.name].name == run.name and not other.missing]
            trained = bool(same_run) and any(folder.glob("step-*.pt"))  # an untrained row needs no data set
            networks[run.name] = (
                look_at(same_run, run, folder, opened(test_sets, run, args).dataset, args) if trained else None)
        network = networks[run.name]
        line: dict[str, Any] = {"group": row.group, "label": row.label, "run": run.name, "metrics": None}
        if row.missing or network is None:
            line["why"] = row.missing or f"no trained network in {folder.relative_to(args.out)}"
        else:
            dataset, targets, segments = opened(test_sets, run, args)
            same = (run.name, way(row))
            if same not in done:
                done[same] = score(network.looks[way(row)], targets, segments, table.METRIC, dataset.classes)
            finished = folder / "finished.json"
            line |= {"metrics": done[same], "updates": network.updates, "of_updates": network.of_updates,
                     "training": json.loads(finished.read_text()) if finished.is_file() else None}
            shown = "  ".join(f"{c} {done[same][c]:.1f}" for c in table.COLUMNS if c in done[same])
            print(f"{row.group}{': ' if row.group else ''}{row.label}: {shown}", flush=True)
        rows.append(line)
    if COST_COLUMNS & set(table.COLUMNS):
        folders = {name: run_folder(args.out, args.scale, run.name, paper, seed) for name, run in scaled.items()}
        dataset = opened(test_sets, scaled[table.ROWS[0].run.name], args).dataset
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
    test_sets: TestSets = {}
    for seed in range(args.seeds):
        rows = evaluate_seed(table, paper, args, seed, test_sets)
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
