"""torch.hub: the detector of a checkpoint, from any folder.

import torch
detector = torch.hub.load("DIR_OF_THIS_CHECKOUT", "detector", "runs/own/small/photos/seed0",
                          source="local")
(found,) = detector(["photo.jpg"])     # boxes (D, 4), scores, labels, sigma (D, 4) px
[detector.classes[label - 1] for label in found.labels]
"""

from pathlib import Path
from typing import Any

from scripts.engine.photo_detector import PhotoDetector

dependencies = ["torch", "torchvision", "numpy", "PIL", "pycocotools", "safetensors", "tensorboard"]


def detector(checkpoint: str | Path, **options: Any) -> PhotoDetector:
    """The detector of a checkpoint or of a run's folder, and so ``detector(images)``.

    Args:
        checkpoint: of scripts.train or scripts.convert_weights, or the folder of a run.
        options: of ``PhotoDetector``: device, score, nms_iou, sigma_t, suppression.
    """
    return PhotoDetector(checkpoint, **options)
