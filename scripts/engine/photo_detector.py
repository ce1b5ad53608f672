"""A detector for Python code: images in, detections out."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from data.images import read_image
from data.records import Detections
from postprocess.pipeline import Suppression
from scripts.engine.checkpoint import checkpoint_of
from scripts.engine.detection import choose_postprocess, detect, load_detector
from scripts.engine.environment import pick_device

# a file, RGB (H, W, 3) uint8, RGB (3, H, W) uint8, or an image of Pillow
Photo = str | Path | NDArray[np.uint8] | Tensor | Image.Image


class PhotoDetector:
    """The network of a checkpoint with its post-processing.

    Args:
        checkpoint: a file of scripts.train or scripts.convert_weights, or the folder of a run.
        device: "auto", "cpu" or "cuda".
        score: least score of a detection that is returned.
        nms_iou, sigma_t, suppression: as in scripts.detect; None: what the network was trained for.

    Raises:
        ValueError: the checkpoint cannot be used.
    """

    def __init__(
        self,
        checkpoint: str | Path,
        *,
        device: str = "auto",
        score: float = 0.5,
        nms_iou: float | None = None,
        sigma_t: float | None = None,
        suppression: Suppression = "hard",
    ) -> None:
        self.device = pick_device(device)
        self.loaded = load_detector(checkpoint_of(Path(checkpoint)), self.device)
        self.config = choose_postprocess(self.loaded.run, sigma_t, suppression, nms_iou=nms_iou)
        self.score = score

    @property
    def classes(self) -> tuple[str, ...]:
        """Label k means ``classes[k - 1]``."""
        return tuple(self.loaded.classes)

    def __call__(self, images: Sequence[Photo]) -> list[Detections]:
        """The detections of each image, best first, on the CPU, in px of the image.

        Raises:
            ValueError: an image that cannot be read, naming it.
        """
        return [
            self.one(to_pixels(image, place), f"image {place}")
            for place, image in enumerate(images)
        ]

    def one(self, pixels: Tensor, name: str) -> Detections:
        """The detections of one image, RGB (3, H, W) uint8."""
        found = detect(self.loaded, pixels, name, self.config, self.device)
        count = int((found.scores >= self.score).sum())
        parts = (found.boxes, found.scores, found.labels, found.sigma, found.masks)
        boxes, scores, labels, sigma, masks = (
            None if part is None else part[:count] for part in parts
        )
        assert boxes is not None
        assert scores is not None
        assert labels is not None
        return Detections(boxes=boxes, scores=scores, labels=labels, sigma=sigma, masks=masks)


def to_pixels(image: Photo, place: int) -> Tensor:
    """An image as RGB (3, H, W) uint8.

    Raises:
        ValueError: it is no image, with its place in the list.
    """
    if isinstance(image, str | Path):
        return read_image(Path(image))
    if isinstance(image, Image.Image):
        image = np.asarray(image.convert("RGB"))
    if isinstance(image, np.ndarray):
        image = torch.from_numpy(np.array(image))
        image = image.permute(2, 0, 1) if image.ndim == 3 else image
    if not (image.dtype == torch.uint8 and image.ndim == 3 and len(image) == 3):
        raise ValueError(
            f"Image {place} is {tuple(image.shape)} of {image.dtype}; give a file, an image of "
            "Pillow, or RGB as uint8: an array (H, W, 3) or a tensor (3, H, W)."
        )
    return image
