"""What a training works with, made anew or read from a checkpoint, and saved again."""

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from data.formats.saved_proposals import SavedProposals
from data.loader import used_images
from data.records import Dataset
from experiments.records import Run
from models.detector import Detector
from scripts.engine.checkpoint import (
    check_format_in,
    check_same_classes,
    check_same_run,
    load_checkpoint,
    plain,
)
from scripts.engine.environment import Environment, pick_device
from scripts.engine.files import read_json
from scripts.engine.finished import (
    check_can_be_made_again,
    finished_facts,
    has_last_checkpoint,
    last_is_lost,
)
from scripts.engine.loss_scaler import LossScaler
from scripts.engine.memory import Splitting, go_on_splitting
from scripts.engine.optimizer import build_optimizer
from scripts.engine.places import RunPlace
from scripts.engine.progress import Progress
from scripts.engine.proposals import ensure_proposals
from scripts.engine.recipe import TrainOptions
from scripts.engine.start import prepared_detector
from scripts.engine.step_files import checkpoint_to_continue, newest_checkpoint
from scripts.engine.validation import Validation, metric_lines

TRAIN_AGAIN = "delete its folder to train again, or put a whole copy of the file there"
AMP_TYPES = {"off": None, "bf16": torch.bfloat16, "fp16": torch.float16}


@dataclass(frozen=True, kw_only=True)
class Task:
    """What is to be trained: a run with its classes, where it is kept, on what.

    validation: while it trains; None: none. may_grow: a longer schedule continues a shorter one.
    """

    run: Run
    place: RunPlace
    dataset: Dataset
    validation: Validation | None = None
    may_grow: bool = False


@dataclass(frozen=True, kw_only=True)
class Training:
    """Everything that a training works with.

    amp: the type of mixed precision, None for none. start: updates that were made before this
    process. seconds_before: the time that they took. proposals: for Fast R-CNN.
    """

    run: Run
    place: RunPlace
    options: TrainOptions
    device: torch.device
    amp: torch.dtype | None
    detector: Detector
    optimizer: torch.optim.Optimizer
    scaler: LossScaler
    splitting: Splitting
    classes: tuple[str, ...]
    proposals: SavedProposals | None
    start: int
    seconds_before: float
    validation: Validation | None
    metrics: list[dict[str, Any]]  # a line for each validation so far

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
        ValueError: if the folder is used, or the checkpoint is of another training.
    """
    run, place, dataset = task.run, task.place, task.dataset
    device = pick_device(environment.device)
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
    path = checkpoint_to_resume(options.resume, place)
    amp = AMP_TYPES[options.amp] if device.type == "cuda" else None
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
    start, seconds_before = 0, 0.0
    if path is not None:
        state = load_checkpoint(path)
        check_same_training(state, path, task, options.seed, proposals)
        detector.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
        if scaler.is_enabled() and state["scaler"]:  # empty if the part before was not float16
            scaler.load_state_dict(state["scaler"])
        go_on_splitting(splitting, state.get("accumulate"))
        start, seconds_before = state["step"], state["seconds"]
        print(f"resume: {path} at update {start}")
    return Training(
        run=run,
        place=place,
        options=options,
        device=device,
        amp=amp,
        detector=detector,
        optimizer=optimizer,
        scaler=scaler,
        splitting=splitting,
        classes=dataset.classes,
        proposals=proposals,
        start=start,
        seconds_before=seconds_before,
        validation=task.validation,
        metrics=metric_lines(place.metrics, start),
    )


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


def is_longer_now(task: Task) -> bool:
    """Whether a finished training goes on, because its schedule has become longer."""
    if not task.may_grow:
        return False
    record = read_json(task.place.record, TRAIN_AGAIN, keys=("train",))
    return record["train"]["iterations"] < task.run.train.iterations


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


def is_still_there(place: RunPlace) -> bool:
    """Whether the finished network at ``place`` is still there; says so if it is not.

    Raises:
        ValueError: if it is not, and no checkpoint is there to go on from.
    """
    if has_last_checkpoint(place):
        return True
    check_can_be_made_again(place)
    print(f"warning: {last_is_lost(place)}.", flush=True)
    return False


def check_finished(
    run: Run, place: RunPlace, dataset: Dataset, environment: Environment
) -> dict[str, Any]:
    """Checks that the finished network at ``place`` is of this run, data and proposals.

    Returns:
        what was noted when it was finished.

    Raises:
        ValueError: if it is not.
    """
    check_format_in(place.folder)
    check_same_run(read_json(place.record, TRAIN_AGAIN, keys=("data",)), run, place.folder)
    facts = finished_facts(place)
    check_same_classes(place.folder, classes_of(place, facts), dataset.classes, "continue")
    if environment.proposals is not None:
        proposals = ensure_proposals(run, place, environment, dataset, "train")
        check_same_proposals(None if proposals is None else proposals.key, facts, place.folder)
    return facts


def classes_of(place: RunPlace, facts: dict[str, Any]) -> Sequence[str]:
    """The classes of the finished network at ``place``; what older trainings left lacks them.

    Args:
        place: of the run.
        facts: what was noted when it was finished.
    """
    if "classes" in facts:
        return facts["classes"]
    path = newest_checkpoint(place.folder)
    return () if path is None else load_checkpoint(path)["classes"]
