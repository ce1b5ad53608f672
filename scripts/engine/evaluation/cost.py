"""What each row of a table costs: parameters, and milliseconds from one image to its detections."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from data.loader import test_batches
from data.records import Batch, Dataset, Detections
from experiments.records import Row, Run
from models.build import parameter_counts
from models.detector import Detector
from postprocess.pipeline import postprocess
from scripts.engine.environment import Environment, pick_device
from scripts.engine.places import RunPlace
from scripts.engine.timing import Action, interleaved
from scripts.engine.trained.proposals import ensure_proposals
from scripts.engine.trained.trained import trained_detector, trained_run

COST_COLUMNS = {"params_M", "speed_ms"}
REPEATS = 20


def truncated_millions(count: int) -> float:
    """Millions with two digits, cut off, as KL-RPN Table 1 prints parameters."""
    return count // 10_000 / 100


def row_costs(
    rows: Sequence[Row],
    runs: Mapping[str, Run],
    places: Mapping[str, RunPlace],
    dataset: Dataset,
    environment: Environment,
) -> list[dict[str, Any]]:
    """{"params_M", "speed_ms"} of each row, empty where its network is not trained.

    speed_ms is the median over REPEATS calls of network and post-processing on the first test
    image, batch 1. All rows are timed in one process and in turn, so that a warm or busy machine
    slows all alike.

    Args:
        rows: of the table.
        runs: the run at the scale of the command, by its name in runs.py.
        places: where each is kept, by the same names.
        dataset: the test images.
        environment: of the command.
    """
    device = pick_device(environment.device)
    networks: dict[str, tuple[Detector, Batch] | None] = {}  # read once, however many rows use it
    actions: dict[int, Action] = {}
    sizes: dict[int, int] = {}
    for index, row in enumerate(rows):
        if row.missing:
            continue
        run, place = runs[row.run.name], places[row.run.name]
        if run.name not in networks:
            networks[run.name] = network_and_image(run, place, dataset, environment, device)
        network = networks[run.name]
        if network is not None:
            actions[index] = detection(*network, row)
            sizes[index] = parameter_counts(network[0])[0]
    if not actions:
        return [{} for _ in rows]
    times = dict(zip(actions, interleaved([*actions.values()], REPEATS, device), strict=True))
    costs: list[dict[str, Any]] = [{} for _ in rows]
    for index, time in times.items():
        costs[index] = {"params_M": truncated_millions(sizes[index]), "speed_ms": time.median}
    return costs


def network_and_image(
    run: Run, place: RunPlace, dataset: Dataset, environment: Environment, device: torch.device
) -> tuple[Detector, Batch] | None:
    """A trained network and the first test image as it wants it; None if it is not trained."""
    trained = trained_run(run, place, dataset, unfinished=environment.unfinished)
    if trained is None:
        return None
    proposals = ensure_proposals(trained.run, place, environment, dataset, "test")
    batches = test_batches(dataset, trained.run.data, batch_size=1, workers=0, proposals=proposals)
    batch = next(batches).to(device)
    return trained_detector(trained, device), batch


def detection(detector: Detector, batch: Batch, row: Row) -> Action:
    """One image through the network and the row's post-processing.

    Raises:
        ValueError: the row goes on after that, with refined boxes or masks, which are not timed.
    """
    if row.refine is not None or detector.mask is not None:
        raise ValueError(
            f"{row.name}: speed_ms times neither refinement nor masks; leave the column out of the "
            "table."
        )

    def act() -> list[Detections]:
        candidates = detector.candidates(batch, row.postprocess.score_threshold, rounds=row.rounds)
        return postprocess(candidates, row.postprocess)

    return act
