"""The detections of a table's rows as files in COCO's result format, for its server."""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from data.coco import CocoDataset
from data.coco_splits import coco_parts
from data.formats.coco_results import result_entries
from data.records import Detections, ImageId
from experiments.records import Row, Run, Table
from scripts.engine.environment import Environment, data_root, open_dataset, scaled_run
from scripts.engine.evaluation.evaluation import NetworkResults, evaluate_network, row_key
from scripts.engine.evaluation.results import not_trained
from scripts.engine.files import write_atomically
from scripts.engine.places import TablePlace


@dataclass(frozen=True, kw_only=True)
class Submission:
    """A row of a table, the run behind it at the scale of the command, and its file's name."""

    row: Row
    run: Run
    slug: str


def write_submissions(
    table: Table, place: TablePlace, environment: Environment, split: str, seed: int
) -> None:
    """Writes the detections of every row that can be computed on the images of a split.

    Raises:
        ValueError: if the table is not scored by COCO, or the images have no COCO category ids.
    """
    if table.metric != "coco":
        raise ValueError(
            f"{place.name} is not scored by COCO's server (its metric is {table.metric!r}); "
            "choose a table of COCO results."
        )
    submissions = [
        Submission(row=row, run=scaled_run(row.run, environment), slug=slug)
        for row, slug in zip(table.rows, slugs(table.rows), strict=True)
    ]
    dataset, split = open_split(submissions[0].run, place, environment, split)
    print(f"{place.name}, seed {seed}: {len(dataset)} images of {split}", flush=True)
    written = 0
    for run in {each.run.name: each.run for each in submissions}.values():
        same = [each for each in submissions if each.run.name == run.name]
        written += write_network(run, same, place, environment, dataset, split, seed)
    print(f"{place.name}, seed {seed}: {written} of {len(table.rows)} rows written")


def write_network(
    run: Run,
    submissions: Sequence[Submission],
    place: TablePlace,
    environment: Environment,
    dataset: CocoDataset,
    split: str,
    seed: int,
) -> int:
    """Writes all rows of one network, or says why not; returns how many were written."""
    run_place = place.run_place(run, seed)
    computed = [each.row for each in submissions if not each.row.missing]
    network = None
    if computed:
        network = evaluate_network(
            computed, run, run_place, environment, dataset, split=split, with_masks=False
        )
    written = 0
    for each in submissions:
        if each.row.missing or network is None:
            why = each.row.missing or not_trained(run_place)
            print(f"{each.row.name}: not run: {why}")
            continue
        write_row(each, network, place, dataset, split)
        written += 1
    return written


def write_row(
    submission: Submission,
    network: NetworkResults,
    place: TablePlace,
    dataset: CocoDataset,
    split: str,
) -> None:
    """Writes the file of one row."""
    detections = network.detections[row_key(submission.row)].detections
    path = place.submission(split, submission.slug)
    write_atomically(path, results_json(detections, dataset.image_ids, dataset.category_ids))
    count = sum(len(image.scores) for image in detections)
    unfinished = ""
    if network.updates < network.of_updates:
        unfinished = f" (UNFINISHED: only {network.updates} of {network.of_updates} updates)"
    print(f"{submission.row.name}: {count} detections{unfinished} -> {path}", flush=True)


def open_split(
    run: Run, place: TablePlace, environment: Environment, split: str
) -> tuple[CocoDataset, str]:
    """The images to detect on, and the one split that ``split`` stands for.

    Raises:
        ValueError: if their classes have no COCO category ids, or it stands for several splits.
    """
    if run.data.layout != "coco":
        raise ValueError(
            f"{place.name} at scale {environment.scale} is on data in the "
            f"{run.data.layout.upper()} layout, which has no COCO category ids; choose a table or "
            "a scale on data in the COCO layout."
        )
    root = data_root(environment.scale, environment.data_root, run.data.layout)
    parts = coco_parts(root, split)
    if len(parts) > 1:
        raise ValueError(
            f"--split {split} stands for {' + '.join(parts)}, and a submission has the COCO "
            "category ids of one split; submit one of them at a time."
        )
    dataset = open_dataset(run, environment, parts[0])
    assert isinstance(dataset, CocoDataset)
    return dataset, parts[0]


def slugs(rows: Sequence[Row]) -> list[str]:
    """Group and label of each row as a part of a file name; equal ones get the row's number."""
    names = []
    for row in rows:
        words = f"{row.group} {row.label}".lower()
        names.append(re.sub(r"[^a-z0-9]+", "-", words).strip("-"))
    return [
        name if names.count(name) == 1 else f"{name}-row{number}"
        for number, name in enumerate(names, start=1)
    ]


def results_json(
    detections: Sequence[Detections], image_ids: Sequence[ImageId], category_ids: Sequence[int]
) -> str:
    """COCO's result format, one detection a line; px with 2 decimals, scores with 5."""
    lines = []
    # image by image: test-dev has millions of boxes
    for image, image_id in zip(detections, image_ids, strict=True):
        for result in result_entries(replace(image, sigma=None), image_id, category_ids):
            result["bbox"] = [round(value, 2) for value in result["bbox"]]
            result["score"] = round(result["score"], 5)
            lines.append(json.dumps(result, allow_nan=False))
    return "[" + ",\n".join(lines) + "]\n"
