"""The checkpoints step-*.pt in the folder of a run: which are whole, which stay, which are set
aside.
"""

import re
from collections.abc import Sequence
from pathlib import Path

import torch

from scripts.engine.command import EnvironmentFault
from scripts.engine.files import sha256
from scripts.engine.intact import is_intact, note_of, note_path, recorded_sha256, write_note

KEPT = 2  # newest whole checkpoints that stay
NAME = re.compile(r"step-(\d+)\.pt")
LAST = "last.pt"  # in a run's folder: the weights alone where its training ended or stopped
SET_ASIDE = ".corrupt"  # added to the name of a damaged checkpoint


def step_path(folder: Path, step: int) -> Path:
    """The checkpoint after ``step`` updates."""
    return folder / f"step-{step:08d}.pt"


def step_of(path: Path) -> int:
    """The updates that are in the name of a checkpoint."""
    name = NAME.fullmatch(path.name)
    assert name is not None
    return int(name[1])


def step_files(folder: Path) -> list[Path]:
    """Every checkpoint in a folder, the one with the most updates first."""
    files = [path for path in folder.glob("step-*.pt") if NAME.fullmatch(path.name)]
    return sorted(files, key=step_of, reverse=True)


def is_whole(path: Path) -> bool:
    """Whether a checkpoint is complete and undamaged; a lost note is written again."""
    if not is_intact(path):
        return False
    return recorded_sha256(path) is not None or has_note_again(path)


def updates_of(path: Path) -> int | None:
    """The updates of a checkpoint of any name; None if it is not whole."""
    return note_of(path).get("step") if is_whole(path) else None


def has_note_again(path: Path) -> bool:
    """Writes the note of a checkpoint that has none; whether the file is a checkpoint at all."""
    try:
        state = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
        facts = {"step": state["step"], "format": state.get("format")}
    except Exception:  # what is no checkpoint makes the unpickler raise anything
        return False
    try:
        write_note(path, sha256(path), **facts)
    except (OSError, EnvironmentFault) as error:
        print(f"warning: {note_path(path)} is lost and cannot be written again ({error}).")
    return True


def newest_whole(files: Sequence[Path]) -> Path | None:
    """The first of some checkpoints, newest first, that is whole."""
    return next((path for path in files if is_whole(path)), None)


def newest_checkpoint(folder: Path) -> Path | None:
    """The newest complete and undamaged checkpoint, or None. Names damaged ones it passes over."""
    for path in step_files(folder):
        if is_whole(path):
            return path
        print(f"warning: {path} is incomplete or damaged and is passed over.", flush=True)
    return None


def last_weights(folder: Path) -> Path | None:
    """The weights alone in LAST; None if they are not there or not whole."""
    return newest_whole([folder / LAST])


def checkpoint_to_continue(folder: Path) -> Path | None:
    """The newest whole checkpoint, for a training that goes on; None in a folder without any.

    Damaged ones above it are set aside, so that nothing takes them for the newest again.

    Raises:
        ValueError: if there are checkpoints and none is whole: a training from the start must not
            begin unasked.
    """
    files = step_files(folder)
    newest = newest_whole(files)
    if newest is None and files:
        names = ", ".join(path.name for path in files)
        raise ValueError(
            f"None of the checkpoints in {folder} can be used ({names}): they are incomplete or "
            "damaged; put whole copies of them there, or delete the folder to train again from "
            "the start."
        )
    for path in files[: files.index(newest)] if newest is not None else ():
        set_aside(path)
    return newest


def set_aside(path: Path) -> None:
    """Renames a damaged checkpoint, and its note, to what nothing reads, and says so."""
    goal = path.with_name(path.name + SET_ASIDE)
    try:
        path.replace(goal)
        if note_path(path).is_file():
            note_path(path).replace(note_path(path).with_name(note_path(path).name + SET_ASIDE))
    except OSError as error:
        print(f"warning: {path} is incomplete or damaged and is passed over ({error}).", flush=True)
        return
    print(
        f"warning: {path} is incomplete or damaged and is now called {goal.name}; the checkpoint "
        "before it is used.",
        flush=True,
    )


def remove_old(written: Path) -> list[str]:
    """Removes the checkpoints below the one just written that are not needed any more.

    It stays itself, and so do the newest KEPT whole ones, of all and of those up to it: damaged
    ones do not count.

    Returns:
        why those that could not be removed were not.
    """
    files = step_files(written.parent)
    up_to_it = [path for path in files if step_of(path) <= step_of(written)]
    kept = {written, *whole_ones(files, {written})}
    kept |= set(whole_ones(up_to_it, kept))
    failures = []
    for path in up_to_it:
        if path in kept:
            continue
        try:
            path.unlink(missing_ok=True)
            note_path(path).unlink(missing_ok=True)
        except OSError as error:
            failures.append(f"{path} is not needed any more and cannot be removed ({error})")
    return failures


def whole_ones(files: Sequence[Path], known: set[Path]) -> list[Path]:
    """The first KEPT whole checkpoints of ``files``; those ``known`` to be whole are not read."""
    whole: list[Path] = []
    for path in files:
        if len(whole) == KEPT:
            break
        if path in known or is_whole(path):
            whole.append(path)
    return whole
