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
from scripts.engine.detection.detection import BATCH
from scripts.engine.detection.files import (
    find_images,
    is_video,
    overlay_file,
    overlay_files,
)
from scripts.engine.detection.photo_detector import PhotoDetector
from scripts.engine.detection.results import Format, write_results
from scripts.engine.detection.unfinished import UnfinishedDetections
from scripts.engine.detection.video import detect_in_video
from scripts.engine.files import sha256
from scripts.engine.run_folder.checkpoint import checkpoint_of

SKIPPED = 1  # exit code: some images could not be read


@dataclass(frozen=True, kw_only=True)
class DetectOptions:
    """The options of scripts.detect.

    checkpoint: of the network, or the folder of a run. images: files, folders of them, patterns, or
    videos. out: the folder of the results. formats: of the results. overlays:
    whether images are drawn. by_class: whether each class has a color. device: "auto", "cpu" or
    "cuda". least_score: of a detection that is reported. sigma_t: the temperature of variance
    voting; None: SIGMA_T if the network predicts log variances, else 0. suppression: its kind.
    nms_iou: its threshold; None: the run's. probabilities: whether those of all classes are
    reported. interval: the level of the intervals that are; None: none.
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
    probabilities: bool = False
    interval: float | None = None


def detect_in_files(options: DetectOptions) -> int:
    """Writes the detections and one overlay for each image; returns the exit code, 0 or SKIPPED.

    A command that was stopped goes on with the images that are not done; videos begin anew.

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
        probabilities=options.probabilities,
        interval=options.interval,
    )
    paths = find_images(options.images, options.out)
    options.out.mkdir(parents=True, exist_ok=True)
    images = [path for path in paths if not is_video(path)]
    kept = UnfinishedDetections(options.out, made_by(checkpoint, options))
    done = detect_in_images(detector, images, kept, options) if images else 0
    taken = {options.out / f"{path.stem}.png" for path in images}
    for path in paths:
        if is_video(path):
            target = overlay_file(options.out, path, taken).with_suffix("")
            done += video_is_done(detector, path, target, options)
    kept.end()
    if not done:
        raise ValueError(f"None of the {len(paths)} files could be read; nothing was written.")
    return 0 if done == len(paths) else SKIPPED


def video_is_done(
    detector: PhotoDetector, path: Path, target: Path, options: DetectOptions
) -> bool:
    """Whether a video could be read; one that cannot is named."""
    try:
        detect_in_video(
            detector, path, target, overlays=options.overlays, by_class=options.by_class
        )
    except DataError as error:
        print(f"skipped: {error}", file=sys.stderr)
        return False
    return True


def detect_in_images(
    detector: PhotoDetector,
    images: list[Path],
    kept: UnfinishedDetections,
    options: DetectOptions,
) -> int:
    """Detects in the images and writes the results; returns how many could be read."""
    before = kept.done(images, drawn=options.overlays)
    if before:
        print(f"going on: {len(before)} of {len(images)} images are done")
    drawn = {
        Path(name): row["overlay"] for name, row in kept.rows.items()
    }  # of other calls as well
    overlays = overlay_files(options.out, images, drawn)
    waiting = [path for path in images if path not in before]
    with tqdm(total=len(waiting), unit="image", disable=None) as bar:
        for count, paths, pixels in readable(waiting):
            for path, found in zip(paths, detector.several(pixels), strict=True):
                if options.overlays:
                    found.draw(by_class=options.by_class).save(overlays[path])
                overlay = overlays[path].name
                kept.add(
                    path, {"size": found.size, "overlay": overlay, "detections": found.lines()}
                )
            bar.update(count)
    done = kept.done(images)
    if done:
        written = write_results(
            options.out,
            done,
            detector.classes,
            options.formats,
            with_interval=options.interval is not None,
            with_probabilities=options.probabilities,
        )
        count = sum(len(row["detections"]) for row in done.values())
        files = ", ".join(map(str, written))
        print(f"{count} detections in {len(done)} of {len(images)} images; {files}")
    return len(done)


def made_by(checkpoint: Path, options: DetectOptions) -> dict[str, Any]:
    """What decides the results of an image, by the names of the options."""
    return {
        "checkpoint": sha256(checkpoint),
        "--score": options.least_score,
        "--nms-iou": options.nms_iou,
        "--sigma-t": options.sigma_t,
        "--suppression": options.suppression,
        "--no-overlays": not options.overlays,
        "--color": options.by_class,
        "--probabilities": options.probabilities,
        "--interval": options.interval,
    }


def readable(paths: Sequence[Path]) -> Iterator[tuple[int, list[Path], list[Tensor]]]:
    """The images that can be read, of BATCH at once (how many these were); others are named."""
    for start in range(0, len(paths), BATCH):
        names: list[Path] = []
        pixels: list[Tensor] = []
        for path in paths[start : start + BATCH]:
            try:
                pixels.append(read_image(path))
                names.append(path)
            except DataError as error:
                tqdm.write(f"skipped: {error}", file=sys.stderr)
        yield len(paths[start : start + BATCH]), names, pixels
