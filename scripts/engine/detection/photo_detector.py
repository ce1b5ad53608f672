"""A detector for Python code: images in, detections out."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, overload

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from data.images import pixels_of, read_image
from postprocess.pipeline import Suppression
from scripts.engine.detection.detection import (
    BATCH,
    LoadedDetector,
    choose_postprocess,
    detect,
    load_detector,
)
from scripts.engine.detection.files import BACKGROUND
from scripts.engine.detection.photo_detections import PhotoDetections, reported
from scripts.engine.environment import pick_device
from scripts.engine.run_folder.checkpoint import checkpoint_of
from scripts.engine.run_folder.recalibration import interval_of

# a file, RGB (H, W, 3) uint8, RGB (3, H, W) uint8, or an image of Pillow
Photo = str | Path | NDArray[np.uint8] | Tensor | Image.Image


WANTED = (
    "give a file, an image of Pillow, or RGB as uint8: an array (H, W, 3) or a tensor (3, H, W)."
)


class PhotoDetector:
    """The network of a checkpoint with its post-processing.

    Args:
        path: a file of scripts.train or scripts.convert_weights, or the folder of a run.
        device: "auto", "cpu" or "cuda".
        score: least score of a detection that is returned; 0: all, whose candidates are above
            ``PostprocessConfig.score_threshold``.
        nms_iou, sigma_t, suppression: as in scripts.detect; None: what the network was trained for.
        probabilities: whether detections have those of all classes.
        interval: the level of the intervals that ``lines`` of a result have; None: they have none.

    Raises:
        ValueError: the checkpoint cannot be used, has no intervals of that level, or a class of the
            name of no object whose probability is asked for; or the score is not between 0 and 1.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        device: str = "auto",
        score: float = 0.5,
        nms_iou: float | None = None,
        sigma_t: float | None = None,
        suppression: Suppression = "hard",
        probabilities: bool = False,
        interval: float | None = None,
    ) -> None:
        if not 0 <= score <= 1:
            raise ValueError(f"A score of {score} is no share; try 0.5.")
        self.device = pick_device(device)
        self.loaded = load_detector(checkpoint_of(Path(path)), self.device)
        self.config = choose_postprocess(self.loaded.run, sigma_t, suppression, nms_iou=nms_iou)
        self.score, self.with_probabilities, self.interval = score, probabilities, interval
        if interval is not None:
            check_interval(self.loaded, interval)
        if probabilities and BACKGROUND in self.classes:
            raise ValueError(
                f"The network has a class {BACKGROUND!r}, which is also what the probability of no"
                " object is called; leave the probabilities out, or rename the class."
            )

    @property
    def classes(self) -> tuple[str, ...]:
        """Label k means ``classes[k - 1]``."""
        return tuple(self.loaded.classes)

    @overload
    def __call__(self, images: Photo) -> PhotoDetections: ...

    @overload
    def __call__(self, images: list[Any] | tuple[Any, ...]) -> list[PhotoDetections]: ...

    def __call__(
        self, images: Photo | list[Any] | tuple[Any, ...]
    ) -> PhotoDetections | list[PhotoDetections]:
        """The detections of an image, or of each of several, best first, in px of the image.

        Raises:
            ValueError: an image that cannot be read, naming it.
        """
        if isinstance(images, list | tuple):
            return self.several(images)
        return self.several([images])[0]

    def several(self, images: Sequence[Photo]) -> list[PhotoDetections]:
        """The detections of each image, BATCH at once in the network; each keeps its photo."""
        found: list[PhotoDetections] = []
        for start in range(0, len(images), BATCH):
            part = images[start : start + BATCH]
            pixels = [to_pixels(image, start + place) for place, image in enumerate(part)]
            names = [f"image {start + place}" for place in range(len(part))]
            detections = detect(
                self.loaded,
                pixels,
                names,
                self.config,
                self.device,
                with_probabilities=self.with_probabilities,
            )
            found += [
                reported(one, image, self.loaded, self.score, self.interval)
                for one, image in zip(detections, pixels, strict=True)
            ]
        return found


def check_interval(loaded: LoadedDetector, level: float) -> None:
    """Checks that a network has intervals of a level.

    Raises:
        ValueError: it has not.
    """
    if not loaded.run.model.roi.log_variance:
        raise ValueError(
            "This network predicts no sigma, so there are no intervals; leave the level out, or "
            "use the network of a run with KL Loss."
        )
    interval_of(loaded.recalibration, level)


def to_pixels(image: Photo, place: int) -> Tensor:
    """An image as RGB (3, H, W) uint8 on the CPU.

    Raises:
        ValueError: it is no image, with its place in the list.
    """
    if isinstance(image, str | Path):
        return read_image(Path(image))
    if isinstance(image, Image.Image):
        return pixels_of(image)
    pixels = torch.from_numpy(np.array(image)) if isinstance(image, np.ndarray) else image
    if not isinstance(pixels, Tensor):
        raise ValueError(f"Image {place} is a {type(image).__name__}; {WANTED}")
    channels = -1 if isinstance(image, np.ndarray) else 0
    fits = pixels.dtype == torch.uint8 and pixels.ndim == 3 and pixels.shape[channels] == 3
    if not (fits and pixels.numel()):
        raise ValueError(f"Image {place} is {tuple(pixels.shape)} of {pixels.dtype}; {WANTED}")
    return (pixels.permute(2, 0, 1) if channels else pixels).cpu()
