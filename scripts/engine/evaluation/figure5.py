"""Measures what variance voting does to the boxes of recognized objects, KL Loss Figure 5."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from data.records import Candidates, Dataset, Detections
from data.scoring.box_moves import Moves, find_moves, move_numbers
from experiments.records import Row, Table
from scripts.engine.environment import Environment, scaled_run
from scripts.engine.evaluation.inference import NetworkCandidates, detections_of, run_candidates
from scripts.engine.evaluation.results import Line, not_trained, row_line, run_facts, seed_results
from scripts.engine.evaluation.scoring import LabeledDataset, LabeledDatasets
from scripts.engine.places import TablePlace


@dataclass(frozen=True, kw_only=True)
class VotingMoves:
    """How the boxes of one network move.

    before: the detections before voting, sigma in offset units. moves: of those that mean the same
    object before and after.
    """

    dataset: Dataset
    candidates: list[Candidates]
    before: list[Detections]
    moves: Moves


@dataclass(frozen=True, kw_only=True)
class VotingSeed:
    """The results of one seed, and how its boxes move; None if it is not trained."""

    seed: int
    results: dict[str, Any]
    voting: VotingMoves | None


def measure_voting(
    table: Table, place: TablePlace, environment: Environment, seeds: int
) -> Iterator[VotingSeed]:
    """What voting does, seed by seed.

    Args:
        table: its two rows are one network, before and after voting.
        place: of the table.
        environment: of the command.
        seeds: how many, from 0.
    """
    before, after = table.rows
    run = scaled_run(before.run, environment)
    labeled = LabeledDatasets(environment).of(run)
    threshold = min(row.postprocess.score_threshold for row in table.rows)
    for seed in range(seeds):
        run_place = place.run_place(run, seed)
        network = run_candidates(run, run_place, labeled.dataset, environment, threshold=threshold)
        voting = None
        facts: Line = {"why": not_trained(run_place)}
        numbers: Sequence[dict[str, Any] | None] = (None, None)
        if network is not None:
            facts = run_facts(run_place, network.updates, network.of_updates, labeled.identity)
            voting = voting_moves(network, before, after, labeled)
            numbers = move_numbers(voting.moves)
        lines = [
            {**row_line(row, run), **facts, "metrics": metrics}
            for row, metrics in zip(table.rows, numbers, strict=True)
        ]
        results = seed_results(table, place, environment, seed, lines)
        yield VotingSeed(seed=seed, results=results, voting=voting)


def voting_moves(
    network: NetworkCandidates, before: Row, after: Row, labeled: LabeledDataset
) -> VotingMoves:
    """The moves from one row's detections to the other's."""
    old = detections_of(in_offset_units(network.candidates), before)
    new = detections_of(network.candidates, after)
    return VotingMoves(
        dataset=labeled.dataset,
        candidates=network.candidates,
        before=old,
        moves=find_moves(old, new, labeled.targets),
    )


def in_offset_units(candidates: Sequence[Candidates]) -> list[Candidates]:
    """The same candidates with the variances of the offsets in the place of those in px."""
    return [replace(image, pixel_variances=image.variances) for image in candidates]
