"""Downloads data sets: over https alone, resumes where a connection broke off, and checks what
arrives.
"""

import errno
import hashlib
import http.client
import os
import re
import shutil
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from typing import IO
from urllib.parse import urlsplit

from data.errors import DataError
from data.files import temporary_path
from scripts.engine.downloads.archives import Archive, Part
from scripts.engine.downloads.unpacking import move, unpack_all
from scripts.engine.files import tidy

BLOCK = 1 << 20  # bytes read at a time
TIMEOUT_S = 60.0  # without a byte
LEAST_SPEED = 1000  # bytes a second, on average over TIMEOUT_S
MOST_BYTES = 30 * 10**9  # of one archive; COCO's largest has 19.3 GB
SCHEMES = ("https",)
ATTEMPTS = 4  # in a row that bring nothing new
PAUSE_S = 2.0  # before the next attempt
DISK_ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES)
GB = 1e9


class UnsafeError(Exception):
    """A URL must not be followed; the message says which."""


def md5(path: Path) -> str:
    """The MD5 of a file, in hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()


def length(path: Path) -> int:
    """Bytes in a file; 0 if it is not there."""
    return path.stat().st_size if path.exists() else 0


def receive(url: str, part: Path) -> bool:
    """Asks for what ``part`` lacks and appends it.

    A server that ignores the wish for a range sends all from the start (status 200): then ``part``
    is begun anew.

    Returns:
        whether the file is complete.

    Raises:
        DataError: if the disk is too small, or the file larger than any that is wanted.
        UnsafeError: if the URL, or where it leads, is not one of https.
        OSError, HTTPException: if the connection fails or is too slow.
    """
    check_scheme(url)
    have = length(part)
    request = urllib.request.Request(url, headers={"Range": f"bytes={have}-"} if have else {})
    with OPENER.open(request, timeout=TIMEOUT_S) as answer:
        start, total = answered_range(answer.headers)
        if start > have:
            raise http.client.HTTPException(
                f"the server continues at byte {start} instead of {have}"
            )
        check_size(part, total)
        check_disk(part, total - start)
        append(answer, part, start, total)
    return total < 0 or length(part) == total


def check_scheme(url: str) -> None:
    """Checks that nobody on the way can put another file in the place of the wanted one.

    Raises:
        UnsafeError: if the URL is not one of https.
    """
    if urlsplit(url).scheme not in SCHEMES:
        raise UnsafeError(f"it leads to {url}, and only https is followed")


class SafeRedirects(urllib.request.HTTPRedirectHandler):
    """Follows redirects to https alone."""

    def redirect_request(
        self,
        req: urllib.request.Request,
        fp: IO[bytes],
        code: int,
        msg: str,
        headers: http.client.HTTPMessage,
        newurl: str,
    ) -> urllib.request.Request | None:
        check_scheme(newurl)
        return super().redirect_request(req, fp, code, msg, headers, newurl)


OPENER = urllib.request.build_opener(SafeRedirects)


def answered_range(headers: http.client.HTTPMessage) -> tuple[int, int]:
    """The first byte that a server sends, and how many the file has; -1 if it does not say."""
    span = re.fullmatch(r"bytes (\d+)-\d+/(\d+)", headers.get("Content-Range", ""))
    if span is None:
        return 0, int(headers.get("Content-Length", -1))
    return int(span[1]), int(span[2])


def check_disk(part: Path, needed: int) -> None:
    """Checks that the disk has room for ``needed`` bytes more.

    Raises:
        DataError: if it has not.
    """
    free = shutil.disk_usage(part.parent).free
    if needed > free:
        raise DataError(
            f"{part.parent} has {free / GB:.1f} GB free, and {part.stem} needs "
            f"{needed / GB:.1f} GB more, and about as much again to be unpacked; free some space "
            "or choose another --out."
        )


def check_size(part: Path, total: int) -> None:
    """Checks that a file is not larger than any that is wanted.

    Raises:
        DataError: if it is.
    """
    if total > MOST_BYTES:
        raise DataError(
            f"The server has at least {total / GB:.1f} GB in the place of {part.stem}, which is "
            "more than any data set here has; nothing more was fetched."
        )


def append(answer: http.client.HTTPResponse, part: Path, start: int, total: int) -> None:
    """Writes what a server sends into ``part``, from byte ``start`` on.

    Raises:
        DataError: if it does not end.
        TimeoutError: if it comes more slowly than LEAST_SPEED.
    """
    began, arrived = time.monotonic(), 0
    with part.open("ab") as file:
        file.truncate(start)
        while block := answer.read1(BLOCK):
            file.write(block)
            check_size(part, file.tell())
            arrived += len(block)
            if (elapsed := time.monotonic() - began) > TIMEOUT_S:
                if arrived < LEAST_SPEED * elapsed:
                    raise TimeoutError(f"{arrived} bytes in {elapsed:.0f} s are too slow")
                began, arrived = time.monotonic(), 0
            if sys.stderr.isatty():
                print(
                    f"\r{part.stem}: {file.tell() / GB:.2f} of {total / GB:.2f} GB ",
                    end="",
                    file=sys.stderr,
                )


def download(url: str, part: Path) -> str | None:
    """Receives ``url`` into ``part``, as often as something new arrives.

    Returns:
        None, or why it could not be completed.
    """
    reason, fruitless = "", 0
    while fruitless < ATTEMPTS:
        before = length(part)
        try:
            if receive(url, part):
                return None
            reason = "the connection broke off"
        except urllib.error.HTTPError as error:
            if error.code != 416:  # "range not satisfiable": there is nothing after what we have
                return f"it answers {error.code} {error.reason}"
            if error.headers.get("Content-Range") == f"bytes */{before}":
                return None
            part.unlink()
            before, reason = 0, "the file is shorter than what was received"
        except UnsafeError as error:
            return str(error)
        except (OSError, http.client.HTTPException) as error:
            raise_if_of_the_disk(error)
            reason = str(error)
        fruitless = 0 if length(part) > before else fruitless + 1
        if fruitless < ATTEMPTS:
            time.sleep(PAUSE_S)
    return reason


def raise_if_of_the_disk(error: Exception) -> None:
    """Raises an error that another attempt does not help against.

    Raises:
        OSError: if the disk is full or may not be written to.
    """
    if isinstance(error, OSError) and error.errno in DISK_ERRORS:
        raise error


def fetch(archive: Archive, path: Path) -> None:
    """Puts the complete and checked archive at ``path``, unless it lies there.

    Raises:
        DataError: if no host can be reached, or if the content is not the published one. A download
            with a wrong MD5 is deleted; a file that somebody else put there is not.
    """
    if path.is_file():
        digest = md5(path)
        if digest != archive.md5:
            raise DataError(
                f"{path}: the MD5 is {digest} and should be {archive.md5}, so this is not the "
                "published archive, or not all of it; remove it and run again."
            )
        print(f"{path} is there")
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(path.name + ".part")
    url = download_from_any(archive, part, path)
    digest = md5(part)
    if digest != archive.md5:
        part.unlink()
        raise DataError(
            f"{url}: the MD5 of the download is {digest} and should be {archive.md5}; it was "
            "deleted, run again, and if that does not help, the file at the host has changed."
        )
    os.replace(part, path)


def download_from_any(archive: Archive, part: Path, path: Path) -> str:
    """Downloads an archive into ``part``, from the first host that has it; returns the URL.

    Raises:
        DataError: if none has it; it says where to put the file that is fetched by hand.
    """
    failures = []
    for url in archive.urls:
        resumed = f", from byte {length(part)}" if length(part) else ""
        print(f"downloading {url}{resumed}", flush=True)
        reason = download(url, part)
        if reason is None:
            return url
        failures.append(f"cannot reach {urlsplit(url).netloc} ({reason})")
    raise DataError(
        f"{'; '.join(failures)}; download {archive.urls[0]} by hand to {path} and run again."
    )


def get(part: Part, out: Path, keep_archives: bool) -> None:
    """Fetches, unpacks and moves into place what ``part`` gives; nothing if all of it is there.

    Args:
        part: of a data set.
        out: the folder below which it goes.
        keep_archives: whether the archives stay in ``out`` / "archives".

    Raises:
        DataError: if it cannot be fetched or unpacked.
    """
    tidy(out)
    missing = [(inside, out / goal) for inside, goal in part.gives if not (out / goal).exists()]
    if not missing:
        goals = ", ".join(str(out / goal) for _, goal in part.gives)
        print(f"{goals}: there already (move it away to fetch it again)")
        return
    paths = [out / "archives" / archive.name for archive in part.archives]
    for archive, path in zip(part.archives, paths, strict=True):
        fetch(archive, path)
    stage = temporary_path(out / "unpacking")
    try:
        stage.mkdir()
        unpack_all(paths, stage)
        for inside, goal in missing:
            move(stage / inside, goal, inside, paths)
    finally:
        shutil.rmtree(stage, ignore_errors=True)
    if not keep_archives:
        for path in paths:
            path.unlink()


def get_parts(parts: Sequence[Part], out: Path, keep_archives: bool) -> None:
    """``get`` for every part of a data set."""
    for part in parts:
        get(part, out, keep_archives)
