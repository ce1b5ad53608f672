"""Trained networks as they are kept in the folder of a run, and passes over images with them."""

import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import torch
from tqdm import tqdm

from data.formats.saved_proposals import SavedProposals
from data.loader import test_batches
from data.records import Batch, Candidates, Dataset, Proposals
from data.sampler import in_order
from experiments.records import Run
from models.build import build_detector
from models.detector import Detector
from scripts.engine.environment import Environment
from scripts.engine.files import tidy
from scripts.engine.memory import evaluated_within_memory
from scripts.engine.places import RunPlace
from scripts.engine.processes import is_first, joined_lists, share
from scripts.engine.run_folder.checkpoint import (
    check_same_classes,
    check_same_run,
    load_checkpoint,
    newest_checkpoint,
    plain,
)
from scripts.engine.run_folder.finished import finished_network
from scripts.engine.weights.start import with_padding

BATCH = 4  # images in a forward pass of an evaluation
Prediction = TypeVar("Prediction", Candidates, Proposals)


@dataclass(frozen=True, kw_only=True)
class TrainedRun:
    """A run as it was trained, the newest file of its network, and the state in it."""

    run: Run
    checkpoint: Path
    state: dict[str, Any]

    @property
    def updates(self) -> int:
        """Updates that were made."""
        return self.state["step"]

    @property
    def of_updates(self) -> int:
        """Updates that were planned."""
        return self.state["run"]["train"]["iterations"]


def trained_run(
    run: Run, place: RunPlace, dataset: Dataset, *, unfinished: bool = False
) -> TrainedRun | None:
    """The network of a run, checked against the run and the data set.

    Args:
        run: at the scale and on the data of the command.
        place: where it is kept.
        dataset: what it is to be evaluated on.
        unfinished: whether a training that has not ended is good enough.

    Returns:
        the trained run; None if there is none to evaluate.

    Raises:
        ValueError: if the checkpoint is of another format, configuration or list of classes.
    """
    tidy(place.folder)
    path = finished_network(place)
    if path is None and unfinished:
        path = newest_checkpoint(place.folder)
    if path is None:
        return None
    state = load_checkpoint(path)
    check_same_classes(path, state["classes"], dataset.classes, "evaluate")
    run = as_trained(run, state["run"], len(dataset.classes))
    check_same_run({**state["run"], "train": plain(asdict(run))["train"]}, run, path)
    return TrainedRun(run=run, checkpoint=path, state=state)


def as_trained(run: Run, trained: dict[str, Any], num_classes: int) -> Run:
    """The run with what the command line of its training may have changed.

    Args:
        run: at the scale and on the data of the command.
        trained: the plain values of the run in the checkpoint.
        num_classes: of the data set.
    """
    model = with_padding(run.model, trained["model"]["backbone"]["tf_padding"])
    model = replace(model, num_classes=num_classes)
    data = replace(run.data, pixels=trained["data"]["pixels"])
    return replace(run, start=trained["start"], model=model, data=data)


def trained_detector(trained: TrainedRun, device: torch.device) -> Detector:
    """The network of a trained run on ``device``, in eval mode."""
    detector = build_detector(trained.run.model)
    detector.load_state_dict(trained.state["model"])
    return detector.to(device).eval()


def trained_batches(
    trained: TrainedRun,
    dataset: Dataset,
    environment: Environment,
    *,
    proposals: SavedProposals | None = None,
    indices: Sequence[int] | None = None,
) -> Iterator[Batch]:
    """This process's share of ``test_batches`` as a trained run wants them, BATCH images each."""
    return test_batches(
        dataset,
        trained.run.data,
        batch_size=BATCH,
        workers=environment.workers,
        proposals=proposals,
        indices=indices,
        share=share(),
    )


def predict(
    forward: Callable[[Batch], Sequence[Prediction]],
    batches: Iterable[Batch],
    *,
    images: int,
    name: str,
    unit: str,
    device: torch.device,
) -> list[Prediction]:
    """What a network says of each image, on the CPU, in the order of the data set.

    Prints how many boxes that are, and the speed. Several processes put together what each says of
    its own batches.

    Args:
        forward: one prediction for each image of a batch.
        batches: of at most BATCH images each, of this process.
        images: how many images there are in all, for the bar.
        name: of the run, for the printed line.
        unit: what the predictions are called: "candidates" or "proposals".
        device: where the network is.

    Raises:
        OutOfMemoryFault: a batch does not fit into memory.
    """
    predictions: list[Prediction] = []
    indices: list[int] = []
    began = time.monotonic()
    with tqdm(
        total=images, desc=f"{name} {unit}", disable=not (is_first() and sys.stderr.isatty())
    ) as bar:
        for batch in batches:
            with evaluated_within_memory(batch, device):
                predictions += [prediction.to("cpu") for prediction in forward(batch.to(device))]
            indices += batch.indices
            bar.update(len(batch.indices) * share().of)
    predictions = in_order(joined_lists(predictions), joined_lists(indices))
    boxes = sum(len(prediction.boxes) for prediction in predictions)
    speed = len(predictions) / (time.monotonic() - began)
    print(
        f"{name}: {len(predictions)} images, {boxes} {unit}, {speed:.1f} img/s on {device}",
        flush=True,
    )
    return predictions
