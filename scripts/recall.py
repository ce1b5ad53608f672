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
from scripts.proposals import arguments, first_stages, seed_record, signed, table_of, write_results
from scripts.report import Results, cell, markdown_table

COUNTS = (100, 300, 1000)  # proposals an image
IOUS = (0.5, 0.6, 0.7, 0.8, 0.9)
NOTE = ("Differences are taken within each seed. `AR` is the mean recall over IoU 0.5, 0.55, ..., 0.95; `proposals` is "
        "how many an image had, of those asked for.")


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


def columns(count: int) -> dict[str, str]:
    """{heading: name of the number} of the section of one count."""
    return {**{f"IoU {iou}": f"recall@{count} IoU {iou}" for iou in IOUS},
            "AR": f"AR@{count}", "proposals": f"proposals@{count}"}


def lines_of(results: Results, name: str, part: str | None) -> list[tuple[str, str, list[float | None]]]:
    """(group, row, one value a seed) of one number: the rows of a group, then what COMPARISONS compares in it."""
    lines = []
    for group in dict.fromkeys(row.group for row in results.rows):
        known = {row.label: results.values(i, name, part) for i, row in enumerate(results.rows) if row.group == group}
        lines += [(group, label, values) for label, values in known.items()]
        lines += [(group, f"{better} - {base}", [None if a is None or b is None else a - b
                                                 for a, b in zip(known[better], known[base], strict=True)])
                  for better, base in results.table.comparisons if better in known and base in known]
    return lines


def section(results: Results, count: int, part: str | None) -> str:
    """The markdown table of one count."""
    shown = columns(count)
    rows = {row.label for row in results.rows}
    texts: dict[tuple[str, str], list[str]] = {}
    for name in shown.values():
        for group, label, values in lines_of(results, name, part):
            text = str(cell(values)) if label in rows else signed(cell(values))
            texts.setdefault((group, label), []).append(text)
    return markdown_table([f"best {count}", *shown], [
        [f"{group}: {label}" if group else label, *line] for (group, label), line in texts.items()])


def sections(results: Results) -> list[str]:
    parts = []
    for part, title in (("clean", "Against the clean boxes, %"), (None, "Against the labels, %")):
        if part is None or results.has(part):
            parts += [f"## {title}", *[section(results, count, part) for count in COUNTS]]
    return [*parts, NOTE]


def csv_lines(results: Results) -> list[list[Any]]:
    """One line a count, column and row; differences are rows of their own."""
    lines: list[list[Any]] = [["group", "row", "scored_on", "count", "column", "value", "spread", "seeds"]]
    for part in (None, "clean") if results.has("clean") else (None,):
        for count in COUNTS:
            for heading, name in columns(count).items():
                for group, label, values in lines_of(results, name, part):
                    shown = cell(values)
                    lines.append([group, label, part or "labels", count, heading,
                                  "not run" if shown.mean is None else round(shown.mean, 4),
                                  None if shown.spread is None else round(shown.spread, 4),
                                  sum(value is not None for value in values)])
    return lines


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
    results = Results(table, seeds)
    return write_results(args, results, sections(results), csv_lines(results))


def main() -> int:
    args = arguments(__doc__, "kl_rpn/proposals")
    return exit_code(lambda: print(evaluate(args)))


if __name__ == "__main__":
    sys.exit(main())
