"""Trainings that are run again after their end: whether they are the same, and whole."""

from collections.abc import Sequence
from typing import Any

from scripts.engine.data_identity import training_facts
from scripts.engine.environment import Environment
from scripts.engine.files import read_json
from scripts.engine.places import RunPlace
from scripts.engine.run_folder.checkpoint import (
    check_format_in,
    check_same_classes,
    check_same_run,
    load_checkpoint,
)
from scripts.engine.run_folder.finished import (
    check_can_be_made_again,
    finished_facts,
    finished_network,
    last_is_lost,
)
from scripts.engine.run_folder.step_files import last_weights, newest_checkpoint
from scripts.engine.trained.proposals import ensure_proposals
from scripts.engine.training.origin import continued_origin
from scripts.engine.training.recipe import TrainOptions
from scripts.engine.training.state import Task, check_same_proposals

TRAIN_AGAIN = "delete its folder to train again, or put a whole copy of the file there"


def is_longer_now(task: Task) -> bool:
    """Whether a finished training goes on, because its schedule has become longer.

    Raises:
        ValueError: it cannot, because the weights of its end alone are left.
    """
    if not task.may_grow:
        return False
    place = task.place
    record = read_json(place.record, TRAIN_AGAIN, keys=("train",))
    if record["train"]["iterations"] >= task.run.train.iterations:
        return False
    if finished_network(place) == place.last:
        raise ValueError(
            f"{place.folder}: the training has ended and its checkpoints step-*.pt are gone, so it "
            f"cannot go on for longer; fine-tune its weights in another --out folder with --from "
            f"{place.last}, or delete the folder to train again."
        )
    return True


def is_still_there(place: RunPlace) -> bool:
    """Whether the finished network at ``place`` is still there; says so if it is not.

    Raises:
        ValueError: if it is not, and no checkpoint is there to go on from.
    """
    if finished_network(place) is not None:
        return True
    check_can_be_made_again(place)
    print(f"warning: {last_is_lost(place)}.", flush=True)
    return False


def check_finished(task: Task, environment: Environment, options: TrainOptions) -> dict[str, Any]:
    """Checks that the finished network of a task is of this run, data, weights and proposals.

    Returns:
        what was noted when it was finished.

    Raises:
        ValueError: if it is not.
    """
    run, place, dataset = task.run, task.place, task.dataset
    check_format_in(place.folder)
    check_same_run(read_json(place.record, TRAIN_AGAIN, keys=("data",)), run, place.folder)
    facts = finished_facts(place)
    check_same_classes(place.folder, classes_of(place, facts), dataset.classes, "continue")
    if "origin" in facts:
        now = training_facts(dataset, run.data)
        continued_origin(facts, now, run, options, place.folder)
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
    path = newest_checkpoint(place.folder) or last_weights(place.folder)
    return () if path is None else load_checkpoint(path)["classes"]
