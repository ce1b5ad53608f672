"""Detects in image files with the network of a checkpoint."""

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor
from tqdm import tqdm

from data.errors import DataError
from data.images import read_image
from postprocess.pipeline import Suppression
from scripts.engine.checkpoint import checkpoint_of
from scripts.engine.detection import BATCH
from scripts.engine.detection_files import find_images, is_video, overlay_files
from scripts.engine.detection_results import Format, write_results
from scripts.engine.files import sha256
from scripts.engine.photo_detector import PhotoDetector
from scripts.engine.unfinished_detections import UnfinishedDetections
from scripts.engine.video import detect_in_video

SKIPPED = 1  # exit code: some images could not be read


@dataclass(frozen=True, kw_only=True)
class DetectOptions:
    """The options of scripts.detect.

    checkpoint: of the network, or the folder of a run. images: files, folders of them, patterns, or
    videos. out: the folder of the results. formats: of the files beside detections.json. overlays:
    whether images are drawn. by_class: whether each class has a color. device: "auto", "cpu" or
    "cuda". least_score: of a detection that is reported. sigma_t: the temperature of variance
    voting; None: SIGMA_T if the network predicts log variances, else 0. suppression: its kind.
    nms_iou: its threshold; None: the run's.
    """

    checkpoint: Path
    images: Sequence[Path]
    out: Path
    formats: Sequence[Format] = ("json",)
    overlays: bool = True
    by_class: bool = False
    device: str = "auto"
    least_score: float = 0.5
    sigma_t: float | None = None
    suppression: Suppression = "hard"
    nms_iou: float | None = None


def detect_in_files(options: DetectOptions) -> int:
    """Writes the detections and one overlay for each image; returns the exit code, 0 or SKIPPED.

    A command that was stopped goes on with the images that are not done.

    Raises:
        ValueError: if nothing can be done.
    """
    checkpoint = checkpoint_of(options.checkpoint)
    detector = PhotoDetector(
        checkpoint,
        device=options.device,
        score=options.least_score,
        nms_iou=options.nms_iou,
        sigma_t=options.sigma_t,
        suppression=options.suppression,
    )
    paths = find_images(options.images, options.out)
    options.out.mkdir(parents=True, exist_ok=True)
    videos = [path for path in paths if is_video(path)]
    for path in videos:
        detect_in_video(
            detector,
            path,
            options.out,
            overlays=options.overlays,
            by_class=options.by_class,
        )
    images = [path for path in paths if not is_video(path)]
    if not images:
        return 0
    kept = UnfinishedDetections(options.out, made_by(checkpoint, options))
    if kept.done:
        print(f"going on: {len(kept.done)} of {len(images)} images are done")
    detect_and_keep(detector, images, kept, options)
    results = {str(path): kept.done[str(path)] for path in images if str(path) in kept.done}
    if not results:
        kept.end()
        raise ValueError(f"None of the {len(images)} images could be read; nothing was written.")
    written = write_results(options.out, results, detector.classes, options.formats)
    kept.end()
    print(
        f"{sum(map(len, results.values()))} detections in {len(results)} of {len(images)} images; "
        f"{', '.join(map(str, written))}"
    )
    return 0 if len(results) == len(images) else SKIPPED


def made_by(checkpoint: Path, options: DetectOptions) -> dict[str, Any]:
    """What decides the detections of an image, by the names of the options."""
    return {
        "checkpoint": sha256(checkpoint),
        "--score": options.least_score,
        "--nms-iou": options.nms_iou,
        "--sigma-t": options.sigma_t,
        "--suppression": options.suppression,
    }


def detect_and_keep(
    detector: PhotoDetector,
    images: Sequence[Path],
    kept: UnfinishedDetections,
    options: DetectOptions,
) -> None:
    """Detects in the images that are not done; an image that cannot be read is named."""
    overlays = overlay_files(options.out, images)
    waiting = [path for path in images if str(path) not in kept.done]
    with tqdm(total=len(waiting), unit="image", disable=None) as bar:
        for paths, pixels in readable(waiting):
            for path, found in zip(paths, detector.several(pixels), strict=True):
                if options.overlays:
                    found.draw(by_class=options.by_class).save(overlays[path])
                kept.add(str(path), found.lines())
            bar.update(len(paths))


def readable(paths: Sequence[Path]) -> Iterator[tuple[list[Path], list[Tensor]]]:
    """The images that can be read, up to BATCH at once; the others are named."""
    for start in range(0, len(paths), BATCH):
        names: list[Path] = []
        pixels: list[Tensor] = []
        for path in paths[start : start + BATCH]:
            try:
                pixels.append(read_image(path))
                names.append(path)
            except DataError as error:
                tqdm.write(f"skipped: {error}", file=sys.stderr)
        yield names, pixels
