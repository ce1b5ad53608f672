"""Which data a network learned from or was scored on, as hashes that change when the data do.

No image is opened. What the image files hold is another question (pixels.py).
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from data.config import DataConfig
from data.reader import is_trained_on
from data.records import Dataset, Target

IMAGE_IDS, SIZES, ANNOTATIONS = "image ids", "sizes", "annotations"  # names of the hashes
TRAINED = ("boxes", "labels", "crowd", "difficult")  # fields of Target that training reads
OUTLINED = (*TRAINED, "area")  # with masks, whose outlines change the areas
SCORED = (*TRAINED, "area", "clean_boxes", "sigma_true")  # that scores read
IMAGES_AT_ONCE = 1000


@dataclass(frozen=True, kw_only=True)
class DataFacts:
    """What a network is trained on.

    images: in the data set. used: those that training uses. objects: that training uses, by class.
    digests: by IMAGE_IDS, SIZES and ANNOTATIONS.
    """

    images: int
    used: int
    objects: dict[str, int]
    digests: dict[str, str]


def training_facts(dataset: Dataset, config: DataConfig) -> DataFacts:
    """Counts and hashes of training images, in one pass over their annotations.

    Args:
        dataset: of the training splits.
        config: which annotations training uses.
    """
    fields = OUTLINED if config.masks else TRAINED
    digest = hashlib.sha256()
    objects, used = torch.zeros(len(dataset.classes) + 1, dtype=torch.int64), 0
    for first in range(0, len(dataset), IMAGES_AT_ONCE):
        indices = range(first, min(first + IMAGES_AT_ONCE, len(dataset)))
        targets = [dataset.target(index) for index in indices]
        digest.update(b"".join(target_bytes(target, fields) for target in targets))
        labels, images = learned_objects(targets, config)
        objects += labels.bincount(minlength=len(objects))
        used += len(targets) if config.train_empty else len(images.unique())
    return DataFacts(
        images=len(dataset),
        used=used,
        objects=dict(zip(dataset.classes, objects[1:].tolist(), strict=True)),
        digests={**list_digests(dataset, len(dataset)), ANNOTATIONS: digest.hexdigest()},
    )


def learned_objects(targets: Sequence[Target], config: DataConfig) -> tuple[Tensor, Tensor]:
    """The objects of some images that training uses.

    Returns:
        of each its label and the place of its image among the targets.
    """
    crowd, difficult, labels = (
        torch.cat([getattr(target, name) for target in targets])
        for name in ("crowd", "difficult", "labels")
    )
    counts = torch.tensor([len(target.labels) for target in targets])
    images = torch.arange(len(targets)).repeat_interleave(counts)
    learned = is_trained_on(crowd, difficult, config)
    return labels[learned], images[learned]


def list_digests(dataset: Dataset, images: int) -> dict[str, str]:
    """The hashes of the ids and of the sizes of the first images."""
    ids = [str(image) for image in dataset.image_ids[:images]]
    return {IMAGE_IDS: text_digest(ids), SIZES: text_digest(dataset.sizes[:images])}


def scored_digest(dataset: Dataset, targets: Sequence[Target]) -> str:
    """One hash of what scores depend on: ids, sizes and annotations of the first images.

    Args:
        dataset: the test images.
        targets: of all of them, or of the first.

    Returns:
        12 hexadecimal digits.
    """
    digests = list_digests(dataset, len(targets))
    digest = hashlib.sha256(f"{digests[IMAGE_IDS]} {digests[SIZES]}".encode())
    for target in targets:
        digest.update(target_bytes(target, SCORED))
    return digest.hexdigest()[:12]


def target_bytes(target: Target, fields: Sequence[str]) -> bytes:
    """The annotations of one image as bytes that no other annotations have.

    Args:
        target: of the image.
        fields: of Target; those that are None leave no trace.
    """
    parts = [len(target.labels).to_bytes(8, "little")]
    for name in fields:
        values = getattr(target, name)
        if values is not None:
            parts += [name.encode(), values.numpy().tobytes()]
    return b"".join(parts)


def text_digest(value: object) -> str:
    """The SHA-256 of a plain value."""
    return hashlib.sha256(json.dumps(value).encode()).hexdigest()


def differing(saved: Mapping[str, str], now: Mapping[str, str]) -> list[str]:
    """The names of the hashes that both have and that are not the same."""
    return [name for name, digest in now.items() if saved.get(name, digest) != digest]
