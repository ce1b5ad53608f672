"""Files that are written whole or not at all, tensors on disk, and values as JSON knows them."""

import hashlib
import json
import math
import pickle
import re
from collections.abc import Collection
from pathlib import Path
from typing import Any

import torch

from data.files import atomic_file, remove_leftovers
from scripts.engine.disk import full_disk_named, tensor_bytes

ASKED_FOR = re.compile(r"(?:GLOBAL|module|function) ([\w.]+\.[\w.]+)")  # in torch's own sentences


def write_atomically(path: Path, content: bytes | str) -> None:
    """Writes a small file so that a reader sees the old content or the new, never a part.

    Raises:
        EnvironmentFault: the disk is full.
    """
    with full_disk_named(path), atomic_file(path) as file:
        # names of files that are no UTF-8 are written as they are
        text = content.encode("utf-8", "surrogateescape") if isinstance(content, str) else content
        file.write(text)


def save_tensors(path: Path, content: Any) -> str:
    """Writes ``content`` with torch.save as ``write_atomically`` writes a small file.

    Returns:
        the SHA-256 of the file.

    Raises:
        EnvironmentFault: the disk is full.
    """
    with full_disk_named(path, tensor_bytes(content)), atomic_file(path) as file:
        torch.save(content, file)
        file.flush()
        return sha256(Path(file.name))


def why_not_loaded(error: Exception) -> str:
    """Why torch.load did not read a file, in one sentence; its own advises to let it run code."""
    if isinstance(error, pickle.UnpicklingError):
        names = ASKED_FOR.search(str(error))
        asked = f": it asks for {names[1]}, which was not run" if names else ""
        return f"it holds other things than tensors and plain values{asked}"
    return (str(error) or type(error).__name__).splitlines()[0].partition(". ")[0]


def sha256(path: Path) -> str:
    """The SHA-256 of a file, in hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def read_json(
    path: Path, remedy: str, *, kind: type | tuple[type, ...] = dict, keys: Collection[str] = ()
) -> Any:
    """The content of a JSON file that this code wrote.

    Args:
        path: the file.
        remedy: what to do if it cannot be used, for the sentence: "train again", "delete it".
        kind: what it holds: a dictionary, a list, or one of both.
        keys: what a dictionary must have, or each dictionary of a list.

    Raises:
        ValueError: the file is not there, empty, cut, or holds something else.
    """
    try:
        content = json.loads(path.read_text())
    except (OSError, ValueError, RecursionError) as error:
        why = error.strerror if isinstance(error, OSError) else f"it is no JSON file ({error})"
        if path.is_file() and not path.stat().st_size:
            why = "it is empty"
        raise ValueError(f"The file {path} cannot be read: {why}; {remedy}.") from error
    parts = content if isinstance(content, list) else [content]
    fits = isinstance(content, kind) and (not keys or all(isinstance(part, dict) for part in parts))
    if not fits:
        raise ValueError(f"The file {path} holds something else than it should; {remedy}.")
    for part in parts:
        if missing := [key for key in keys if key not in part]:
            raise ValueError(f"The file {path} lacks {', '.join(missing)}; {remedy}.")
    return content


def tidy(folder: Path) -> None:
    """Removes the temporary files that killed processes left in a folder, and says how many."""
    removed = remove_leftovers(folder)
    if removed:
        print(
            f"removed {len(removed)} temporary files of processes that were killed from {folder}",
            flush=True,
        )


def write_json(path: Path, value: Any) -> None:
    """Writes a value as JSON, indented by one space; NaN and infinities become null."""
    write_atomically(path, json.dumps(json_safe(value), indent=1))


def json_safe(value: Any) -> Any:
    """The value with null, which JSON knows, in the place of NaN and infinities."""
    if isinstance(value, dict):
        return {key: json_safe(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [json_safe(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
