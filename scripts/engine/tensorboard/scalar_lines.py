"""training.jsonl: the losses and statistics of a training that TensorBoard shows, as JSON lines.

metrics.jsonl beside it has the validations.
"""

import json
from collections.abc import Mapping
from pathlib import Path

from scripts.engine.files import json_safe, write_atomically


class ScalarLines:
    """Appends a line for each step that has scalars; a disk that is full ends no training.

    Args:
        path: of the file; None: nothing is written.
        start: updates that were made before; lines of later ones, which were lost with a crash, are
            dropped.
    """

    def __init__(self, path: Path | None, start: int) -> None:
        self.path = path
        self.is_writable = path is not None
        if path is not None and path.is_file():
            lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
            kept = [line for line in lines if is_before(line, start)]
            if kept != lines:
                write_atomically(path, "".join(f"{line}\n" for line in kept))

    def add(self, step: int, values: Mapping[str, float]) -> None:
        """Adds a line.

        Args:
            step: the update, from 0.
            values: by name; NaN (no foreground in this step) becomes null.
        """
        if self.path is None or not self.is_writable:
            return
        line = json.dumps({"step": step, **json_safe(dict(values))})
        try:
            with self.path.open("a", encoding="utf-8") as file:
                file.write(f"{line}\n")
        except OSError as error:
            self.is_writable = False
            print(f"warning: {self.path} is not written any more ({error}).", flush=True)


def is_before(line: str, start: int) -> bool:
    """Whether a line is whole and of an update before ``start``."""
    try:
        return bool(json.loads(line)["step"] < start)
    except (ValueError, KeyError, TypeError):
        return False
