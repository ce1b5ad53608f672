"""Checkpoints that survive a crash: written to a temporary file, renamed, and verified when read.

A checkpoint holds plain values and tensors only, so it loads with ``weights_only=True``. Beside
each lies a ``.json`` with its SHA-256 (scripts/engine/intact.py); step_files.py beside this file
says which of a folder are whole and which stay. Randomness needs no saved generator state: what the
network draws is keyed by (seed, batch, place in the batch), an augmentation by (seed, epoch, image)
(data/sampler.py, data/training_batches.py), and all of these follow from step, which is saved.
"""

import json
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import MISSING, asdict, fields, is_dataclass
from itertools import zip_longest
from pathlib import Path
from typing import Any

import torch

from experiments.records import Run
from scripts.engine.disk import check_room, tensor_bytes
from scripts.engine.files import save_tensors, why_not_loaded
from scripts.engine.intact import forget_note, is_intact, note_of, recorded_sha256, write_note
from scripts.engine.run_folder.safetensors_file import SUFFIX, read_safetensors
from scripts.engine.run_folder.step_files import (
    LAST,
    last_weights,
    newest_checkpoint,
    remove_old,
    step_files,
    step_path,
)

BEST = "best.pt"  # in a run's folder: the weights with the best validation
FORMAT = 2  # of what a checkpoint holds; format 1, which has no number, is that of commit 87e4cc2
LISTED = 5  # class names in an error
TEST_FIELDS = ("test", "proposals_test")  # of DataConfig, which training does not read


def write_checkpoint(path: Path, step: int, state: dict[str, Any]) -> None:
    """Writes one checkpoint and, in the .json file beside it, its hash and format."""
    forget_note(path)
    digest = save_tensors(path, {**state, "format": FORMAT})
    write_note(path, digest, step=step, format=FORMAT)


def save_checkpoint(
    folder: Path, step: int, state: dict[str, Any], *, warn: Callable[[str], None] = print
) -> Path:
    """Writes ``folder/step-<step>.pt`` and removes older ones that are not needed any more.

    Args:
        folder: of the run.
        step: updates that are made.
        state: what the checkpoint holds.
        warn: is told of older ones that cannot be removed.

    Raises:
        EnvironmentFault: the disk is full, or has too little room to begin.
    """
    path = step_path(folder, step)
    folder.mkdir(parents=True, exist_ok=True)
    check_room(folder, max([tensor_bytes(state), *last_size(folder)]))
    write_checkpoint(path, step, state)
    for reason in remove_old(path):
        warn(f"warning: {reason}; remove it by hand.")
    return path


def last_size(folder: Path) -> list[int]:
    """[bytes of the newest checkpoint in a folder], [] without one."""
    return [path.stat().st_size for path in step_files(folder)[:1]]


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
    if not exported:
        check_intact(path)
    state = read_safetensors(path) if exported else read_state(path)
    if not isinstance(state, dict) or not {"model", "step", "run"} <= state.keys():
        raise ValueError(
            f"{path} is not a checkpoint of scripts.train: it lacks model, step or run."
        )
    check_format(path, state.get("format"))
    return state


def check_intact(path: Path) -> None:
    """Checks that a checkpoint is as it was written, as far as can be known without its note.

    Raises:
        ValueError: if it is not.
    """
    noted = recorded_sha256(path) is not None
    if is_intact(path) or not (noted or zipfile.is_zipfile(path)):
        return
    reason = (
        "SHA-256 is not the one in the .json file beside it"
        if noted
        else ("content does not have the checksums that are in it")
    )
    raise ValueError(
        f"The checkpoint {path} is damaged: its {reason}; delete it to fall back to the one before."
    )


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


def checkpoint_of(path: Path) -> Path:
    """The checkpoint that is meant: of a run's folder best.pt, else the newest, else last.pt.

    A folder with one seed alone stands for that seed.

    Raises:
        ValueError: the folder has none.
    """
    if not path.is_dir():
        return path
    seeds = sorted(path.glob("seed*/"))
    folder = seeds[0] if len(seeds) == 1 else path
    best = folder / BEST
    checkpoint = best if best.is_file() else newest_checkpoint(folder) or last_weights(folder)
    if checkpoint is None:
        raise ValueError(
            f"The folder {path} has neither {BEST} nor a complete step-*.pt or {LAST}; train "
            "first, or give the folder of one seed of a run."
        )
    return checkpoint


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
    for path in step_files(folder)[:1]:
        if recorded_sha256(path) is not None:
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
