"""The first stage of trained networks on test images, for scripts/recall.py and scripts/figure3.py.

Proposals lie in ``proposals.pt`` beside the checkpoint that they come from. The best n of many proposals are the best
n, and so are the first images of many: a file with more of either answers a smaller question as well.
"""

import argparse
import itertools
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from data.records import Dataset, Proposals, Target
from experiments.records import Run, Table
from experiments.scales import SCALES
from scripts.engine.checkpoint import recorded_sha256
from scripts.engine.files import load_tensors, save_tensors
from scripts.engine.places import (
    add_common_arguments,
    find_table,
    on_this_data,
    open_dataset,
    pick_device,
    run_folder,
)
from scripts.engine.provenance import commit_and_date
from scripts.engine.trained import trained_detector, trained_run
from scripts.evaluate import device_name, json_safe
from scripts.reports.files import ReportPlace, add_report_options
from scripts.save_proposals import first_proposals


@dataclass(frozen=True, kw_only=True)
class FirstStage:
    """What the first stage of one run gave: proposals and targets of each image, or None and the reason in ``facts``.

    facts: what a line of the results says about the network beside its numbers ("updates", "training", or "why").
    """

    run: Run
    proposals: list[Proposals] | None
    targets: list[Target]
    facts: dict[str, Any]


def arguments(description: str | None, example: str) -> argparse.Namespace:
    """The command line of both scripts."""
    parser = argparse.ArgumentParser(description=description, allow_abbrev=False)
    parser.add_argument("table", help=f"paper/table, for example {example}")
    add_common_arguments(parser)
    parser.add_argument("--seeds", type=int, default=1, help="evaluate seeds 0 .. SEEDS-1")
    parser.add_argument("--unfinished", action="store_true", help="also evaluate runs whose training has not ended")
    add_report_options(parser)
    return parser.parse_args()


def table_of(args: argparse.Namespace, metric: str) -> Table:
    """The rows.py that the command line names. Raises: ValueError if it is of another kind than ``metric``."""
    table = find_table(args.table)
    if metric != table.metric:
        raise ValueError(f"{args.table} is a table of {table.metric!r}, not of {metric!r}; evaluate it as "
                         f"experiments/{args.table}/eval.sh does.")
    return table


def run_proposals(run: Run, path: Path, state: dict[str, Any], dataset: Dataset, args: argparse.Namespace, count: int,
                  images: int) -> list[Proposals]:
    """The best ``count`` proposals of each of the first ``images`` test images, from disk or a forward pass."""
    key = {"checkpoint": recorded_sha256(path), "count": count,
           "images": [str(image) for image in dataset.image_ids[:images]],
           "sizes": [list(size) for size in dataset.sizes[:images]]}
    stored = load_proposals(path.parent / "proposals.pt", key)
    if stored is not None:
        return stored
    detector = trained_detector(run, state, pick_device(args.device))
    found = first_proposals(detector, run, dataset, args, count, images)
    save_proposals(path.parent / "proposals.pt", found, key)
    return found


def save_proposals(path: Path, proposals: Sequence[Proposals], key: dict[str, Any]) -> None:
    """Writes the proposals with ``key``, which says what they were computed from."""
    save_tensors(path, {"key": key, "counts": [len(image.boxes) for image in proposals],
                        "boxes": torch.cat([image.boxes for image in proposals]),
                        "objectness": torch.cat([image.objectness for image in proposals])})


def load_proposals(path: Path, key: dict[str, Any]) -> list[Proposals] | None:
    """The proposals in ``path`` if they answer ``key``: the same checkpoint, as many proposals and images or more."""
    content = load_tensors(path, {"key", "counts", "boxes", "objectness"})
    if content is None:
        return None
    known, images = content["key"], len(key["images"])
    if (known["checkpoint"], known["images"][:images], known["sizes"][:images]) != (
            key["checkpoint"], key["images"], key["sizes"]) or known["count"] < key["count"]:
        return None
    parts = zip(content["boxes"].split(content["counts"]), content["objectness"].split(content["counts"]), strict=True)
    return [Proposals(boxes=boxes[: key["count"]], objectness=objectness[: key["count"]])
            for boxes, objectness in itertools.islice(parts, images)]


def first_stages(table: Table, args: argparse.Namespace, seed: int,
                 datasets: dict[tuple[str, str], tuple[Dataset, list[Target]]], *, count: int | None = None,
                 images: int | None = None) -> Iterator[FirstStage]:
    """The first stage of each network of a table, those that a scale makes equal once.

    Args:
        datasets: keeps what was opened, by layout and split, for the next seed.
        count: proposals an image; None: those that the network's second stage gets.
        images: only the first so many test images; None: all.
    """
    paper = args.table.partition("/")[0]
    for run in {run.name: run for run in scaled_runs(table, args).values()}.values():
        kind = (run.data.layout, run.data.test)
        if kind not in datasets:
            dataset = open_dataset(run, args, run.data.test)
            shown = len(dataset) if images is None else min(images, len(dataset))
            datasets[kind] = dataset, [dataset.target(i) for i in range(shown)]
        dataset, targets = datasets[kind]
        folder = run_folder(args.out, args.scale, run.name, paper, seed)
        found = trained_run(run, folder, dataset, args)
        if found is None:
            why = f"no trained network in {folder.relative_to(args.out)}"
            yield FirstStage(run=run, proposals=None, targets=targets, facts={"why": why})
            continue
        trained, path, state = found
        finished = folder / "finished.json"
        many = count or run.model.post_nms_test
        yield FirstStage(
            run=run, targets=targets,
            proposals=run_proposals(trained, path, state, dataset, args, many, len(targets)),
            facts={"updates": state["step"], "of_updates": state["run"]["train"]["iterations"],
                   "training": json.loads(finished.read_text()) if finished.is_file() else None})


def scaled_runs(table: Table, args: argparse.Namespace) -> dict[str, Run]:
    """The runs of a table on this scale and data, by their names at the paper's scale."""
    return {row.run.name: on_this_data(SCALES[args.scale](row.run), args) for row in table.rows}


def seed_record(table: Table, args: argparse.Namespace, seed: int, facts: dict[str, dict[str, Any]]
                ) -> dict[str, Any]:
    """The results of one seed as scripts/evaluate.py writes them.

    Args:
        facts: for each scaled run, by name, ``FirstStage.facts`` and, where there are numbers, "metrics".
    """
    runs = scaled_runs(table, args)
    rows = [{"group": row.group, "label": row.label, "run": runs[row.run.name].name, "metrics": None,
             **({"why": row.missing} if row.missing else facts[runs[row.run.name].name])} for row in table.rows]
    return {"table": args.table, "scale": args.scale, "seed": seed, "device": device_name(args.device),
            **commit_and_date(), "rows": json_safe(rows)}


def report_place(args: argparse.Namespace) -> ReportPlace:
    return ReportPlace(table=args.table, scale=args.scale, out=args.out, results=args.results, publish=args.publish)
