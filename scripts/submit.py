"""Writes the detections of a table for COCO's server: python -m scripts.submit kl_rpn/table1 --scale paper

One forward pass for each network on the images of --split, one file in COCO's result format for each row. The labels of
test-dev are with the server alone, so this is how the numbers that papers print for it are measured; scripts.evaluate
scores the same rows on images whose labels are published.
"""

import argparse
import json
import re
import sys
from collections.abc import Sequence

from data.coco import CocoDataset, coco_results
from data.coco_splits import coco_parts
from data.records import Candidates, Detections, ImageId
from experiments.records import Row, Run
from experiments.scales import SCALES
from scripts.engine.checkpoint import write_atomically
from scripts.engine.command import exit_code
from scripts.engine.places import add_common_arguments, data_root, find_table, on_this_data, open_dataset, run_folder
from scripts.evaluate import detections_of, run_candidates
from scripts.save_proposals import add_proposals_argument


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("table", help="paper/table, for example kl_rpn/table1")
    add_common_arguments(parser)
    add_proposals_argument(parser)
    parser.add_argument("--split", default="test-dev", help="COCO split to detect on (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="of the networks; replaces the files of another seed")
    parser.add_argument("--unfinished", action="store_true", help="also use runs whose training has not ended")
    return parser.parse_args()


def open_split(run: Run, args: argparse.Namespace) -> tuple[CocoDataset, str]:
    """The images to detect on, and the split that --split stands for.

    Raises: ValueError if their classes have no COCO category ids, or it stands for several splits.
    """
    if run.data.layout != "coco":
        raise ValueError(f"{args.table} at scale {args.scale} is on data in the {run.data.layout.upper()} layout, "
                         "which has no COCO category ids; choose a table or a scale on data in the COCO layout.")
    parts = coco_parts(data_root(args.scale, args.data_root, run.data.layout), args.split)
    if len(parts) > 1:
        raise ValueError(f"--split {args.split} stands for {' + '.join(parts)}, and a submission has the COCO category "
                         "ids of one split; submit one of them at a time.")
    dataset = open_dataset(run, args, parts[0])
    assert isinstance(dataset, CocoDataset)
    return dataset, parts[0]


def slugs(rows: Sequence[Row]) -> list[str]:
    """Group and label of each row as a part of a file name; rows that would share one get their number as well."""
    names = [re.sub(r"[^a-z0-9]+", "-", f"{row.group} {row.label}".lower()).strip("-") for row in rows]
    return [name if names.count(name) == 1 else f"{name}-row{i}" for i, name in enumerate(names, start=1)]


def results_json(detections: Sequence[Detections], image_ids: Sequence[ImageId], category_ids: Sequence[int]) -> str:
    """COCO's result format, one detection a line; coordinates with 2 decimals (px), scores with 5."""
    lines = []
    for found, image_id in zip(detections, image_ids, strict=True):  # image by image: test-dev has millions of boxes
        for result in coco_results([found], [image_id], category_ids):
            result["bbox"] = [round(value, 2) for value in result["bbox"]]
            result["score"] = round(result["score"], 5)
            lines.append(json.dumps(result, allow_nan=False))
    return "[" + ",\n".join(lines) + "]\n"


def submit(args: argparse.Namespace) -> None:
    paper, _, name = args.table.partition("/")
    table = find_table(args.table)
    if table.metric != "coco":
        raise ValueError(f"{args.table} is not scored by COCO's server (its metric is {table.metric!r}); choose a "
                         "table of COCO results.")
    scaled = [on_this_data(SCALES[args.scale](row.run), args) for row in table.rows]
    dataset, split = open_split(scaled[0], args)
    print(f"{args.table}, seed {args.seed}: {len(dataset)} images of {split}", flush=True)
    thresholds = {run.name: min(row.postprocess.score_threshold for row, other in zip(table.rows, scaled, strict=True)
                                if other.name == run.name) for run in scaled}
    networks: dict[str, tuple[list[Candidates], int, int] | None] = {}
    written = 0
    for index, (row, run, slug) in enumerate(zip(table.rows, scaled, slugs(table.rows), strict=True)):
        label = f"{row.name}"
        folder = run_folder(args.out, args.scale, run.name, paper, args.seed)
        if not row.missing and run.name not in networks:
            networks[run.name] = run_candidates(run, folder, dataset, args, thresholds[run.name],
                                                name=f"candidates_{split}.pt")
        network = networks.get(run.name)
        if row.missing or network is None:
            print(f"{label}: not run: {row.missing or f'no trained network in {folder.relative_to(args.out)}'}")
            continue
        candidates, done, planned = network
        detections = detections_of(candidates, row)
        if not any(other.name == run.name for other in scaled[index + 1 :]):
            del networks[run.name], network, candidates  # gigabytes on test-dev
        path = args.out / args.scale / paper / name / "submission" / f"detections_{split}_{slug}_results.json"
        write_atomically(path, results_json(detections, dataset.image_ids, dataset.category_ids))
        unfinished = f" (UNFINISHED: only {done} of {planned} updates)" if done < planned else ""
        print(f"{label}: {sum(len(found.scores) for found in detections)} detections{unfinished} -> {path}", flush=True)
        written += 1
    print(f"{args.table}, seed {args.seed}: {written} of {len(table.rows)} rows written")


def main() -> int:
    args = arguments()
    return exit_code(lambda: submit(args))


if __name__ == "__main__":
    sys.exit(main())
