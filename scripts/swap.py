"""Ranking or boxes, what makes the difference? python -m scripts.swap kl_rpn/figure3 --scale mini --seeds 3

Two region proposal networks that start from the same anchors are taken apart: the boxes of one are ranked by the
objectness of the other, and the anchors themselves, unmoved, by each. Recall of the best COUNT proposals on the test
images; writes <scale>_swap.md and .json into the table's results folder. The table's first two rows are the networks.
"""

import argparse
import json
import sys
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import torch

from data.config import DataConfig
from data.loader import test_batches
from data.records import Batch, Dataset, Proposals, Target
from data.sampler import in_order
from data.scoring.proposal_recall import recall
from experiments.scales import TITLES
from models.decode import to_original
from models.detector import Detector
from models.proposals import propose
from scripts.engine.checkpoint import write_atomically
from scripts.engine.command import exit_code
from scripts.engine.places import open_dataset, pick_device, run_folder
from scripts.engine.trained import trained_detector, trained_run
from scripts.evaluate import BATCH, json_safe
from scripts.proposals import arguments, results_folder, scaled_runs, table_of
from scripts.report import cell, markdown_table

COUNT = 100  # proposals an image
IOUS = (0.5, 0.6, 0.7, 0.8, 0.9)
UNMOVED = "the anchors"


def combinations(labels: list[str]) -> list[tuple[str, str]]:
    """(ranked by, boxes of): each network alone, each with the other's boxes, each with the anchors."""
    first, second = labels
    return [(first, first), (second, second), (first, second), (second, first), (first, UNMOVED), (second, UNMOVED)]


@torch.no_grad()
def swapped(detectors: dict[str, Detector], batch: Batch) -> Iterator[tuple[tuple[str, str], list[Proposals]]]:
    """Proposals of each image for each of ``combinations``."""
    stages = {label: detector.first_stage(batch) for label, detector in detectors.items()}
    for ranking, boxes in combinations(list(detectors)):
        judge = stages[ranking].output
        offsets = torch.zeros_like(judge.offsets) if boxes == UNMOVED else stages[boxes].output.offsets
        detector = detectors[ranking if boxes == UNMOVED else boxes]
        found = []
        for i, (network, original) in enumerate(zip(batch.image_sizes, batch.original_sizes, strict=True)):
            kept, objectness = propose(
                stages[ranking].anchors, judge.objectness[i], offsets[i], network, detector.rpn_coder,
                pre_nms=detector.test_counts[0], post_nms=COUNT, nms_iou=detector.rpn_nms_iou,
                min_size=detector.min_size * network[0] / original[0])
            found.append(Proposals(boxes=to_original(kept, batch, i), objectness=objectness).to("cpu"))
        yield (ranking, boxes), found


def measure(detectors: dict[str, Detector], dataset: Dataset, args: argparse.Namespace, data: DataConfig
            ) -> dict[str, Any]:
    """{"RPN ranks, boxes of KL-RPN": {"0.5": recall, %, ...}, ...}, against the clean boxes where they are known."""
    targets: list[Target] = [dataset.target(i) for i in range(len(dataset))]
    if all(target.clean_boxes is not None for target in targets):
        targets = [replace(target, boxes=target.clean_boxes) for target in targets]  # type: ignore[arg-type]
    found: dict[tuple[str, str], list[Proposals]] = defaultdict(list)
    device = pick_device(args.device)
    indices: list[int] = []
    for batch in test_batches(dataset, data, batch_size=BATCH, workers=args.workers):
        indices += batch.indices
        for kind, proposals in swapped(detectors, batch.to(device)):
            found[kind] += proposals
    return {f"{ranking} ranks, boxes of {boxes}":
            recall(in_order(proposals, indices), targets, counts=(COUNT,), ious=IOUS)[f"recall@{COUNT}"]
            for (ranking, boxes), proposals in found.items()}


def swap(args: argparse.Namespace) -> str:
    """Measures every seed, writes both files and returns the markdown text."""
    table = table_of(args, "figure3")
    paper = args.table.partition("/")[0]
    runs = scaled_runs(table, args)
    rows = table.ROWS[:2]
    seeds: list[dict[str, Any]] = []
    dataset: Dataset | None = None
    for seed in range(args.seeds):
        detectors = {}
        for row in rows:
            run = runs[row.run.name]
            dataset = dataset or open_dataset(run, args, run.data.test)
            found = trained_run(run, run_folder(args.out, args.scale, run.name, paper, seed), dataset, args)
            if found is None:
                raise ValueError(f"There is no trained network of {run.name}, seed {seed}, below {args.out}; run "
                                 f"experiments/{args.table}/train.sh first.")
            trained, _, state = found
            detectors[row.label] = trained_detector(trained, state, pick_device(args.device))
        assert dataset is not None
        seeds.append(measure(detectors, dataset, args, trained.data))
    lines = [[name, *[str(cell([seed[name][str(iou)] for seed in seeds])) for iou in IOUS]] for name in seeds[0]]
    text = "\n\n".join([
        f"# Ranking or boxes: recall of the best {COUNT} proposals, %", f"**{TITLES[args.scale]}**",
        markdown_table(["", *[f"IoU {iou}" for iou in IOUS]], lines),
        f"* {table.TITLE}; scale: {args.scale}; seeds: {list(range(args.seeds))}. Both networks have the same anchors, "
        "so the objectness of one can rank the boxes of the other."]) + "\n"
    folder = results_folder(args)
    write_atomically(folder / f"{args.scale}_swap.md", text)
    write_atomically(folder / f"{args.scale}_swap.json", json.dumps(json_safe(seeds), indent=1) + "\n")
    return text


def main() -> int:
    args = arguments(__doc__, "kl_rpn/figure3")
    return exit_code(lambda: print(swap(args)))


if __name__ == "__main__":
    sys.exit(main())
