"""The detections of images that are done, one line each, so that a command can go on."""

import json
from pathlib import Path
from typing import Any

NAME = ".unfinished.jsonl"
Row = dict[str, Any]  # image, stamp, size (height, width) px, overlay, detections


class UnfinishedDetections:
    """A file that grows by a line an image until all are done.

    Args:
        folder: of the results.
        made_by: what decides the results: the network and its options, as plain values.

    Raises:
        ValueError: the file holds results that something else made.
    """

    def __init__(self, folder: Path, made_by: dict[str, Any]) -> None:
        self.path = folder / NAME
        header, *rows = whole_lines(self.path) or [made_by]
        if header != made_by:
            changed = sorted(key for key in made_by if header.get(key) != made_by[key])
            raise ValueError(
                f"{self.path} holds detections that were made with another {', '.join(changed)}; "
                "give another --out folder, or delete the file to begin anew."
            )
        self.rows: dict[str, Row] = {row["image"]: row for row in rows}
        lines = [header, *rows]  # without a line that was torn
        self.path.write_text("".join(json.dumps(line) + "\n" for line in lines))

    def done(self, images: list[Path], *, drawn: bool = False) -> dict[Path, Row]:
        """The rows of those images that are done and have not changed since.

        Args:
            images: all that are asked for.
            drawn: whether their overlays must be there.
        """
        rows = {path: self.rows.get(str(path)) for path in images}
        same = {path: row for path, row in rows.items() if row and row["stamp"] == stamp(path)}
        folder = self.path.parent
        return {
            path: row
            for path, row in same.items()
            if not drawn or (folder / row["overlay"]).is_file()
        }

    def add(self, path: Path, row: Row) -> None:
        """Keeps the result of one more image."""
        row = {"image": str(path), "stamp": stamp(path), **row}
        self.rows[str(path)] = row
        with self.path.open("a") as file:
            file.write(json.dumps(row) + "\n")

    def end(self) -> None:
        """Removes the file: all images are done."""
        self.path.unlink()


def stamp(path: Path) -> list[int] | None:
    """Size and time of a file, by which a file that was replaced is known; None if it is gone."""
    try:
        status = path.stat()
    except OSError:
        return None
    return [status.st_size, status.st_mtime_ns]


def whole_lines(path: Path) -> list[dict[str, Any]]:
    """The lines of a file up to one that was torn when the program was killed; [] without one."""
    if not path.is_file():
        return []
    rows = []
    for line in path.read_text().splitlines():
        try:
            rows.append(json.loads(line))
        except ValueError:
            break
    return rows
