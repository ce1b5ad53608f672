"""KL Loss Figure 5, boxes before and after var voting: python -m scripts.figure5 kl_loss/figure5 --scale mini --seeds 3

Writes into the table's results folder, over all seeds, <scale>.md, .csv and .json: what voting does to the boxes of
recognized objects. Of the first seed it draws the images where it does most, for better and for worse: at the mini
scale <scale>.png beside the numbers, at the others, whose pictures show photos, below --out.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from data.records import Candidates
from data.scoring.box_moves import find_moves, move_numbers
from scripts.engine.command import exit_code
from scripts.engine.places import open_dataset, run_folder
from scripts.evaluate import detections_of, json_safe, run_candidates
from scripts.proposals import arguments, report_place, scaled_runs, seed_record, table_of
from scripts.reports.figure5 import draw_picture, write_figure5
from scripts.reports.figure5_scenes import scenes
from scripts.reports.results import Results


def in_offset_units(candidates: Sequence[Candidates]) -> list[Candidates]:
    """The same candidates, whose detections have their sigma in the unit of the network's offsets, not in px."""
    return [replace(image, pixel_variances=image.variances) for image in candidates]


def evaluate(args: argparse.Namespace) -> str:
    """Measures every seed, draws the first that is trained, writes the results and returns the markdown text."""
    table = table_of(args, "figure5")
    before, after = table.rows
    run = scaled_runs(table, args)[before.run.name]
    dataset = open_dataset(run, args, run.data.test)
    targets = [dataset.target(i) for i in range(len(dataset))]
    threshold = min(row.postprocess.score_threshold for row in table.rows)
    seeds: list[dict[str, Any]] = []
    pictures: dict[int, Any] = {}
    for seed in range(args.seeds):
        folder = run_folder(args.out, args.scale, run.name, args.table.partition("/")[0], seed)
        found = run_candidates(run, folder, dataset, args, threshold)
        facts: dict[str, Any] = {"why": f"no trained network in {folder.relative_to(args.out)}"}
        numbers: Sequence[dict[str, Any] | None] = None, None
        if found is not None:
            candidates, updates, of_updates = found
            finished = folder / "finished.json"
            facts = {"updates": updates, "of_updates": of_updates,
                     "training": json.loads(finished.read_text()) if finished.is_file() else None}
            old, new = detections_of(in_offset_units(candidates), before), detections_of(candidates, after)
            moves = find_moves(old, new, targets)
            numbers = move_numbers(moves)
            if not pictures:
                panels = scenes(dataset, candidates, old, moves, after.postprocess)
                truth = "clean box" if moves.clean is not None else "label"
                pictures[seed] = draw_picture(report_place(args), after, seed, panels, truth)
        record = seed_record(table, args, seed, {run.name: facts})
        rows = zip(record["rows"], numbers, strict=True)
        drawn = {"picture": pictures[seed]} if seed in pictures else {}
        seeds.append({**record, **drawn, "rows": [{**line, "metrics": json_safe(metrics)} for line, metrics in rows]})
    return write_figure5(Results(table, seeds), report_place(args))


def main() -> int:
    parsed = arguments(__doc__, "kl_loss/figure5")
    args = argparse.Namespace(**vars(parsed), proposals=None)  # of Fast R-CNN, whose candidates need some
    return exit_code(lambda: print(evaluate(args)))


if __name__ == "__main__":
    sys.exit(main())
