"""What a training works with, made anew or read from a checkpoint; saving.py beside it saves it."""

import shutil
import time
import warnings
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from data.formats.saved_proposals import SavedProposals
from data.loader import used_images
from data.records import Dataset
from experiments.records import Run
from models.detector import Detector
from scripts.engine.data_identity import DataFacts, training_facts
from scripts.engine.environment import Environment, pick_device
from scripts.engine.files import tidy
from scripts.engine.memory import Splitting, go_on_splitting
from scripts.engine.places import RunPlace
from scripts.engine.processes import are_several, lost_processes, said_by_first
from scripts.engine.results_version import version_note
from scripts.engine.run_folder import heartbeat
from scripts.engine.run_folder.checkpoint import (
    check_same_classes,
    check_same_run,
    load_checkpoint,
    plain,
)
from scripts.engine.run_folder.step_files import checkpoint_to_continue
from scripts.engine.tensorboard.shown_images import Shown
from scripts.engine.trained.proposals import ensure_proposals
from scripts.engine.training.origin import Origin, continued_origin, new_origin
from scripts.engine.training.progress import Progress
from scripts.engine.training.recipe import TrainOptions
from scripts.engine.training.validation import Validation, metric_lines
from scripts.engine.update.loss_scaler import LossScaler
from scripts.engine.update.mixed_precision import amp_type
from scripts.engine.update.optimizer import build_optimizer, load_optimizer
from scripts.engine.weights.start import prepared_detector


@dataclass(frozen=True, kw_only=True)
class Task:
    """What is to be trained: a run with its classes, where it is kept, on what.

    validation: while it trains; None: none. may_grow: a longer schedule continues a shorter one.
    shown: opens the labeled images that TensorBoard shows; None: it shows none.
    """

    run: Run
    place: RunPlace
    dataset: Dataset
    validation: Validation | None = None
    may_grow: bool = False
    shown: Callable[[], Shown | None] | None = None


@dataclass(frozen=True, kw_only=True)
class Training:
    """Everything that a training works with.

    amp: the type of mixed precision, None for none. network: the detector, or what shares its
    updates with other processes. start: updates that were made before this process.
    seconds_before: the time that they took. skipped_before: images of theirs that could not be
    read. proposals: for Fast R-CNN. facts: of the data. origin: what the network came from. shown:
    see ``Task``.
    """

    run: Run
    place: RunPlace
    options: TrainOptions
    device: torch.device
    amp: torch.dtype | None
    detector: Detector
    network: nn.Module
    optimizer: torch.optim.Optimizer
    scaler: LossScaler
    splitting: Splitting
    classes: tuple[str, ...]
    proposals: SavedProposals | None
    facts: DataFacts
    origin: Origin
    start: int
    seconds_before: float
    skipped_before: int
    validation: Validation | None
    metrics: list[dict[str, Any]]  # a line for each validation so far
    shown: Callable[[], Shown | None] | None = None

    @property
    def proposals_key(self) -> str | None:
        """Which proposals the network is trained on."""
        return None if self.proposals is None else self.proposals.key

    def seconds(self, progress: Progress) -> float:
        """The time that all updates took, in every process."""
        return self.seconds_before + time.monotonic() - progress.began


def prepare_training(task: Task, environment: Environment, options: TrainOptions) -> Training:
    """Builds network and optimizer, and continues from a checkpoint if the options say so.

    Raises:
        ValueError: if the folder is used, the checkpoint is of another training, or the device
        has no use for the mixed precision.
    """
    run, place, dataset = task.run, task.place, task.dataset
    device = pick_device(environment.device)
    amp = amp_type(options.amp, device)
    if options.resume == "none" and place.has_checkpoints:
        raise ValueError(
            f"--resume none: {place.folder} holds checkpoints of an earlier training; delete that "
            "folder to train again, or choose another --out."
        )
    print(
        f"data: {used_images(dataset, run.data)}, {len(dataset.classes)} classes; device {device}; "
        f"writing {place.folder}"
    )
    proposals = ensure_proposals(run, place, environment, dataset, "train")
    validation = task.validation
    if validation is not None:
        tested = ensure_proposals(run, place, environment, validation.dataset, "test")
        if tested is not None:
            tested.check_covers(validation.dataset.image_ids)
        validation = replace(validation, proposals=tested)
    path = said_by_first(lambda: checkpoint_to_start_from(options.resume, place))
    torch.manual_seed(options.seed)
    detector = prepared_detector(
        run,
        options.weights,
        place,
        dataset.classes,
        resumed=path is not None,
        start_from=options.start_from,
    )
    detector = detector.to(device)
    optimizer = build_optimizer(detector, run.train)
    scaler = LossScaler(device.type, enabled=amp is torch.float16)
    splitting = Splitting(parts=options.accumulate, grows=options.auto_accumulate)
    start, seconds_before, skipped_before = 0, 0.0, 0
    facts = training_facts(dataset, run.data)
    if path is None:
        origin = new_origin(facts, run, options, place)
    else:
        state = load_checkpoint(path)
        check_same_training(state, path, task, options.seed, proposals)
        origin = continued_origin(state, facts, run, options, path)
        detector.load_state_dict(state["model"])
        load_optimizer(optimizer, state["optimizer"])
        if scaler.is_enabled() and state["scaler"]:  # empty if the part before was not float16
            scaler.load_state_dict(state["scaler"])
        go_on_splitting(splitting, state.get("accumulate"))
        start, seconds_before = state["step"], state["seconds"]
        skipped_before = state.get("skipped_images", 0)  # older checkpoints have not counted
        print(f"resume: {path} at update {start}")
        say_version(state)
    return Training(
        run=run,
        place=place,
        options=options,
        device=device,
        amp=amp,
        detector=detector,
        network=shared_between_processes(detector),
        optimizer=optimizer,
        scaler=scaler,
        splitting=splitting,
        classes=dataset.classes,
        proposals=proposals,
        facts=facts,
        origin=origin,
        start=start,
        seconds_before=seconds_before,
        skipped_before=skipped_before,
        validation=validation,
        metrics=metric_lines(place.metrics, start),
        shown=task.shown,
    )


