"""Disks that are full: known by their error, and by what is free before something large is written.

torch.save turns the error of the file below it into a RuntimeError; Python keeps the first one as
its context.
"""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from torch import Tensor

from scripts.engine.command import FULL_DISK, EnvironmentFault

MARGIN = 1.2  # bytes free for each byte that is to be written


@contextmanager
def full_disk_named(path: Path, size: int = 0) -> Iterator[None]:
    """Turns the error of a full disk, while ``path`` is written, into one sentence.

    Args:
        path: the file.
        size: the bytes that it needs at least; 0: not known.

    Raises:
        EnvironmentFault: the disk is full.
        OSError: the file cannot be written for another reason.
    """
    try:
        yield
    except (OSError, RuntimeError) as error:
        cause = error if isinstance(error, OSError) else error.__context__
        if not isinstance(cause, OSError):
            raise
        if cause.errno not in FULL_DISK:
            raise cause from error
        needed = f"it needs {size:,} bytes, " if size else ""
        raise EnvironmentFault(
            f"{path} could not be written ({cause.strerror}; {needed}{said_free(path.parent)}); "
            "free some disk space and run the same command again."
        ) from error


def check_room(folder: Path, size: int) -> None:
    """Checks that a disk has room for what is to be written, before it is begun.

    Args:
        folder: where it goes; it exists.
        size: in bytes.

    Raises:
        EnvironmentFault: fewer than MARGIN times as many bytes are free.
    """
    needed = int(MARGIN * size)
    if needed > shutil.disk_usage(folder).free:
        raise EnvironmentFault(f"it needs {needed:,} bytes; {said_free(folder)}")


def said_free(folder: Path) -> str:
    """How much room a folder has, in words."""
    try:
        return f"{shutil.disk_usage(folder).free:,} bytes are free in {folder}"
    except OSError:
        return f"how much is free in {folder} is not known"


def tensor_bytes(value: Any) -> int:
    """The bytes of all tensors in nested dictionaries and lists."""
    if isinstance(value, Tensor):
        return value.numel() * value.element_size()
    if isinstance(value, dict):
        return sum(map(tensor_bytes, value.values()))
    return sum(map(tensor_bytes, value)) if isinstance(value, list | tuple) else 0
