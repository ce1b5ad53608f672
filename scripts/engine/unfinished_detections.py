"""The detections of images that are done, one line each, so that a command can go on."""

import json
from pathlib import Path
from typing import Any

NAME = "unfinished.jsonl"
Lines = list[dict[str, Any]]


class UnfinishedDetections:
    """A file that grows by a line an image until all are done.

    Args:
        folder: of the results.
        made_by: what decides the detections: the network and its options, as plain values.

    Raises:
        ValueError: the file holds detections that something else made.
    """

    def __init__(self, folder: Path, made_by: dict[str, Any]) -> None:
        self.path = folder / NAME
        self.done: dict[str, Lines] = {}
        header, *images = whole_lines(self.path) or [made_by]
        if header != made_by:
            changed = sorted(key for key in made_by if header.get(key) != made_by[key])
            raise ValueError(
                f"{self.path} holds detections that were made with another {', '.join(changed)}; "
                "give another --out folder, or delete the file to begin anew."
            )
        for image in images:
            self.done[image["image"]] = image["detections"]
        rows = [header, *images]  # without a line that was torn
        self.path.write_text("".join(json.dumps(row) + "\n" for row in rows))

    def add(self, image: str, detections: Lines) -> None:
        """Keeps the detections of one more image."""
        self.done[image] = detections
        with self.path.open("a") as file:
            file.write(json.dumps({"image": image, "detections": detections}) + "\n")

    def end(self) -> None:
        """Removes the file: all images are done."""
        self.path.unlink()


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