def shared_between_processes(detector: Detector) -> nn.Module:
    """The detector, or a DistributedDataParallel of it that averages its gradients.

    Buffers are the statistics of batch norms, which all processes compute alike.
    """
    if not are_several():
        return detector
    with warnings.catch_warnings(), lost_processes():
        # torch 2.14 calls ``broadcast_buffers`` deprecated, earlier versions know no other name
        warnings.filterwarnings("ignore", message=".*broadcast_buffers", category=FutureWarning)
        return DistributedDataParallel(
            detector, broadcast_buffers=False, gradient_as_bucket_view=True
        )


def checkpoint_to_start_from(resume: str, place: RunPlace) -> Path | None:
    """``checkpoint_to_resume``, after what killed processes left in the folder is removed."""
    tidy(place.folder)
    shutil.rmtree(place.folder / heartbeat.FOLDER, ignore_errors=True)
    return checkpoint_to_resume(resume, place)


def checkpoint_to_resume(resume: str, place: RunPlace) -> Path | None:
    """The checkpoint that --resume stands for; None to start anew.

    A file from elsewhere is where the training began: once it has checkpoints of its own, the same
    command continues from the newest of those.
    """
    if resume == "none":
        return None
    if resume != "auto" and Path(resume).resolve().parent == place.folder.resolve():
        return Path(resume)
    newest = checkpoint_to_continue(place.folder)
    return newest if resume == "auto" or newest is not None else Path(resume)


def check_same_training(
    state: dict[str, Any],
    path: Path,
    task: Task,
    seed: int,
    proposals: SavedProposals | None,
) -> None:
    """Checks that a checkpoint is of this run, seed, data and proposals.

    Converted weights have made no update: they were trained on no proposals of ours, and the names
    of their classes are guessed from their number.

    Raises:
        ValueError: if it is not.
    """
    check_has_optimizer(state, path)
    check_same_run(grown(state["run"], task), task.run, path)
    if state["seed"] != seed:
        raise ValueError(
            f"The checkpoint {path} was trained with seed {state['seed']}; continue it with --seed "
            f"{state['seed']}, or start seed {seed} in its own folder."
        )
    if state["step"]:
        check_same_classes(path, state["classes"], task.dataset.classes, "continue")
        check_same_proposals(None if proposals is None else proposals.key, state, path)


CONTINUED = ("optimizer", "scaler", "seed", "seconds", "classes")  # that a training goes on with


def check_has_optimizer(state: dict[str, Any], path: Path) -> None:
    """Checks that a checkpoint holds what a training needs to go on.

    Raises:
        ValueError: if it holds the weights alone, as best.pt and last.pt do, or lacks another part.
    """
    missing = [name for name in CONTINUED if name not in state]
    if missing:
        what = "holds weights alone" if "optimizer" in missing else f"lacks {', '.join(missing)}"
        raise ValueError(
            f"{path} {what}, from which a training cannot be continued; give a "
            f"step-*.pt with --resume, or begin a new training with --from {path}."
        )


LENGTH = ("iterations", "lr_drops", "warmup_iterations")  # fields of TrainConfig


def grown(saved: dict[str, Any], task: Task) -> dict[str, Any]:
    """A saved run with the longer schedule of a task that may grow."""
    if not task.may_grow or saved["train"]["iterations"] >= task.run.train.iterations:
        return saved
    now = plain(asdict(task.run.train))
    return {**saved, "train": {**saved["train"], **{name: now[name] for name in LENGTH}}}


def check_same_proposals(key: str | None, state: dict[str, Any], path: Path) -> None:
    """Checks that the network in ``path`` was trained on the proposals with this key.

    Raises:
        ValueError: if it was not.
    """
    if state.get("proposals") != key:
        raise ValueError(
            f"The network in {path} learned from other proposals; go on with the same ones, or "
            "start over in another --out folder."
        )


def say_version(state: dict[str, Any]) -> None:
    """Says so if another version of the code, with other results, made a checkpoint's updates."""
    note = version_note(state)
    if state["step"] and note is not None:
        print(note, flush=True)
