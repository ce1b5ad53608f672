"""Detects in the frames of a video, through PyAV, which the extra "video" installs."""

import importlib
import json
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

from tqdm import tqdm

from data.errors import DataError
from scripts.engine.detection import BATCH
from scripts.engine.photo_detections import PhotoDetections
from scripts.engine.photo_detector import PhotoDetector

CODEC = "mpeg4"  # every build of FFmpeg has it
BIT_RATE = 8_000_000  # a second


def load_av() -> ModuleType:
    """PyAV.

    Raises:
        DataError: it is not installed.
    """
    try:
        return importlib.import_module("av")
    except ImportError as error:
        raise DataError("Videos are read by PyAV; install it: pip install av") from error


def detect_in_video(
    detector: PhotoDetector,
    path: Path,
    out: Path,
    *,
    overlays: bool = True,
    by_class: bool = False,
) -> None:
    """Writes NAME.jsonl, one line a frame with its time and detections, and NAME.mp4, drawn.

    Args:
        detector: of the detections.
        path: of the video.
        out: the folder of the results.
        overlays: whether NAME.mp4 is written.
        by_class: whether each class has a color.

    Raises:
        DataError: the file is no video that PyAV can read, or PyAV is not installed.
    """
    av = load_av()
    try:
        with av.open(str(path)) as container:
            stream = container.streams.video[0]
            film = (
                Film(av, out / f"{path.stem}.mp4", stream.average_rate, by_class)
                if overlays
                else None
            )
            with (
                (out / f"{path.stem}.jsonl").open("w") as lines,
                tqdm(total=stream.frames or None, unit="frame", disable=None) as bar,
            ):
                count = write_frames(detector, container.decode(stream), lines, film, bar)
            if film is not None:
                film.close()
    except (av.FFmpegError, IndexError, OSError) as error:
        raise DataError(f"{path}: cannot be read as a video ({error}).") from error
    print(f"{path}: {count} frames -> {out / path.stem}.jsonl{' and .mp4' if overlays else ''}")


def write_frames(
    detector: PhotoDetector, frames: Iterator[Any], lines: Any, film: "Film | None", bar: Any
) -> int:
    """Detects in BATCH frames at once; returns how many there were."""
    count = 0
    for chunk in chunks(frames):
        photos = [frame.to_image() for frame in chunk]
        for frame, found in zip(chunk, detector.several(photos), strict=True):
            line = {"frame": count, "seconds": frame.time, "detections": found.lines()}
            lines.write(json.dumps(line) + "\n")
            if film is not None:
                film.add(found)
            count += 1
            bar.update()
    return count


def chunks(frames: Iterator[Any]) -> Iterator[list[Any]]:
    """The frames, BATCH at once."""
    chunk = []
    for frame in frames:
        chunk.append(frame)
        if len(chunk) == BATCH:
            yield chunk
            chunk = []
    if chunk:
        yield chunk


class Film:
    """A video that grows frame by frame.

    Args:
        av: PyAV.
        path: of the file.
        rate: frames a second.
        by_class: whether each class has a color.
    """

    def __init__(self, av: ModuleType, path: Path, rate: Any, by_class: bool) -> None:
        self.by_class = by_class
        self.av, self.container = av, av.open(str(path), "w")
        self.stream = self.container.add_stream(CODEC, rate=rate or 25)
        self.stream.bit_rate = BIT_RATE
        self.stream.pix_fmt = "yuv420p"
        self.begun = False

    def add(self, found: PhotoDetections) -> None:
        """One more frame; a last odd row or column is cut off, because the format has none."""
        picture = found.draw(by_class=self.by_class)
        width, height = (side - side % 2 for side in picture.size)
        if not self.begun:  # a codec that is open keeps its size
            self.stream.width, self.stream.height, self.begun = width, height, True
        frame = self.av.VideoFrame.from_image(picture.crop((0, 0, width, height)))
        self.container.mux(self.stream.encode(frame))

    def close(self) -> None:
        """Writes what the encoder still holds."""
        self.container.mux(self.stream.encode(None))
        self.container.close()
