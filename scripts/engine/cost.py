"""What each row of a table costs: parameters, and milliseconds from one image to its detections."""

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from data.loader import test_batches
from data.records import Batch, Dataset, Detections
from experiments.records import Row, Run
from models.build import parameter_counts
from models.detector import Detector
from postprocess.pipeline import postprocess
from scripts.engine.places import pick_device
from scripts.engine.timing import Action, interleaved
from scripts.engine.trained import trained_detector, trained_run
from scripts.save_proposals import ensure_proposals

COST_COLUMNS = {"params_M", "speed_ms"}
REPEATS = 20


def truncated_millions(count: int) -> float:
    """Millions with two digits, cut off, as KL-RPN Table 1 prints parameters."""
    return count // 10_000 / 100


def row_costs(rows: Sequence[Row], runs: Mapping[str, Run], folders: Mapping[str, Path], dataset: Dataset,
              args: argparse.Namespace) -> list[dict[str, Any]]:
    """{"params_M", "speed_ms"} of each row, empty where its network is not trained.

    speed_ms: median over REPEATS calls of network and post-processing on the first test image, batch 1; all rows in one
    process and in turn, so that a warm or busy machine slows all alike.

    Args:
        runs, folders: the scaled run of each paper-scale run name, and where each is kept.
    """
    device = pick_device(args.device)
    networks: dict[str, tuple[Detector, Batch] | None] = {}  # each read once, however many rows it stands behind
    actions: dict[int, Action] = {}
    sizes: dict[int, int] = {}
    for index, row in enumerate(rows):
        name = runs[row.run.name].name
        if name not in networks and not row.missing:
            networks[name] = ready(runs[row.run.name], folders[row.run.name], dataset, args, device)
        network = None if row.missing else networks[name]
        if network is not None:
            actions[index] = detection(*network, row)
            sizes[index] = parameter_counts(network[0])[0]
    times = dict(zip(actions, interleaved(list(actions.values()), REPEATS, device), strict=True)) if actions else {}
    return [{"params_M": truncated_millions(sizes[i]), "speed_ms": times[i].median} if i in times else {}
            for i in range(len(rows))]


def ready(run: Run, folder: Path, dataset: Dataset, args: argparse.Namespace,
          device: torch.device) -> tuple[Detector, Batch] | None:
    """A trained network and the first test image as it wants it; None if it is not trained."""
    found = trained_run(run, folder, dataset, args)
    if found is None:
        return None
    trained, _, state = found
    proposals = ensure_proposals(trained, folder, args, dataset, "test")
    batch = next(test_batches(dataset, trained.data, batch_size=1, workers=0, proposals=proposals)).to(device)
    return trained_detector(trained, state, device), batch


def detection(detector: Detector, batch: Batch, row: Row) -> Action:
    """One image through the network and the row's post-processing."""

    def act() -> list[Detections]:
        return postprocess(detector.candidates(batch, row.postprocess.score_threshold), row.postprocess)

    return act
