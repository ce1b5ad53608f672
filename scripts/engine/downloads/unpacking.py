"""Unpacks archives into a folder and nowhere else, plain files and folders alone."""

import gzip
import lzma
import os
import shutil
import stat
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from data.errors import DataError

MOST_FILES = 1_000_000  # in one archive; COCO's largest has 123,287
MOST_BYTES = 100 * 10**9  # that one archive unpacks to; COCO's largest are 20 GB
MOST_RATIO = 200  # of unpacked to packed bytes; images hardly shrink, and annotations to a tenth
GB = 1e9
# what damaged or hostile archives make the two libraries raise
UNREADABLE = (
    tarfile.TarError,
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    gzip.BadGzipFile,
    EOFError,
    RuntimeError,  # an encrypted member, or one packed in an unknown way
    ValueError,
    struct.error,
    FileExistsError,  # a member that is a file here and a folder there
    IsADirectoryError,
    NotADirectoryError,
)


@dataclass(frozen=True, kw_only=True)
class Member:
    """One entry of an archive, whichever kind: its name, its bytes when it is unpacked, and whether
    it is a file or folder and no link or device.
    """

    name: str
    size: int
    is_plain: bool


def unpack(path: Path, folder: Path) -> None:
    """Unpacks a tar or zip file below ``folder``; the whole list of members is checked before one
    is written.

    Raises:
        DataError: if it is damaged or too large, or has a member that would be written elsewhere
            (absolute, "..") or that is a link or a device.
    """
    try:
        if path.suffix == ".zip":
            with zipfile.ZipFile(path) as archive:
                entries = archive.infolist()
                check_members(map(zip_member, entries), path, folder)
                for entry in entries:
                    archive.extract(entry, folder)
        else:
            with tarfile.open(path) as archive:
                check_members(map(tar_member, archive), path, folder)
                archive.extractall(folder, filter="data")
    except DataError:
        raise
    except UNREADABLE as error:
        raise DataError(f"{path} cannot be unpacked ({error}); remove it and run again.") from error


def unpack_all(paths: Sequence[Path], folder: Path) -> None:
    """Unpacks several files below ``folder`` and names each."""
    for path in paths:
        print(f"unpacking {path}", flush=True)
        unpack(path, folder)


def zip_member(entry: zipfile.ZipInfo) -> Member:
    """The entry of a zip file; systems without modes write 0."""
    kind = stat.S_IFMT(entry.external_attr >> 16)
    is_plain = kind in (0, stat.S_IFREG, stat.S_IFDIR)
    return Member(name=entry.filename.replace("\\", "/"), size=entry.file_size, is_plain=is_plain)


def tar_member(entry: tarfile.TarInfo) -> Member:
    """The entry of a tar file."""
    return Member(name=entry.name, size=entry.size, is_plain=entry.isreg() or entry.isdir())


def check_members(members: Iterable[Member], path: Path, folder: Path) -> None:
    """Checks what an archive would write; stops reading its list at the first fault.

    Args:
        members: all of them.
        path: the archive.
        folder: where they go; the disk of its nearest parent that exists must have room.

    Raises:
        DataError: for a member that leaves the folder, a link or a device, too many files, or too
            many bytes.
    """
    most = min(MOST_BYTES, MOST_RATIO * path.stat().st_size)
    free = shutil.disk_usage(next(p for p in (folder, *folder.parents) if p.exists())).free
    total = 0
    for number, member in enumerate(members, start=1):
        total += member.size
        reason = name_fault(member)
        if number > MOST_FILES:
            reason = f"it has more than {MOST_FILES:,} files"
        elif total > most:
            reason = f"it unpacks to more than {most:,} bytes, so it is no data set"
        if reason:
            raise DataError(
                f"{path} cannot be unpacked ({reason}); nothing was written: remove it and run "
                "again."
            )
        if total > free:
            raise DataError(
                f"{path} unpacks to more than the {free / GB:.1f} GB that are free at {folder}; "
                "free some space or choose another --out."
            )


def name_fault(member: Member) -> str | None:
    """Why a member must not be written, or None."""
    name = PurePosixPath(member.name)
    if name.is_absolute() or ".." in name.parts or ":" in "".join(name.parts[:1]):
        return f"the member {member.name!r} would be written outside of the folder"
    if not member.is_plain:
        return f"the member {member.name!r} is a link or a device"
    return None


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
