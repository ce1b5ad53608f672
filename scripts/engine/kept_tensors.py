"""Tensors that are kept on disk to save time: what is damaged, or was not kept, is computed again.

The note beside such a file has its SHA-256 (intact.py).
"""

from pathlib import Path
from typing import Any

import torch

from scripts.engine.command import EnvironmentFault
from scripts.engine.files import save_tensors
from scripts.engine.intact import forget_note, is_intact, write_note
from scripts.engine.processes import is_first


def keep_tensors(path: Path, content: dict[str, Any]) -> None:
    """Writes ``content``, and its hash beside it; where that is impossible, a warning says so.

    What it was computed for goes on with what is in memory. Of several processes, which all have
    the same content, the first one writes.
    """
    if not is_first():
        return
    try:
        forget_note(path)
        write_note(path, save_tensors(path, content))
    except (OSError, EnvironmentFault) as error:
        print(f"warning: {path} is not kept and is computed again the next time: {error}")


def load_tensors(path: Path, keys: set[str]) -> dict[str, Any] | None:
    """The content of a file of ``keep_tensors``.

    Args:
        path: the file.
        keys: what the content must have.

    Returns:
        the content; None if there is no such file or, with a warning, if it is damaged or lacks one
        of ``keys``.
    """
    if not path.is_file():
        return None
    content = None
    if is_intact(path):
        try:
            content = torch.load(path, weights_only=True)
        except Exception:  # bytes that are no such file make the unpickler raise anything
            content = None
    if not isinstance(content, dict) or not keys <= content.keys():
        print(f"warning: {path} is damaged and is computed again.", flush=True)
        return None
    return content
