"""torch.hub: the detector of a checkpoint, from any folder.

import torch
detector = torch.hub.load("DIR_OF_THIS_CHECKOUT", "detector", source="local", path="best.pt")
found = detector("photo.jpg")     # boxes (D, 4), scores, names, sigma (D, 4) px
found.draw().save("overlay.png")

A package of your own that is called data, models or scripts as one of this checkout stays yours if
it is imported before this line.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

dependencies = ["torch", "torchvision", "numpy", "PIL", "pycocotools", "safetensors"]
HERE = Path(__file__).resolve().parent
PACKAGES = ("data", "experiments", "losses", "models", "postprocess", "scripts")


@contextmanager
def our_packages() -> Iterator[None]:
    """Our packages under their names; the caller's packages of the same names have them back
    afterwards.
    """
    theirs = {name for name in PACKAGES if name in sys.modules and not is_ours(name)}
    aside = {name: sys.modules.pop(name) for name in modules_of(theirs)}
    try:
        yield
    finally:
        for name in modules_of(theirs):
            del sys.modules[name]
        sys.modules.update(aside)


def is_ours(package: str) -> bool:
    """Whether an imported package is that of this checkout."""
    places = getattr(sys.modules[package], "__path__", ())
    return any(Path(place).resolve() == HERE / package for place in places)


def modules_of(packages: set[str]) -> list[str]:
    """The names of the imported modules of some packages."""
    return [name for name in sys.modules if name.partition(".")[0] in packages]


with our_packages():
    from scripts.engine.detection.photo_detector import PhotoDetector


def detector(path: str | Path, **options: Any) -> PhotoDetector:
    """The detector of a checkpoint or of a run's folder: ``detector(image)`` or a list of them.

    Args:
        path: a checkpoint of scripts.train or scripts.convert_weights, or the folder of a run.
        options: of ``PhotoDetector``: device, score, nms_iou, sigma_t, suppression,
            probabilities, interval.
    """
    return PhotoDetector(path, **options)
