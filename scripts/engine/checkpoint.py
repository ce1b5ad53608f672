"""Checkpoints that survive a crash: written to a temporary file, renamed, and verified when read.

A checkpoint holds plain values and tensors only, so it loads with ``weights_only=True``. Beside
each lies a ``.json`` with its SHA-256; a checkpoint without that file, or with another hash, is not
complete and is passed over. Randomness needs no saved generator state: every draw is keyed by
(seed, step), and step is saved.
"""

import json
from collections.abc import Sequence
from dataclasses import MISSING, asdict, fields, is_dataclass
from itertools import zip_longest
from pathlib import Path
from typing import Any

import torch

from experiments.records import Run
from scripts.engine.exported import SUFFIX, read_exported
from scripts.engine.files import save_tensors, sha256, why_not_loaded, write_atomically

BEST = "best.pt"  # in a run's folder: the weights with the best validation
KEPT = 2  # newest checkpoints that stay
FORMAT = 2  # of what a checkpoint holds; format 1, which has no number, is that of commit 87e4cc2
LISTED = 5  # class names in an error
TEST_FIELDS = ("test", "proposals_test")  # of DataConfig, which training does not read


def write_checkpoint(path: Path, step: int, state: dict[str, Any]) -> None:
    """Writes one checkpoint and, in the .json file beside it, its hash and format."""
    digest = save_tensors(path, {**state, "format": FORMAT})
    note = {"step": step, "sha256": digest, "format": FORMAT}
    write_atomically(path.with_suffix(".json"), json.dumps(note))


def save_checkpoint(folder: Path, step: int, state: dict[str, Any]) -> Path:
    """Writes ``folder/step-<step>.pt``, then removes all but the newest KEPT up to that step.

    Later ones, which were damaged and passed over, must not count as the newest.
    """
    path = folder / f"step-{step:08d}.pt"
    write_checkpoint(path, step, state)
    made = [other for other in sorted(folder.glob("step-*.pt")) if other <= path]
    for old in made[:-KEPT]:
        old.with_suffix(".json").unlink(missing_ok=True)
        old.unlink(missing_ok=True)
    return path


def load_checkpoint(path: Path) -> dict[str, Any]:
    """The state in ``path``.

    Raises:
        ValueError: if the file is not there, damaged, not one of ours, or of another FORMAT.
    """
    if not path.is_file():
        raise ValueError(
            f"The checkpoint {path} does not exist; train first, or give the path of an existing "
            "one."
        )
    exported = path.suffix == SUFFIX  # has no note: the one beside it is the checkpoint's
    if not exported and recorded_sha256(path) not in (None, sha256(path)):
        raise ValueError(
            f"The checkpoint {path} is damaged: its SHA-256 is not the one in the .json file "
            "beside it; delete it to fall back to the one before."
        )
    state = read_exported(path) if exported else read_state(path)
    if not isinstance(state, dict) or not {"model", "step", "run"} <= state.keys():
        raise ValueError(
            f"{path} is not a checkpoint of scripts.train: it lacks model, step or run."
        )
    check_format(path, state.get("format"))
    return state


def read_state(path: Path) -> Any:
    """What torch.load finds in a file.

    Raises:
        ValueError: it is damaged, or holds other things than tensors and plain values.
    """
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # bytes that are no checkpoint make the unpickler raise anything
        raise ValueError(
            f"The checkpoint {path} cannot be read ({why_not_loaded(error)}); give a step-*.pt of "
            "scripts.train."
        ) from error


def newest_checkpoint(folder: Path) -> Path | None:
    """The newest complete and undamaged checkpoint, or None. Names damaged ones it passes over."""
    for path in sorted(folder.glob("step-*.pt"), reverse=True):
        if recorded_sha256(path) == sha256(path):
            return path
        print(f"warning: {path} is incomplete or damaged and is passed over.", flush=True)
    return None


def checkpoint_of(path: Path) -> Path:
    """The checkpoint that is meant: of a run's folder best.pt, else the newest.

    A folder with one seed alone stands for that seed.

    Raises:
        ValueError: the folder has none.
    """
    if not path.is_dir():
        return path
    seeds = sorted(path.glob("seed*/"))
    folder = seeds[0] if len(seeds) == 1 else path
    best = folder / BEST
    checkpoint = best if best.is_file() else newest_checkpoint(folder)
    if checkpoint is None:
        raise ValueError(
            f"The folder {path} has neither {BEST} nor a complete step-*.pt; train first, or give "
            "the folder of one seed of a run."
        )
    return checkpoint


