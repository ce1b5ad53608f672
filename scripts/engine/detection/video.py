"""Detects in the frames of a video, through PyAV, which the extra "video" installs."""

import importlib
import json
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from types import ModuleType

from PIL import Image
from tqdm import tqdm

from data.errors import DataError
from data.files import atomic_file
from scripts.engine.detection.detection import BATCH
from scripts.engine.detection.photo_detections import PhotoDetections
from scripts.engine.detection.photo_detector import PhotoDetector

CODEC = "mpeg4"  # every build of FFmpeg has it
BIT_RATE = 8_000_000  # a second
LARGEST = 1001  # denominator of a rate, as in 30000/1001; the codec takes up to 65535


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
    target: Path,
    *,
    overlays: bool = True,
    by_class: bool = False,
) -> None:
    """Writes TARGET.jsonl, one line a frame with its time and detections, and TARGET.mp4, drawn.

    Frames are turned upright. The files are there when all frames are done.

    Args:
        detector: of the detections.
        path: of the video.
        target: of the files, without an ending.
        overlays: whether TARGET.mp4 is written.
        by_class: whether each class has a color.

    Raises:
        DataError: the file is no video that PyAV can read, or PyAV is not installed.
    """
    av = load_av()
    part = target.with_name(f".{target.name}.mp4")
    film: Film | None = None
    count = 0
    try:
        with atomic_file(Path(f"{target}.jsonl")) as lines:
            for seconds, found in detected_frames(av, detector, path):
                if overlays:
                    film = film or Film(av, part, frame_rate(av, path))
                    film.add(found.draw(by_class=by_class))
                line = {"frame": count, "seconds": seconds, "detections": found.lines()}
                lines.write(f"{json.dumps(line)}\n".encode())
                count += 1
            if count == 0:
                raise DataError(f"{path}: the video has no frame.")
        if film is not None:
            film.close()
            part.replace(f"{target}.mp4")
    finally:
        part.unlink(missing_ok=True)
    print(f"{path}: {count} frames -> {target}.jsonl{' and .mp4' if overlays else ''}")


def detected_frames(
    av: ModuleType, detector: PhotoDetector, path: Path
) -> Iterator[tuple[float | None, PhotoDetections]]:
    """Time and detections of each frame, BATCH at once in the network.

    Raises:
        DataError: the file cannot be read as a video.
    """
    times: list[float | None] = []
    photos: list[Image.Image] = []
    with tqdm(unit="frame", disable=None) as bar:
        for seconds, photo in frames_of(av, path):
            times.append(seconds)
            photos.append(photo)
            if len(photos) == BATCH:
                yield from zip(times, detector.several(photos), strict=True)
                bar.update(len(photos))
                times, photos = [], []
        yield from zip(times, detector.several(photos), strict=True)


def frames_of(av: ModuleType, path: Path) -> Iterator[tuple[float | None, Image.Image]]:
    """The time in seconds and the picture of each frame, turned as a player shows it.

    Raises:
        DataError: the file cannot be read as a video.
    """
    try:
        with av.open(str(path)) as container:
            for frame in container.decode(video=0):
                picture = frame.to_image()
                turn = getattr(frame, "rotation", 0)  # counterclockwise; older PyAV has none
                yield frame.time, picture.rotate(turn, expand=True) if turn else picture
    except (av.FFmpegError, IndexError, OSError) as error:
        raise DataError(f"{path}: cannot be read as a video ({error}).") from error


def frame_rate(av: ModuleType, path: Path) -> Fraction:
    """Frames a second, 25 where the file does not say, as a fraction that CODEC takes."""
    with av.open(str(path)) as container:
        rate = container.streams.video[0].average_rate
    return Fraction(rate or 25).limit_denominator(LARGEST)


class Film:
    """A video that grows picture by picture.

    Args:
        av: PyAV.
        path: of the file.
        rate: pictures a second.
    """

    def __init__(self, av: ModuleType, path: Path, rate: Fraction) -> None:
        self.av, self.container = av, av.open(str(path), "w")
        self.stream = self.container.add_stream(CODEC, rate=rate)
        self.stream.bit_rate = BIT_RATE
        self.stream.pix_fmt = "yuv420p"
        self.begun = False

    def add(self, picture: Image.Image) -> None:
        """One more picture; a last odd row or column is cut off, because the format has none."""
        width, height = (side - side % 2 for side in picture.size)
        if not self.begun:  # a codec that is open keeps its size
            self.stream.width, self.stream.height, self.begun = width, height, True
        frame = self.av.VideoFrame.from_image(picture.crop((0, 0, width, height)))
        self.container.mux(self.stream.encode(frame))

    def close(self) -> None:
        """Writes what the encoder still holds."""
        self.container.mux(self.stream.encode(None))
        self.container.close()
