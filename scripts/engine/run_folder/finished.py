"""Trainings that have ended, and whether their last checkpoint is still there and whole."""

from pathlib import Path
from typing import Any

from scripts.engine.files import read_json
from scripts.engine.places import RunPlace
from scripts.engine.run_folder.step_files import (
    newest_whole,
    step_files,
    step_of,
    step_path,
    updates_of,
)

TRAIN_ON = "delete it, and the same training, run again, goes on from its newest checkpoint"


def finished_facts(place: RunPlace) -> dict[str, Any]:
    """What a finished training has left in finished.json: updates, seconds, device.

    Raises:
        ValueError: the file is damaged.
    """
    return read_json(place.finished, TRAIN_ON, keys=("step",))


def finished_network(place: RunPlace) -> Path | None:
    """The file with the network of a finished training: the checkpoint of its end, or last.pt, the
    weights alone; None if neither is there and whole, or the training has not ended.
    """
    facts = place.training_facts()
    if facts is None:
        return None
    updates = facts.get("step", 0)  # as far as that is noted
    newest = newest_whole(step_files(place.folder))
    if newest is not None and step_of(newest) >= updates:
        return newest
    held = updates_of(place.last)
    return place.last if held is not None and held >= updates else None


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
