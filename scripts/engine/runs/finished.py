"""Trainings that have ended, and whether their last checkpoint is still there and whole."""

from pathlib import Path
from typing import Any

from scripts.engine.files import read_json
from scripts.engine.intact import is_intact
from scripts.engine.places import RunPlace
from scripts.engine.runs.step_files import newest_whole, step_files, step_of, step_path

TRAIN_ON = "delete it, and the same training, run again, goes on from its newest checkpoint"


def finished_facts(place: RunPlace) -> dict[str, Any]:
    """What a finished training has left in finished.json: updates, seconds, device.

    Raises:
        ValueError: the file is damaged.
    """
    return read_json(place.finished, TRAIN_ON, keys=("step",))


def is_last(path: Path, place: RunPlace) -> bool:
    """Whether a checkpoint has all updates of a finished training, as far as that is noted."""
    return step_of(path) >= (place.training_facts() or {}).get("step", 0)


def has_last_checkpoint(place: RunPlace) -> bool:
    """Whether a finished training has the checkpoint of its end, or at least its last weights."""
    newest = newest_whole(step_files(place.folder))
    if newest is not None and is_last(newest, place):
        return True
    return not step_files(place.folder) and place.last.is_file() and is_intact(place.last)


def last_is_lost(place: RunPlace) -> str:
    """What is wrong with a finished training whose last checkpoint is not whole, and what to do."""
    step = (place.training_facts() or {}).get("step")
    last = None if step is None else step_path(place.folder, step)
    damage = "not there" if last is None or not last.is_file() else "damaged"
    name = "" if last is None else f" {last.name}"
    what = f"the network in {place.name} is finished, but its last checkpoint{name} is"
    before = newest_whole(step_files(place.folder))
    if before is None:
        return (
            f"{what} {damage} and there is none before it; put a whole copy of it there, or delete "
            "the folder to train again from the start"
        )
    return (
        f"{what} {damage}; scripts.train, run again, goes on from {before.name} (update "
        f"{step_of(before)}) and makes it anew"
    )


def check_can_be_made_again(place: RunPlace) -> None:
    """Checks that a finished training without its last checkpoint has one before it.

    Raises:
        ValueError: if it has none.
    """
    if newest_whole(step_files(place.folder)) is None:
        raise ValueError(f"{last_is_lost(place)}.")
