"""Unpacks archives into a folder and nowhere else."""

import os
import stat
import tarfile
import zipfile
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from data.errors import DataError


def unpack(path: Path, folder: Path) -> None:
    """Unpacks a tar or zip file below ``folder``.

    Raises:
        DataError: if it is damaged or has a member that would be written elsewhere (absolute, "..")
            or a link or a device that leads there.
    """
    try:
        if path.suffix == ".zip":
            with zipfile.ZipFile(path) as archive:
                for member in archive.infolist():
                    check_member(member)
                archive.extractall(folder)
        else:
            with tarfile.open(path) as archive:
                archive.extractall(folder, filter="data")
    except (tarfile.TarError, zipfile.BadZipFile, EOFError) as error:
        raise DataError(f"{path} cannot be unpacked ({error}); remove it and run again.") from error


def unpack_all(paths: Sequence[Path], folder: Path) -> None:
    """Unpacks several files below ``folder`` and names each."""
    for path in paths:
        print(f"unpacking {path}", flush=True)
        unpack(path, folder)


def check_member(member: zipfile.ZipInfo) -> None:
    """Checks that a member stays in the folder that it is unpacked into.

    Raises:
        BadZipFile: for a name that leaves the folder, and for a symbolic link.
    """
    name = PurePosixPath(member.filename.replace("\\", "/"))
    elsewhere = name.is_absolute() or ".." in name.parts or ":" in "".join(name.parts[:1])
    if elsewhere or stat.S_ISLNK(member.external_attr >> 16):
        raise zipfile.BadZipFile(
            f"the member {member.filename!r} would be written outside of the folder"
        )


def move(source: Path, goal: Path, inside: str, paths: Sequence[Path]) -> None:
    """Moves what was unpacked to where it belongs.

    Args:
        source: what was unpacked.
        goal: its final name.
        inside: its name in the archives, for the error.
        paths: the archives, for the error.

    Raises:
        DataError: if it was not in the archives.
    """
    if not source.exists():
        raise DataError(
            f"{', '.join(map(str, paths))}: there is no {inside} inside; remove it and run again."
        )
    goal.parent.mkdir(parents=True, exist_ok=True)
    os.rename(source, goal)
    print(f"-> {goal}")
