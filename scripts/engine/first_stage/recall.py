"""Measures the recall of the first stage's proposals."""

import math
from collections.abc import Sequence
from typing import Any

from data.records import Proposals, Target
from data.scoring.proposal_recall import recall
from experiments.records import Table
from scripts.engine.environment import Environment
from scripts.engine.evaluation.results import Line
from scripts.engine.evaluation.scoring import LabeledDatasets, clean_targets
from scripts.engine.first_stage.first_stage import FirstStage, measured_seeds
from scripts.engine.places import TablePlace


def measure_recall(
    table: Table,
    place: TablePlace,
    environment: Environment,
    seeds: int,
    *,
    counts: Sequence[int],
    ious: Sequence[float],
) -> list[dict[str, Any]]:
    """The results of each seed of a table of recall.

    Args:
        table: whose networks are measured.
        place: of the table.
        environment: of the command.
        seeds: how many, from 0.
        counts: proposals an image.
        ious: overlaps at which an object counts as found.
    """
    test_sets = LabeledDatasets(environment)

    def line_of(stage: FirstStage, seed: int) -> Line:
        return recall_line(stage, seed, counts, ious)

    return measured_seeds(table, place, environment, seeds, test_sets, line_of, count=max(counts))


def recall_line(stage: FirstStage, seed: int, counts: Sequence[int], ious: Sequence[float]) -> Line:
    """What the results say of one network; prints its mean recalls."""
    assert stage.proposals is not None
    line: Line = {**stage.facts, "metrics": None}
    scores = recall_scores(stage.proposals, stage.targets, counts, ious)
    means = {f"AR@{count}": scores[f"AR@{count}"] for count in counts}
    if all(math.isnan(mean) for mean in means.values()):
        return {**line, "why": f"the test data of {stage.run.name} have no objects to find"}
    shown = "  ".join(f"{name} {mean:.1f}" for name, mean in means.items())
    print(f"{stage.run.name}, seed {seed}: {shown}", flush=True)
    return {**line, "metrics": scores}


def recall_scores(
    proposals: Sequence[Proposals],
    targets: Sequence[Target],
    counts: Sequence[int],
    ious: Sequence[float],
) -> dict[str, Any]:
    """All numbers of one network.

    Returns:
        {"recall@100 IoU 0.5": %, "AR@100": %, "proposals@100": mean number, ...}; where the clean
        boxes are known, the same against them under "clean".
    """
    scores: dict[str, Any] = dict(flat(recall(proposals, targets, counts=counts, ious=ious)))
    clean = clean_targets(targets)
    if clean is not None:
        scores["clean"] = flat(recall(proposals, clean, counts=counts, ious=ious))
    return scores


def flat(scores: dict[str, Any]) -> dict[str, float]:
    """One level instead of two: {"recall@1": {"0.5": 90.0}} becomes {"recall@1 IoU 0.5": 90.0}."""
    numbers = {name: value for name, value in scores.items() if not isinstance(value, dict)}
    for name, part in scores.items():
        if isinstance(part, dict):
            numbers |= {f"{name} IoU {iou}": value for iou, value in part.items()}
    return numbers
