"""One training in a folder at a time: a lock that names its holder and does not outlive it."""

import fcntl
import json
import os
import shlex
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TextIO

from scripts.engine.command import EnvironmentFault
from scripts.engine.run_folder.status import now

NAME = "lock.json"  # in the folder of a run


@dataclass(frozen=True, kw_only=True)
class Holder:
    """Who holds a lock: process, machine, since when (ISO 8601), and its command line."""

    pid: int
    host: str
    time: str
    command: str

    def __str__(self) -> str:
        return f"process {self.pid} on {self.host} (since {self.time}: {self.command})"


@contextmanager
def held(folder: Path) -> Iterator[None]:
    """A block in which this process alone trains in ``folder``.

    The lock is the operating system's, so it ends with the process, after kill -9 as well. It is a
    record lock, because the other kind (flock) would be inherited by the worker processes. Nothing
    else in this process may open the file, since closing it would end the lock.

    Raises:
        ValueError: another process trains there.
        EnvironmentFault: nothing can be written there.
    """
    path = folder / NAME
    with locked_file(path) as file:
        before = holder_in(file)
        if before is not None:
            print(f"note: {before} ended in {folder} without releasing it; its lock is taken over")
        file.seek(0)
        file.truncate()
        json.dump(asdict(this_process()), file)
        file.flush()
        try:
            yield
        finally:
            path.unlink(missing_ok=True)


@contextmanager
def locked_file(path: Path) -> Iterator[TextIO]:
    """The lock file, open and locked.

    Raises:
        ValueError: another process has locked it.
        EnvironmentFault: nothing can be written there.
    """
    while True:
        with opened(path) as file:
            if not lock(file):
                holder = holder_in(file) or "another process"
                raise ValueError(
                    f"{path.parent} is in use by {holder}; wait until it ends, or stop it, or "
                    "choose another --out."
                )
            if is_file_at(path, file):  # else its holder has just released it
                yield file
                return


def opened(path: Path) -> TextIO:
    """The lock file; its folder is made if it does not exist.

    Raises:
        EnvironmentFault: nothing can be written there.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        return path.open("a+", encoding="utf-8")
    except OSError as error:
        raise EnvironmentFault(
            f"Nothing can be written in {path.parent} ({error.strerror}); make that folder "
            "writable, or choose another --out."
        ) from error


def lock(file: TextIO) -> bool:
    """Whether this process has the lock of the file now.

    A file system without locks counts as one that nobody else uses, with a note.
    """
    try:
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):
        return False
    except OSError as error:
        print(f"note: {file.name} cannot be locked ({error}); start no second training there")
    return True


def is_file_at(path: Path, file: TextIO) -> bool:
    """Whether the open file is still the one at ``path``."""
    try:
        return os.path.samestat(path.stat(), os.fstat(file.fileno()))
    except FileNotFoundError:
        return False


def this_process() -> Holder:
    """The holder that this process is."""
    return Holder(
        pid=os.getpid(), host=socket.gethostname(), time=now(), command=shlex.join(sys.argv)
    )


def holder_in(file: TextIO) -> Holder | None:
    """Whom the file names; None if nobody, or if it is just being written."""
    file.seek(0)
    try:
        return Holder(**json.loads(file.read()))
    except (ValueError, TypeError):
        return None
