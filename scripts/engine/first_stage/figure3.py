"""Measures the offsets of good and bad proposals, KL-RPN Figure 3."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from data.scoring.offset_distribution import offset_distribution, separation
from experiments.records import Table
from scripts.engine.environment import Environment
from scripts.engine.evaluation.results import Line, scaled_runs
from scripts.engine.evaluation.scoring import LabeledDatasets
from scripts.engine.first_stage.first_stage import FirstStage, measured_seeds
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
    offsets: dict[tuple[str, int], Offsets] = {}

    def line_of(stage: FirstStage, seed: int) -> Line:
        assert stage.proposals is not None
        high, low = offset_distribution(stage.proposals, stage.targets)
        offsets[stage.run.name, seed] = high, low
        return {**stage.facts, "metrics": {"n": len(high), **separation(high, low)}}

    results = measured_seeds(table, place, environment, seeds, test_sets, line_of)
    runs = scaled_runs(table, environment)
    first = {row.label: offsets.get((runs[row.run.name].name, 0)) for row in table.rows}
    return OffsetMeasurement(seeds=results, first=first)
