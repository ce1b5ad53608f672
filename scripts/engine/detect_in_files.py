"""Detects in image files with the network of a checkpoint."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from data.errors import DataError
from data.images import read_image
from postprocess.pipeline import Suppression
from scripts.engine.detection_files import find_images, json_text, overlay_file
from scripts.engine.files import write_atomically
from scripts.engine.photo_detector import PhotoDetector

SKIPPED = 1  # exit code: some images could not be read


@dataclass(frozen=True, kw_only=True)
class DetectOptions:
    """The options of scripts.detect.

    checkpoint: of the network, or the folder of a run. images: files, or folders of them. out: the
    folder of the results. device: "auto", "cpu" or "cuda". least_score: of a detection that is
    reported. sigma_t: the temperature of variance voting; None: SIGMA_T if the network predicts log
    variances, else 0.
    suppression: its kind. nms_iou: its threshold; None: the run's.
    """

    checkpoint: Path
    images: Sequence[Path]
    out: Path
    device: str = "auto"
    least_score: float = 0.5
    sigma_t: float | None = None
    suppression: Suppression = "hard"
    nms_iou: float | None = None


def detect_in_files(options: DetectOptions) -> int:
    """Writes detections.json and one overlay for each image; returns the exit code, 0 or SKIPPED.

    Raises:
        ValueError: if nothing can be done.
    """
    detector = PhotoDetector(
        options.checkpoint,
        device=options.device,
        score=options.least_score,
        nms_iou=options.nms_iou,
        sigma_t=options.sigma_t,
        suppression=options.suppression,
    )
    paths = find_images(options.images, options.out)
    options.out.mkdir(parents=True, exist_ok=True)
    results: dict[str, list[dict[str, Any]]] = {}
    drawn: set[Path] = set()
    for path in paths:
        try:
            image = read_image(path)
        except DataError as error:
            print(f"skipped: {error}", file=sys.stderr)
            continue
        found = detector(image)
        results[str(path)] = found.lines()
        found.draw().save(overlay_file(options.out, path, drawn))
    if not results:
        raise ValueError(f"None of the {len(paths)} images could be read; nothing was written.")
    write_atomically(options.out / "detections.json", json_text(results))
    print(
        f"{sum(map(len, results.values()))} detections in {len(results)} of {len(paths)} images; "
        f"{options.out / 'detections.json'}"
    )
    return 0 if len(results) == len(paths) else SKIPPED