def note_of(path: Path) -> dict[str, Any]:
    """What was noted beside the checkpoint ``path``; {} if the note is missing or damaged."""
    try:
        note = json.loads(path.with_suffix(".json").read_text())
    except (OSError, ValueError):
        return {}
    return note if isinstance(note, dict) else {}


def recorded_sha256(path: Path) -> str | None:
    """The hash that was noted when the checkpoint ``path`` was written; None without a note."""
    return note_of(path).get("sha256")


def check_format(path: Path, number: int | None) -> None:
    """Checks that this version of the code can read a checkpoint.

    Args:
        path: the checkpoint, for the sentence.
        number: its format; None if it has none.

    Raises:
        ValueError: if it is not FORMAT.
    """
    if number == FORMAT:
        return
    age = "a later" if isinstance(number, int) and number > FORMAT else "an earlier"
    raise ValueError(
        f"The checkpoint {path} has format {number or 1} and this code reads format {FORMAT}: it "
        f"was written by {age} version of this code, whose network had other parts; train again "
        "in another --out folder, or use the version of the code that wrote it (git commit "
        "87e4cc2 for format 1)."
    )


def check_format_in(folder: Path) -> None:
    """``check_format`` of the newest checkpoint in a folder, from its note; fine without one."""
    for path in sorted(folder.glob("step-*.pt"))[-1:]:
        check_format(path, note_of(path).get("format"))


def check_same_classes(
    path: Path, trained: Sequence[str], classes: Sequence[str], use: str
) -> None:
    """Checks that a data set has the classes that a network was trained on, in the same order.

    Args:
        path: the network's checkpoint.
        trained: its class names.
        classes: those of the data set.
        use: what the caller was about to do, for the sentence: "evaluate" or "continue".

    Raises:
        ValueError: if they are not the same.
    """
    if list(trained) == list(classes):
        return
    theirs, ours = (f"({', '.join(names[:LISTED])}, ...)" for names in (trained, classes))
    pairs = enumerate(zip_longest(trained, classes, fillvalue="not there"), start=1)
    number, (their, our) = next((number, pair) for number, pair in pairs if pair[0] != pair[1])
    raise ValueError(
        f"The checkpoint {path} was trained on {len(trained)} classes {theirs}, the data set has "
        f"{len(classes)} {ours}: class {number} is {their} there and {our} here; {use} on data "
        "with the same classes in the same order, or train again in another --out folder."
    )


def plain(value: Any) -> Any:
    """A value as JSON keeps it (tuples become lists), so that saved and fresh values are equal."""
    return json.loads(json.dumps(value))


def differences(saved: Any, now: Any, name: str = "") -> list[str]:
    """The fields in which two plain values differ, as "a.b: saved -> now"."""
    if isinstance(saved, dict) and isinstance(now, dict):
        lines = []
        for key in sorted(saved.keys() | now.keys()):
            lines += differences(saved.get(key), now.get(key), f"{name}.{key}".lstrip("."))
        return lines
    return [] if saved == now else [f"{name}: {saved} -> {now}"]


def with_defaults(saved: Any, record: Any) -> Any:
    """A saved record with the fields that it is too old to have, at their defaults.

    What the code did before a field existed is what the field's default does.

    Args:
        saved: the plain values of a record.
        record: the same record today, whose class knows the defaults.
    """
    if not is_dataclass(record) or not isinstance(saved, dict):
        return saved
    missing = [f for f in fields(record) if f.name not in saved and f.default is not MISSING]
    known = {
        name: with_defaults(value, getattr(record, name, None)) for name, value in saved.items()
    }
    return {f.name: plain(f.default) for f in missing} | known


def read_in_training(run: dict[str, Any]) -> dict[str, Any]:
    """The plain values of a run without what only its evaluation reads: the test split and how many
    proposals an image is tested with, and the threshold of its tables.
    """
    data = {name: value for name, value in run["data"].items() if name not in TEST_FIELDS}
    return {name: value for name, value in run.items() if name != "nms_iou"} | {"data": data}


def check_same_run(saved: dict[str, Any], run: Run, path: Path) -> None:
    """Checks that a checkpoint's run is the one asked for, in all that its training reads.

    Raises:
        ValueError: if it is not, naming the fields that differ.
    """
    fields_now = plain(asdict(run))
    changed = differences(read_in_training(with_defaults(saved, run)), read_in_training(fields_now))
    if changed:
        raise ValueError(
            f"The checkpoint {path} comes from another configuration ({'; '.join(changed)}); use "
            "another --out folder, or the settings that it was trained with."
        )
