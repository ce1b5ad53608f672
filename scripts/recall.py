"""Recall of the first stage's proposals: python -m scripts.recall kl_rpn/proposals --scale mini --seeds 3

One forward pass of each network and seed; writes <scale>.md, .csv and .json into the table's results folder. A row
whose network is not trained stays as "not run". Where the data know the clean boxes, recall is measured against them
as well.
"""

import argparse
import math
import sys
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from data.records import Dataset, Proposals, Target
from data.scoring.proposal_recall import recall
from scripts.engine.command import exit_code
from scripts.proposals import arguments, first_stages, report_place, seed_record, table_of
from scripts.reports.recall import COUNTS, IOUS, write_recall
from scripts.reports.results import Results


def flat(scores: dict[str, Any]) -> dict[str, float]:
    """One level instead of two: {"recall@100": {"0.5": 90.0}} becomes {"recall@100 IoU 0.5": 90.0}."""
    return {**{name: value for name, value in scores.items() if not isinstance(value, dict)},
            **{f"{name} IoU {iou}": value for name, part in scores.items() if isinstance(part, dict)
               for iou, value in part.items()}}


def measure(proposals: Sequence[Proposals], targets: Sequence[Target]) -> dict[str, Any]:
    """All numbers of one network. With known clean boxes also the same numbers against them, under "clean"."""
    how: dict[str, Any] = {"counts": COUNTS, "ious": IOUS}
    scores: dict[str, Any] = dict(flat(recall(proposals, targets, **how)))
    if all(target.clean_boxes is not None for target in targets):
        clean = [replace(t, boxes=t.clean_boxes) for t in targets if t.clean_boxes is not None]
        scores["clean"] = flat(recall(proposals, clean, **how))
    return scores


def evaluate(args: argparse.Namespace) -> str:
    """Measures every network of the table with every seed, writes the results and returns the markdown text."""
    table = table_of(args, "recall")
    datasets: dict[tuple[str, str], tuple[Dataset, list[Target]]] = {}
    seeds = []
    for seed in range(args.seeds):
        facts = {}
        for stage in first_stages(table, args, seed, datasets, count=max(COUNTS)):
            facts[stage.run.name] = {**stage.facts, "metrics": None}
            if stage.proposals is None:
                continue
            scores = measure(stage.proposals, stage.targets)
            if all(math.isnan(scores[f"AR@{count}"]) for count in COUNTS):
                facts[stage.run.name]["why"] = f"the test data of {stage.run.name} have no objects to find"
                continue
            facts[stage.run.name]["metrics"] = scores
            print(f"{stage.run.name}, seed {seed}: " + "  ".join(
                f"AR@{count} {scores[f'AR@{count}']:.1f}" for count in COUNTS), flush=True)
        seeds.append(seed_record(table, args, seed, facts))
    return write_recall(Results(table, seeds), report_place(args))


def main() -> int:
    args = arguments(__doc__, "kl_rpn/proposals")
    return exit_code(lambda: print(evaluate(args)))


if __name__ == "__main__":
    sys.exit(main())
