"""Downloads a public data set into the layout that data/ reads: python -m scripts.get_data voc2007 --out datasets

An archive goes to <out>/archives/NAME.part, is resumed where it broke off, checked against its MD5 and renamed; it is
unpacked into a temporary folder beside the goal, which is then renamed. So what has its final name is complete, and
the same command goes on after any interruption. An archive that already lies in <out>/archives is used.
Exit code 0, or 2 with one sentence that says what to do.
"""

import argparse
import errno
import hashlib
import http.client
import os
import re
import shutil
import stat
import sys
import tarfile
import tempfile
import time
import urllib.error
import urllib.request
import zipfile
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from urllib.parse import urlsplit

from data.errors import DataError

BLOCK = 1 << 20  # bytes read at a time
TIMEOUT_S = 60.0  # without a byte
ATTEMPTS = 4  # in a row that bring nothing new
PAUSE_S = 2.0  # before the next attempt
DISK_ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES)
GB = 1e9


@dataclass(frozen=True, kw_only=True)
class Archive:
    """One file to download: where it is (tried in turn) and its MD5, as the publishers' mirrors give it."""

    name: str
    md5: str
    urls: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Part:
    """Archives that are unpacked together, and what comes out: (path in the archive, path below --out)."""

    archives: tuple[Archive, ...]
    gives: tuple[tuple[str, str], ...]


def voc(year: int, name: str, md5: str) -> Archive:
    folder = f"pascal/VOC/voc{year}"
    return Archive(name=name, md5=md5, urls=(f"https://thor.robots.ox.ac.uk/{folder}/{name}",
                                             f"http://host.robots.ox.ac.uk/{folder}/{name}"))


def coco(folder: str, name: str, md5: str) -> Archive:
    return Archive(name=name, md5=md5, urls=(f"https://s3.amazonaws.com/images.cocodataset.org/{folder}/{name}",
                                             f"http://images.cocodataset.org/{folder}/{name}"))


def coco_parts(year: int, train_md5: str, val_md5: str, annotations_md5: str) -> tuple[Part, ...]:
    files = [f"annotations/instances_{split}{year}.json" for split in ("train", "val")]
    return (
        Part(archives=(coco("annotations", f"annotations_trainval{year}.zip", annotations_md5),),
             gives=tuple((file, f"coco/{file}") for file in files)),
        Part(archives=(coco("zips", f"val{year}.zip", val_md5),), gives=((f"val{year}", f"coco/val{year}"),)),
        Part(archives=(coco("zips", f"train{year}.zip", train_md5),), gives=((f"train{year}", f"coco/train{year}"),)),
    )


DATASETS: dict[str, tuple[Part, ...]] = {
    "voc2007": (Part(
        archives=(voc(2007, "VOCtrainval_06-Nov-2007.tar", "c52e279531787c972589f7e41ab4ae64"),
                  voc(2007, "VOCtest_06-Nov-2007.tar", "b6e924de25625d8de591ea690078ad9f")),
        gives=(("VOCdevkit/VOC2007", "VOCdevkit/VOC2007"),)),),
    "voc2012": (Part(
        archives=(voc(2012, "VOCtrainval_11-May-2012.tar", "6cd6e144f989b92b3379bac3b3de84fd"),),
        gives=(("VOCdevkit/VOC2012", "VOCdevkit/VOC2012"),)),),
    "coco2014": coco_parts(2014, "0da8c0bd3d6becc4dcb32757491aca88", "a3d79f5ed8d289b7a7554ce06a5782b3",
                           "0a379cfc70b0e71301e0f377548639bd"),
    "coco2017": coco_parts(2017, "cced6f7f71b7629ddf16f17bbcfab6b2", "442b8da7639aecaf257c1dceb8ba8c80",
                           "f4bbac642086de4f52a3fdda2de5fa2c"),
    "coco2017test": (
        Part(archives=(coco("annotations", "image_info_test2017.zip", "85da7065e5e600ebfee8af1edb634eb5"),),
             gives=(("annotations/image_info_test-dev2017.json", "coco/annotations/image_info_test-dev2017.json"),)),
        Part(archives=(coco("zips", "test2017.zip", "77ad2c53ac5d0aea611d422c0938fb35"),),
             gives=(("test2017", "coco/test2017"),)),
    ),
}


