"""Measures the offsets of good and bad proposals, KL-RPN Figure 3."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from data.scoring.offset_distribution import offset_distribution, separation
from experiments.records import Table
from scripts.engine.environment import Environment
from scripts.engine.evaluation.results import lines_of_runs, scaled_runs, seed_results
from scripts.engine.evaluation.scoring import LabeledDatasets
from scripts.engine.first_stage.first_stage import first_stages
from scripts.engine.places import TablePlace

Offsets = tuple[NDArray[np.float64], NDArray[np.float64]]  # (M, 4) of high objectness, of low


@dataclass(frozen=True, kw_only=True)
class OffsetMeasurement:
    """What was measured of the networks of a table.

    seeds: the results of each. first: the offsets of seed 0, by the label of the row; None for a
    network that was not run.
    """

    seeds: list[dict[str, Any]]
    first: dict[str, Offsets | None]


def measure_offsets(
    table: Table, place: TablePlace, environment: Environment, seeds: int, *, images: int
) -> OffsetMeasurement:
    """The offsets of the proposals that the second stage gets.

    Args:
        table: whose networks are measured.
        place: of the table.
        environment: of the command.
        seeds: how many, from 0.
        images: how many test images, from the first.
    """
    test_sets = LabeledDatasets(environment, images)
    results, offsets = [], {}
    for seed in range(seeds):
        facts = {}
        for stage in first_stages(table, place, environment, seed, test_sets):
            name = stage.run.name
            facts[name] = stage.facts
            if stage.proposals is not None:
                high, low = offset_distribution(stage.proposals, stage.targets)
                metrics = {"n": len(high), **separation(high, low)}
                facts[name] = {**stage.facts, "metrics": metrics}
                offsets[name, seed] = high, low
        lines = lines_of_runs(table, environment, facts)
        results.append(seed_results(table, place, environment, seed, lines))
    runs = scaled_runs(table, environment)
    first = {row.label: offsets.get((runs[row.run.name].name, 0)) for row in table.rows}
    return OffsetMeasurement(seeds=results, first=first)
