"""Measures first stages: what they find, how they rank, how well their means fit."""

from statistics import fmean
from typing import Any

from data.scoring.offset_distribution import offset_distribution, separation
from experiments.records import Table
from scripts.engine.environment import Environment
from scripts.engine.evaluation.results import Line
from scripts.engine.evaluation.scoring import LabeledDatasets
from scripts.engine.first_stage.anchors import anchor_measures
from scripts.engine.first_stage.first_stage import FirstStage, measured_seeds
from scripts.engine.first_stage.recall import recall_scores
from scripts.engine.places import TablePlace

COUNT = 100  # proposals an image
IOUS = (0.5, 0.7, 0.9)
# what a score of ``recall`` is called here
NAMES = {
    **{f"recall@{COUNT} IoU {iou}": f"recall{round(100 * iou)}" for iou in IOUS},
    f"AR@{COUNT}": "AR",
    f"mean_iou@{COUNT}": "mean_iou",
}


def measure_first_stages(
    table: Table, place: TablePlace, environment: Environment, seeds: int
) -> list[dict[str, Any]]:
    """The results of each seed of a table of first stages.

    Args:
        table: whose networks are measured.
        place: of the table.
        environment: of the command.
        seeds: how many, from 0.
    """
    test_sets = LabeledDatasets(environment)

    def line_of(stage: FirstStage, seed: int) -> Line:
        return measures_line(stage, environment, test_sets)

    return measured_seeds(table, place, environment, seeds, test_sets, line_of)


def measures_line(stage: FirstStage, environment: Environment, test_sets: LabeledDatasets) -> Line:
    """What the results say of one network; prints its recall and its AUC."""
    assert stage.proposals is not None
    assert stage.trained is not None
    scores = recall_scores(stage.proposals, stage.targets, (COUNT,), IOUS)
    metrics: dict[str, Any] = renamed(scores)
    if "clean" in scores:
        metrics["clean"] = renamed(scores["clean"])
    metrics |= anchor_measures(stage.trained, test_sets.of(stage.run), environment)
    metrics["ks"] = figure3_separation(stage)
    print(f"{stage.run.name}: recall at 0.5 {metrics['recall50']:.1f}, AUC {metrics['auc']:.1f}")
    return {**stage.facts, "metrics": metrics}


def renamed(scores: dict[str, Any]) -> dict[str, float]:
    """The scores that are shown, by their short names."""
    return {short: scores[name] for name, short in NAMES.items()}


def figure3_separation(stage: FirstStage) -> float:
    """How far apart the offsets of good and bad proposals are (KL-RPN Figure 3): the
    Kolmogorov-Smirnov distance, 0..1, its mean over x, y, w and h."""
    assert stage.proposals is not None
    distances = separation(*offset_distribution(stage.proposals, stage.targets))
    return fmean(distance["ks"] for distance in distances.values())