def md5(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()


def length(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def receive(url: str, part: Path) -> bool:
    """Asks for what ``part`` lacks and appends it; True when the file is complete.

    A server that ignores the wish for a range sends all from the start (status 200): then ``part`` is begun anew.

    Raises: DataError if the disk is too small; OSError or HTTPException if the connection fails.
    """
    have = length(part)
    request = urllib.request.Request(url, headers={"Range": f"bytes={have}-"} if have else {})
    with urllib.request.urlopen(request, timeout=TIMEOUT_S) as answer:
        span = re.fullmatch(r"bytes (\d+)-\d+/(\d+)", answer.headers.get("Content-Range", ""))
        start = int(span[1]) if span else 0
        total = int(span[2]) if span else int(answer.headers.get("Content-Length", -1))
        if start > have:
            raise http.client.HTTPException(f"the server continues at byte {start} instead of {have}")
        free = shutil.disk_usage(part.parent).free
        if total - start > free:
            raise DataError(
                f"{part.parent} has {free / GB:.1f} GB free, and {part.stem} needs {(total - start) / GB:.1f} GB more, "
                "and about as much again to be unpacked; free some space or choose another --out.")
        with part.open("ab") as file:
            file.truncate(start)
            while block := answer.read(BLOCK):
                file.write(block)
                if sys.stderr.isatty():
                    print(f"\r{part.stem}: {file.tell() / GB:.2f} of {total / GB:.2f} GB ", end="", file=sys.stderr)
    return total < 0 or length(part) == total


def download(url: str, part: Path) -> str | None:
    """Receives ``url`` into ``part``, as often as something new arrives; None, or why it could not be completed."""
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
        except (OSError, http.client.HTTPException) as error:
            if isinstance(error, OSError) and error.errno in DISK_ERRORS:
                raise
            reason = str(error)
        fruitless = 0 if length(part) > before else fruitless + 1
        time.sleep(PAUSE_S if fruitless < ATTEMPTS else 0)
    return reason


def fetch(archive: Archive, path: Path) -> None:
    """Puts the complete and checked archive at ``path``, unless it lies there.

    Raises: DataError if no host can be reached, or if the content is not the published one. A download with a wrong
        MD5 is deleted; a file that somebody else put there is not.
    """
    if path.is_file():
        found = md5(path)
        if found != archive.md5:
            raise DataError(f"{path}: the MD5 is {found} and should be {archive.md5}, so this is not the published "
                            "archive, or not all of it; remove it and run again.")
        print(f"{path} is there")
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(path.name + ".part")
    failures = []
    for url in archive.urls:
        print(f"downloading {url}" + (f", from byte {length(part)}" if length(part) else ""), flush=True)
        reason = download(url, part)
        if reason is None:
            break
        failures.append(f"cannot reach {urlsplit(url).netloc} ({reason})")
    else:
        raise DataError(f"{'; '.join(failures)}; download {archive.urls[-1]} by hand to {path} and run again.")
    found = md5(part)
    if found != archive.md5:
        part.unlink()
        raise DataError(f"{url}: the MD5 of the download is {found} and should be {archive.md5}; it was deleted, run "
                        "again, and if that does not help, the file at the host has changed.")
    os.replace(part, path)


def unpack(path: Path, folder: Path) -> None:
    """Unpacks a tar or zip file below ``folder``.

    Raises: DataError if it is damaged or has a member that would be written elsewhere (absolute, "..") or a link or a
        device that leads there.
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


def check_member(member: zipfile.ZipInfo) -> None:
    """Raises BadZipFile for a name that leaves the folder, and for a symbolic link."""
    name = PurePosixPath(member.filename.replace("\\", "/"))
    elsewhere = name.is_absolute() or ".." in name.parts or ":" in "".join(name.parts[:1])
    if elsewhere or stat.S_ISLNK(member.external_attr >> 16):
        raise zipfile.BadZipFile(f"the member {member.filename!r} would be written outside of the folder")


def get(part: Part, out: Path, keep_archives: bool) -> None:
    """Fetches, unpacks and moves into place what ``part`` gives below ``out``; does nothing if all of it is there."""
    missing = [(inside, out / goal) for inside, goal in part.gives if not (out / goal).exists()]
    if not missing:
        print(f"{', '.join(str(out / goal) for _, goal in part.gives)}: there already (move it away to fetch it again)")
        return
    paths = [out / "archives" / archive.name for archive in part.archives]
    for archive, path in zip(part.archives, paths, strict=True):
        fetch(archive, path)
    with tempfile.TemporaryDirectory(dir=out, prefix=".unpacking-") as stage:
        for path in paths:
            print(f"unpacking {path}", flush=True)
            unpack(path, Path(stage))
        for inside, goal in missing:
            if not (Path(stage) / inside).exists():
                raise DataError(f"{', '.join(map(str, paths))}: there is no {inside} inside; remove it and run again.")
            goal.parent.mkdir(parents=True, exist_ok=True)
            os.rename(Path(stage) / inside, goal)
            print(f"-> {goal}")
    for path in [] if keep_archives else paths:
        path.unlink()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("dataset", choices=sorted(DATASETS))
    parser.add_argument("--out", type=Path, default=Path("datasets"), metavar="DIR", help="the later --data-root")
    parser.add_argument("--keep-archives", action="store_true", help="leave the archives in <out>/archives")
    args = parser.parse_args()
    try:
        for part in DATASETS[args.dataset]:
            get(part, args.out, args.keep_archives)
    except (DataError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("stopped; the same command continues", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
