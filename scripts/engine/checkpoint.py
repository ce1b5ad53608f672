"""Checkpoints that survive a crash: written to a temporary file, flushed to disk, renamed; verified when read.

A checkpoint holds plain values and tensors only, so it loads with ``weights_only=True``. Beside each lies a ``.json``
with its SHA-256; a checkpoint without that file, or with another hash, is not complete and is passed over.
Randomness needs no saved generator state: every draw is keyed by (seed, step), and step is saved.
"""

import json
from dataclasses import MISSING, asdict, fields, is_dataclass
from pathlib import Path
from typing import Any

import torch

from experiments.records import Run
from scripts.engine.files import save_tensors, sha256, write_atomically

KEPT = 2  # newest checkpoints that stay


def recorded_sha256(path: Path) -> str | None:
    """The hash that was noted when the checkpoint ``path`` was written; None if the note is missing or damaged."""
    try:
        return json.loads(path.with_suffix(".json").read_text())["sha256"]
    except (OSError, ValueError, KeyError, TypeError):
        return None


def save_checkpoint(folder: Path, step: int, state: dict[str, Any]) -> Path:
    """Writes ``folder/step-<step>.pt`` and its hash, then removes all but the newest KEPT."""
    path = folder / f"step-{step:08d}.pt"
    digest = save_tensors(path, state)
    write_atomically(path.with_suffix(".json"), json.dumps({"step": step, "sha256": digest}))
    for old in sorted(folder.glob("step-*.pt"))[:-KEPT]:
        old.with_suffix(".json").unlink(missing_ok=True)
        old.unlink(missing_ok=True)
    return path


def load_checkpoint(path: Path) -> dict[str, Any]:
    """The state in ``path``. Raises ValueError, in one sentence, if the file is damaged or not one of ours."""
    if not path.is_file():
        raise ValueError(f"The checkpoint {path} does not exist; train first, or give the path of an existing one.")
    if recorded_sha256(path) not in (None, sha256(path)):
        raise ValueError(f"The checkpoint {path} is damaged: its SHA-256 is not the one in the .json file beside it; "
                         "delete it to fall back to the one before.")
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # bytes that are no checkpoint make the unpickler raise anything
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise ValueError(f"The checkpoint {path} cannot be read ({reason}); delete it to fall back to the one before."
                         ) from error
    if not isinstance(state, dict) or not {"model", "step", "run"} <= state.keys():
        raise ValueError(f"{path} is not a checkpoint of scripts.train: it lacks model, step or run.")
    return state


def newest_checkpoint(folder: Path) -> Path | None:
    """The newest complete and undamaged checkpoint, or None. Says which damaged ones it passed over."""
    for path in sorted(folder.glob("step-*.pt"), reverse=True):
        if recorded_sha256(path) == sha256(path):
            return path
        print(f"warning: {path} is incomplete or damaged and is passed over.", flush=True)
    return None


def plain(value: Any) -> Any:
    """Dataclass content as JSON sees it (tuples become lists), so that saved and fresh values compare equal."""
    return json.loads(json.dumps(value))


def differences(saved: Any, now: Any, name: str = "") -> list[str]:
    """The fields in which two plain values differ, as "a.b: saved -> now"."""
    if isinstance(saved, dict) and isinstance(now, dict):
        keys = sorted(saved.keys() | now.keys())
        return [line for key in keys for line in differences(saved.get(key), now.get(key), f"{name}.{key}".lstrip("."))]
    return [] if saved == now else [f"{name}: {saved} -> {now}"]


def renamed_fields(saved: dict[str, Any]) -> dict[str, Any]:
    """A saved record with the fields that have another name today under that name."""
    if "caffe_layout" not in saved:
        return saved
    kept = {name: value for name, value in saved.items() if name != "caffe_layout"}
    return {"resnet_layout": "caffe" if saved["caffe_layout"] else "torchvision", **kept}


def with_defaults(saved: Any, record: Any) -> Any:
    """A saved record, with the fields that it is too old to have at the defaults of ``record``'s class: what the code
    did before a field existed is what its default does."""
    if not is_dataclass(record) or not isinstance(saved, dict):
        return saved
    saved = renamed_fields(saved)
    added = {f.name: plain(f.default) for f in fields(record) if f.name not in saved and f.default is not MISSING}
    return added | {name: with_defaults(value, getattr(record, name, None)) for name, value in saved.items()}


def check_same_run(saved: dict[str, Any], run: Run, path: Path) -> None:
    """Raises ValueError naming the fields in which the checkpoint's run differs from the one asked for."""
    changed = differences(with_defaults(saved, run), plain(asdict(run)))
    if changed:
        raise ValueError(f"The checkpoint {path} comes from another configuration ({'; '.join(changed)}); use another "
                         "--out folder, or --resume none to start over.")
