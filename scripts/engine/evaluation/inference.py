"""From a trained network to detections: its candidates, kept on disk, and their post-processing.

One forward pass serves all rows of a table, because rows differ in what happens to the candidates.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from data.config import DataConfig
from data.formats.saved_proposals import SavedProposals
from data.records import Candidates, Dataset, Detections
from experiments.records import Row, Run
from postprocess.pipeline import postprocess
from scripts.engine.environment import Environment, pick_device
from scripts.engine.intact import known_sha256
from scripts.engine.kept_tensors import keep_tensors, load_tensors
from scripts.engine.pixels import pixels_digest
from scripts.engine.places import RunPlace
from scripts.engine.processes import gathered
from scripts.engine.results_version import RESULTS_VERSION, inference_key
from scripts.engine.trained.proposals import ensure_proposals, other_proposer, part_of_split
from scripts.engine.trained.trained import (
    TrainedRun,
    predict,
    trained_batches,
    trained_detector,
    trained_run,
)

IMAGES_AT_ONCE = 64  # post-processed together


@dataclass(frozen=True, kw_only=True)
class NetworkCandidates:
    """The candidates of every image, and the network's updates, made and planned."""

    candidates: list[Candidates]
    updates: int
    of_updates: int


def run_candidates(
    run: Run,
    place: RunPlace,
    dataset: Dataset,
    environment: Environment,
    *,
    threshold: float,
    split: str = "",
    rounds: int = 1,
) -> NetworkCandidates | None:
    """The candidates of every image of a data set, from disk or a forward pass.

    Args:
        run: at the scale and on the data of the command.
        place: of ``run``; the candidates are kept there.
        dataset: the images.
        environment: of the command.
        threshold: least score of a candidate.
        split: the name of the split if it is not the run's test split.
        rounds: how often boxes go through the box head.

    Returns:
        the candidates; None if there is no network to evaluate.

    Raises:
        ValueError: if the checkpoint is of another format, configuration or list of classes.
    """
    trained = trained_run(run, place, dataset, unfinished=environment.unfinished)
    if trained is None:
        return None
    proposals = ensure_proposals(trained.run, place, environment, dataset, part_of_split(split))
    if proposals is not None and other_proposer(trained.state.get("proposals"), proposals.key):
        print(
            f"warning: {trained.checkpoint} learned from the proposals of another network than the "
            f"{run.proposals} that is there now, and is tested with those of the latter; train it "
            "again in another --out folder",
            flush=True,
        )
    key = candidates_key(trained, dataset, proposals, threshold, rounds)
    path = place.candidates(split, rounds)
    candidates = load_candidates(path, key)
    if not all(gathered(candidates is not None)):
        candidates = forward_pass(trained, dataset, proposals, environment, threshold, rounds)
        save_candidates(path, candidates, key)
    assert candidates is not None
    return NetworkCandidates(
        candidates=candidates, updates=trained.updates, of_updates=trained.of_updates
    )


def forward_pass(
    trained: TrainedRun,
    dataset: Dataset,
    proposals: SavedProposals | None,
    environment: Environment,
    threshold: float,
    rounds: int,
) -> list[Candidates]:
    """The candidates of every image; the arguments are those of ``run_candidates``."""
    device = pick_device(environment.device)
    detector = trained_detector(trained, device)
    batches = trained_batches(trained, dataset, environment, proposals=proposals)
    return predict(
        lambda batch: detector.candidates(batch, threshold, rounds=rounds),
        batches,
        images=len(dataset),
        name=trained.run.name,
        unit="candidates",
        device=device,
    )


def candidates_key(
    trained: TrainedRun,
    dataset: Dataset,
    proposals: SavedProposals | None,
    threshold: float,
    rounds: int,
) -> dict[str, Any]:
    """What a file of candidates was computed from."""
    key = {
        "checkpoint": known_sha256(trained.checkpoint),
        "threshold": threshold,
        "images": [str(image) for image in dataset.image_ids],
        "sizes": [list(size) for size in dataset.sizes],
        "pixels": pixels_digest(dataset),
    }
    key |= inference_key()
    if proposals is not None:
        key["proposals"] = proposals.key
        if trained.run.data.proposals_test != DataConfig.proposals_test:
            key["proposals_test"] = trained.run.data.proposals_test
    if rounds > 1:
        key["rounds"] = rounds
    return key


def detections_of(candidates: Sequence[Candidates], row: Row) -> list[Detections]:
    """The detections of each image after a row's post-processing."""
    detections: list[Detections] = []
    for start in range(0, len(candidates), IMAGES_AT_ONCE):
        detections += postprocess(candidates[start : start + IMAGES_AT_ONCE], row.postprocess)
    return detections


FIELDS = ("boxes", "scores", "labels", "variances", "pixel_variances", "localization")


def save_candidates(path: Path, candidates: Sequence[Candidates], key: dict[str, Any]) -> None:
    """Keeps the candidates, if that is possible, with ``key``: what they were computed from."""
    content: dict[str, Any] = {
        "key": key,
        "counts": [len(image.scores) for image in candidates],
        "results_version": RESULTS_VERSION,
    }
    for name in FIELDS:
        parts = [getattr(image, name) for image in candidates]
        content[name] = None if any(part is None for part in parts) else torch.cat(parts)
    keep_tensors(path, content)


def load_candidates(path: Path, key: dict[str, Any]) -> list[Candidates] | None:
    """The candidates in ``path``; None if they were computed from another key, or are not there."""
    content = load_tensors(path, {"key", "counts"})
    if content is None or content["key"] != key:
        return None
    counts = content["counts"]
    # an older file has no localization
    columns = {name: split(content.get(name), counts) for name in FIELDS}
    images = []
    for index in range(len(counts)):
        fields = {name: column[index] for name, column in columns.items()}
        images.append(Candidates(**fields))  # type: ignore[arg-type]
    return images


def split(column: Tensor | None, counts: Sequence[int]) -> Sequence[Tensor | None]:
    """The part of each image; None for each where there is no such column."""
    return [None] * len(counts) if column is None else column.split(list(counts))
