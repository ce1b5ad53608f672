"""Whether a file is as it was written: its SHA-256 is in a note beside it, or checksums are in it.

The note of ``x.pt`` is ``x.json``. A file whose note is lost is judged by the checksum of each
member of its zip archive, which torch.save and numpy.savez write.
"""

import json
import zipfile
import zlib
from pathlib import Path
from typing import Any

from scripts.engine.files import sha256, write_atomically


def note_path(path: Path) -> Path:
    """Where the note of a file lies."""
    return path.with_suffix(".json")


def note_of(path: Path) -> dict[str, Any]:
    """What was noted beside the file ``path``; {} if the note is missing or damaged."""
    try:
        note = json.loads(note_path(path).read_text())
    except (OSError, ValueError):
        return {}
    return note if isinstance(note, dict) else {}


def recorded_sha256(path: Path) -> str | None:
    """The hash that was noted when the file ``path`` was written; None without a note."""
    return note_of(path).get("sha256")


def known_sha256(path: Path) -> str:
    """The hash of the file ``path``, from its note if there is one."""
    return recorded_sha256(path) or sha256(path)


def write_note(path: Path, digest: str, **facts: Any) -> None:
    """Notes the SHA-256 of a file, and facts about it, beside it."""
    write_atomically(note_path(path), json.dumps({**facts, "sha256": digest}))


def forget_note(path: Path) -> None:
    """Removes the note of a file that is about to be replaced.

    A process that is killed between the two files then leaves a file without a note, which is
    judged by its checksums, and not one with the note of another file.
    """
    note_path(path).unlink(missing_ok=True)


def is_intact(path: Path) -> bool:
    """Whether a file is as it was written; one that cannot be read is not."""
    recorded = recorded_sha256(path)
    try:
        return is_whole_archive(path) if recorded is None else recorded == sha256(path)
    except OSError:
        return False


def is_whole_archive(path: Path) -> bool:
    """Whether a file is a zip archive each member of which has the checksum that it is to have."""
    try:
        with zipfile.ZipFile(path) as archive:
            return archive.testzip() is None
    except (OSError, ValueError, EOFError, NotImplementedError, RuntimeError):
        return False  # a damaged header can name another compression, or a password
    except (zipfile.BadZipFile, zlib.error):
        return False
