"""env.json: on what a training ran, one entry for each time that it was started.

Environment variables are not in it: they can hold secrets.
"""

import importlib.metadata
import json
import os
import platform
import socket
from pathlib import Path
from typing import Any

import torch

from scripts.engine.files import write_json
from scripts.engine.git import NO_COMMIT, git, has_changes
from scripts.engine.processes import share
from scripts.engine.run_folder.status import now

SHORT = 7  # digits of a commit in results
PACKAGES = ("torch", "torchvision", "numpy", "pillow")


def note_start(path: Path, device: torch.device, step: int) -> None:
    """Adds this start to env.json.

    Args:
        path: of the file.
        device: that the network is on.
        step: updates that were made before.
    """
    write_json(path, [*starts_in(path), this_start(device, step)])


def this_start(device: torch.device, step: int) -> dict[str, Any]:
    """Versions, machine and commit of this process; None where there is none."""
    commit = git("rev-parse", "HEAD") or None
    return {
        "time": now(),
        "step": step,
        "host": socket.gethostname(),
        "pid": os.getpid(),
        "python": platform.python_version(),
        **{name: version(name) for name in PACKAGES},
        "cuda": torch.version.cuda,
        "gpu": torch.cuda.get_device_name(device) if device.type == "cuda" else None,
        "threads": torch.get_num_threads(),
        "processes": share().of,
        "commit": commit,
        "dirty": None if commit is None else has_changes(),
    }


def training_commit(path: Path) -> str | None:
    """The commit of the code that a training was last started with, as results write commits.

    Args:
        path: of env.json.

    Returns:
        its first digits, with "+changes" if the code differed from it (``has_changes``); None if
        it was not recorded.
    """
    starts = starts_in(path)
    if not starts or not isinstance(starts[-1], dict) or "commit" not in starts[-1]:
        return None
    commit, dirty = starts[-1]["commit"], starts[-1].get("dirty")
    return f"{commit[:SHORT]}{'+changes' if dirty else ''}" if commit else NO_COMMIT


def version(package: str) -> str | None:
    """The version of an installed package."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def starts_in(path: Path) -> list[Any]:
    """The starts so far; none, with a warning, if the file is damaged."""
    if not path.is_file():
        return []
    try:
        starts = json.loads(path.read_bytes())
    except ValueError:
        starts = None
    if not isinstance(starts, list):
        print(f"warning: {path} is damaged; what ran before is not known any more.")
        return []
    return starts
