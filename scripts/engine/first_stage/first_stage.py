"""The first stage of trained networks on test images: what recall and Figure 3 are measured on.

Its proposals are kept on disk. The best n of many proposals are the best n, and so are the first
images of many: a file with more of either answers a smaller question as well.
"""

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from data.records import Dataset, Proposals, Target
from experiments.records import Run, Table
from scripts.engine.environment import Environment
from scripts.engine.evaluation.results import (
    Line,
    lines_of_runs,
    not_trained,
    run_facts,
    scaled_runs,
    seed_results,
)
from scripts.engine.evaluation.scoring import LabeledDataset, LabeledDatasets
from scripts.engine.intact import known_sha256
from scripts.engine.kept_tensors import keep_tensors, load_tensors
from scripts.engine.pixels import pixels_digest
from scripts.engine.places import RunPlace, TablePlace
from scripts.engine.results_version import RESULTS_VERSION, inference_key
from scripts.engine.trained.proposals import network_proposals
from scripts.engine.trained.trained import TrainedRun, trained_run


@dataclass(frozen=True, kw_only=True)
class FirstStage:
    """What the first stage of one run gave on each image.

    trained, proposals: None if it was not run; the reason is in ``facts``. facts: what a line of
    the results says about the network beside its numbers ("updates", "training", or "why").
    """

    run: Run
    trained: TrainedRun | None
    proposals: list[Proposals] | None
    targets: list[Target]
    facts: dict[str, Any]


def first_stages(
    table: Table,
    place: TablePlace,
    environment: Environment,
    seed: int,
    test_sets: LabeledDatasets,
    *,
    count: int | None = None,
) -> Iterator[FirstStage]:
    """The first stage of each network of a table, those that a scale makes equal once.

    Args:
        table: whose runs are used.
        place: where they are kept.
        environment: of the command.
        seed: of the networks.
        test_sets: what was opened before; it says how many images are used.
        count: proposals an image; None: those that the network's second stage gets.
    """
    runs = scaled_runs(table, environment)
    for run in {run.name: run for run in runs.values()}.values():
        labeled = test_sets.of(run)
        yield first_stage(run, place.run_place(run, seed), environment, labeled, count)


def measured_seeds(
    table: Table,
    place: TablePlace,
    environment: Environment,
    seeds: int,
    test_sets: LabeledDatasets,
    line_of: Callable[[FirstStage, int], Line],
    *,
    count: int | None = None,
) -> list[dict[str, Any]]:
    """The results of each seed of a table in which all rows of a network have the same numbers.

    Args:
        table, place, environment, test_sets, count: as in ``first_stages``.
        seeds: how many, from 0.
        line_of: what the results say of a first stage that was run, with a seed.
    """
    results = []
    for seed in range(seeds):
        facts = {}
        for stage in first_stages(table, place, environment, seed, test_sets, count=count):
            was_run = stage.proposals is not None
            facts[stage.run.name] = line_of(stage, seed) if was_run else stage.facts
        lines = lines_of_runs(table, environment, facts)
        results.append(seed_results(table, place, environment, seed, lines))
    return results


def first_stage(
    run: Run,
    place: RunPlace,
    environment: Environment,
    labeled: LabeledDataset,
    count: int | None,
) -> FirstStage:
    """The first stage of one network on the images that have targets."""
    trained = trained_run(run, place, labeled.dataset, unfinished=environment.unfinished)
    if trained is None:
        facts = {"why": not_trained(place)}
        return FirstStage(
            run=run, trained=None, proposals=None, targets=labeled.targets, facts=facts
        )
    proposals = stored_proposals(
        trained,
        place,
        labeled.dataset,
        environment,
        count=count or run.model.rpn.post_nms_test,
        images=len(labeled.targets),
    )
    return FirstStage(
        run=run,
        trained=trained,
        proposals=proposals,
        targets=labeled.targets,
        facts=run_facts(place, trained.updates, trained.of_updates, labeled.identity),
    )


def stored_proposals(
    trained: TrainedRun,
    place: RunPlace,
    dataset: Dataset,
    environment: Environment,
    *,
    count: int,
    images: int,
) -> list[Proposals]:
    """The best proposals of each of the first test images, from disk or a forward pass.

    Args:
        trained: the network.
        place: where its proposals are kept.
        dataset: the test images.
        environment: of the command.
        count: proposals an image.
        images: how many images, from the first.
    """
    key = {
        "checkpoint": known_sha256(trained.checkpoint),
        "count": count,
        "images": [str(image) for image in dataset.image_ids[:images]],
        "sizes": [list(size) for size in dataset.sizes[:images]],
        "pixels": pixels_digest(dataset),
        **inference_key(),
    }
    path = place.first_stage_proposals
    proposals = load_first_stage(path, key)
    if proposals is None:
        proposals = network_proposals(trained, dataset, environment, count=count, images=images)
        save_first_stage(path, proposals, key)
    return proposals


def save_first_stage(path: Path, proposals: Sequence[Proposals], key: dict[str, Any]) -> None:
    """Keeps the proposals, if that is possible, with ``key``: what they were computed from."""
    content = {
        "key": key,
        "counts": [len(image.boxes) for image in proposals],
        "boxes": torch.cat([image.boxes for image in proposals]),
        "objectness": torch.cat([image.objectness for image in proposals]),
        "results_version": RESULTS_VERSION,
    }
    keep_tensors(path, content)


def load_first_stage(path: Path, key: dict[str, Any]) -> list[Proposals] | None:
    """The proposals in ``path`` if they answer ``key``.

    They do if they are of the same checkpoint, and of as many proposals and images or more.
    """
    content = load_tensors(path, {"key", "counts", "boxes", "objectness"})
    if content is None or not answers(content["key"], key):
        return None
    counts, best = content["counts"], key["count"]
    parts = zip(content["boxes"].split(counts), content["objectness"].split(counts), strict=True)
    return [
        Proposals(boxes=boxes[:best], objectness=objectness[:best])
        for boxes, objectness in itertools.islice(parts, len(key["images"]))
    ]


def answers(stored: dict[str, Any], key: dict[str, Any]) -> bool:
    """Whether what was computed from ``stored`` contains what ``key`` asks for."""
    images = len(key["images"])
    first = {**stored, "images": stored["images"][:images], "sizes": stored["sizes"][:images]}
    names = ("checkpoint", "images", "sizes", "pixels", "inference_version")
    same = all(first.get(name) == key.get(name) for name in names)
    return same and stored["count"] >= key["count"]
