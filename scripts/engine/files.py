"""Files that are written whole or not at all, tensors on disk, and values as JSON knows them."""

import hashlib
import json
import math
import pickle
import re
from pathlib import Path
from typing import Any

import torch

from data.files import atomic_file

ASKED_FOR = re.compile(r"(?:GLOBAL|module|function) ([\w.]+\.[\w.]+)")  # in torch's own sentences


def write_atomically(path: Path, content: bytes | str) -> None:
    """Writes a small file so that a reader sees the old content or the new, never a part."""
    with atomic_file(path) as file:
        file.write(content.encode() if isinstance(content, str) else content)


def save_tensors(path: Path, content: Any) -> str:
    """Writes ``content`` with torch.save as ``write_atomically`` writes a small file.

    Returns:
        the SHA-256 of the file.
    """
    with atomic_file(path) as file:
        torch.save(content, file)
        file.flush()
        return sha256(Path(file.name))


def load_tensors(path: Path, keys: set[str]) -> dict[str, Any] | None:
    """The content of a file of ``save_tensors`` whose values can be computed again.

    Args:
        path: the file.
        keys: what the content must have.

    Returns:
        the content; None if there is no such file or, with a warning, if it is damaged or lacks one
        of ``keys``.
    """
    if not path.is_file():
        return None
    try:
        content = torch.load(path, weights_only=True)
    except Exception:  # bytes that are no such file make the unpickler raise anything
        content = None
    if not isinstance(content, dict) or not keys <= content.keys():
        print(f"warning: {path} is damaged and is computed again.", flush=True)
        return None
    return content


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
