"""Files and folders that are written completely or not at all."""

import glob
import os
import re
import shutil
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

# .NAME.PID@HOST.tmp; those of earlier versions have no host
TEMPORARY = re.compile(r"\..+\.(?P<pid>\d+)(?:@(?P<host>.+))?\.tmp", re.DOTALL)
ABANDONED_AFTER_S = 86_400.0  # without a change, of a process on another machine


@contextmanager
def atomic_file(path: Path) -> Iterator[BinaryIO]:
    """A binary file that takes the place of ``path`` when the block ends without an error.

    The content goes into a temporary file in the same folder, which is flushed to the disk and then
    renamed: whoever opens ``path`` sees the old content or the new, never a part. After an error
    the old content stays, and the temporary file is removed. One that a killed process left is
    removed the next time.

    Args:
        path: the file to write. Its folder is made if it does not exist.

    Yields:
        the temporary file, open for writing; ``Path(file.name)`` is where it is.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    remove_leftovers(path.parent, of=path.name)
    temporary = temporary_path(path)
    try:
        with temporary.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def temporary_path(path: Path) -> Path:
    """Where this process keeps what is to become ``path``: a hidden name beside it, which says
    whose it is.
    """
    return path.with_name(f".{path.name}.{os.getpid()}@{socket.gethostname()}.tmp")


def remove_leftovers(folder: Path, *, of: str | None = None) -> list[Path]:
    """Removes the temporary files and folders that processes left in ``folder`` when they were
    killed.

    What belongs to a process that runs stays. A process on another machine cannot be asked: what it
    wrote is removed after a day without a change.

    Args:
        folder: where they lie; nothing happens if it does not exist.
        of: the name of what they were to become; None: any.

    Returns:
        what was removed.
    """
    removed = []
    for path in folder.glob(".*.tmp" if of is None else f".{glob.escape(of)}.*.tmp"):
        if is_leftover(path):
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path, ignore_errors=True)
            else:
                try_to_unlink(path)
            removed += [] if path.exists() else [path]
    return removed


def is_leftover(path: Path) -> bool:
    """Whether a file or folder is the temporary one of a process that runs no more."""
    name = TEMPORARY.fullmatch(path.name)
    if name is None:
        return False
    if name["host"] in (None, socket.gethostname()):
        return not is_running(int(name["pid"]))
    try:
        return time.time() - path.stat().st_mtime > ABANDONED_AFTER_S
    except OSError:
        return False  # its process has just removed it


def is_running(pid: int) -> bool:
    """Whether this machine has a process with this number; where it cannot be asked, it has."""
    if os.name != "posix":
        return True
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except OSError:
        return True
    return True


def try_to_unlink(path: Path) -> None:
    """Removes a file if that is possible."""
    try:
        path.unlink(missing_ok=True)
    except OSError:
        return
