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
from pathlib import Path
from typing import Any

from data.records import Candidates
from data.scoring.box_moves import IOU, SCORE, STILL, find_moves, move_numbers
from experiments.records import Row
from experiments.scales import TITLES
from scripts.engine.command import exit_code
from scripts.engine.places import open_dataset, run_folder
from scripts.evaluate import detections_of, json_safe, run_candidates
from scripts.proposals import arguments, results_folder, scaled_runs, seed_record, signed, table_of, write_results
from scripts.report import Results, cell, markdown_table
from scripts.reports.figure5_scenes import SHARE, Scene, draw, scenes

QUANTITIES = {
    "n": ("n", None), "pairs": ("pairs", None), "clean IoU, %": ("iou", "clean"), "clean px": ("distance", "clean"),
    "toward clean, %": ("toward", "clean"), "label IoU, %": ("iou", None), "label px": ("distance", None),
    "toward label, %": ("toward", None), "movement px": ("movement", None), "moved, %": ("moved", None),
}  # fmt: skip
COUNTS = ("n", "pairs")
NOTE = (f"`n`: detections that mean an object (class right, IoU >= {IOU:g} with its label, score >= {SCORE:g}). All "
        "else is over `pairs`: the detections that mean the same object before and after. `IoU` and `px` (distance of "
        "a side) are means against the label and, where it is known, the clean box; `movement`: how far voting moves a "
        f"side, mean over all; `moved`: share of the sides that move by more than {STILL:g} px; `toward`: share of "
        "those that come nearer.")


def in_offset_units(candidates: Sequence[Candidates]) -> list[Candidates]:
    """The same candidates, whose detections have their sigma in the unit of the network's offsets, not in px."""
    return [replace(image, pixel_variances=image.variances) for image in candidates]


def section(results: Results) -> str:
    """One line a row, and what voting changes."""
    lines = []
    for index, row in enumerate(results.rows):
        cells = {name: results.cell(index, *place) for name, place in QUANTITIES.items()}
        unknown = "not run" if cells["n"].mean is None else "-"
        lines.append([row.label, *[unknown if c.mean is None else f"{c.mean:.0f}" if name in COUNTS else str(c)
                                   for name, c in cells.items()]])
    places = {row.label: i for i, row in enumerate(results.rows)}
    for later, base in results.table.comparisons:
        steps = {name: results.comparison(places[later], places[base], *place) for name, place in QUANTITIES.items()}
        lines.append([f"{later} - {base}", *[f"{c.mean:+.0f}" if name in COUNTS and c.mean is not None else signed(c)
                                             for name, c in steps.items()]])
    return markdown_table(["", *QUANTITIES], lines)


def csv_lines(results: Results) -> list[list[Any]]:
    lines: list[list[Any]] = [["row", "against", "column", "value", "spread", "seeds"]]
    for index, row in enumerate(results.rows):
        unknown = "not run" if results.cell(index, "n").mean is None else None
        for column, part in QUANTITIES.values():
            values = results.values(index, column, part)
            shown = cell(values)
            lines.append([row.label, part or "labels", column, unknown if shown.mean is None else round(shown.mean, 4),
                          None if shown.spread is None else round(shown.spread, 4),
                          sum(value is not None for value in values)])
    return lines


def picture_file(args: argparse.Namespace) -> Path:
    """Where the picture goes: rendered scenes to the results, photos, which are not ours to pass on, to --out."""
    folder = results_folder(args) if args.scale == "mini" else args.out / args.scale / args.table
    return folder / f"{args.scale}.png"


def picture(args: argparse.Namespace, row: Row, seed: int, panels: Sequence[Scene], clean: bool) -> str:
    """Draws the panels of a seed; returns the markdown that shows or names the picture."""
    path, truth = picture_file(args), "clean box" if clean else "label"
    sigma_t = f"{row.postprocess.sigma_t:g}"
    draw(panels, path, f"Var voting, sigma_t = {sigma_t}, seed {seed}\n{TITLES[args.scale]}", truth)
    print(f"picture: {path}")
    better = sum(scene.better for scene in panels)
    shown = (f"![boxes before and after var voting]({path.name})" if args.scale == "mini" else
             f"The picture shows photos and is not kept with the results: `{path.relative_to(args.out)}` in the folder "
             "of --out.")
    return (f"{shown}\n\n*Seed {seed}; red: before, green: after, gray: the voters with at least {SHARE:.0%} of the "
            f"vote on some side, dotted: the {truth}. Numbers at the sides: sigma of the red box, in the unit of the "
            f"network's offsets. Not typical but extreme: of all test images the {better} in which the IoU of a box "
            f"with the {truth} gains most and the {len(panels) - better} in which one loses most.*")


def evaluate(args: argparse.Namespace) -> str:
    """Measures every seed, draws the first that is trained, writes the results and returns the markdown text."""
    table = table_of(args, "figure5")
    before, after = table.rows
    run = scaled_runs(table, args)[before.run.name]
    dataset = open_dataset(run, args, run.data.test)
    targets = [dataset.target(i) for i in range(len(dataset))]
    threshold = min(row.postprocess.score_threshold for row in table.rows)
    seeds, drawn = [], ""
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
            drawn = drawn or picture(args, after, seed, scenes(dataset, candidates, old, moves, after.postprocess),
                                     moves.clean is not None)
        record = seed_record(table, args, seed, {run.name: facts})
        rows = zip(record["rows"], numbers, strict=True)
        seeds.append({**record, "rows": [{**line, "metrics": json_safe(metrics)} for line, metrics in rows]})
    results = Results(table, seeds)
    return write_results(args, results, [NOTE, section(results), *([drawn] if drawn else [])], csv_lines(results))


def main() -> int:
    parsed = arguments(__doc__, "kl_loss/figure5")
    args = argparse.Namespace(**vars(parsed), proposals=None)  # of Fast R-CNN, whose candidates need some
    return exit_code(lambda: print(evaluate(args)))


if __name__ == "__main__":
    sys.exit(main())
