"""The records that the parts of the pipeline hand to each other: Sample, Batch, Target, Proposals,
Candidates, Detections.

Letters: N images, P proposals, G ground-truth boxes, M candidates, D detections. Boxes are (x1, y1,
x2, y2) float32 in absolute pixels with continuous edges (width = x2 - x1). Sizes are (height,
width). Labels are 1..K; 0 is background. All records are frozen, keyword-only, and have
``.to(device)`` where they hold tensors.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, Protocol, TypeVar

import torch
from torch import Tensor

ImageId = int | str
Record = TypeVar("Record")


def _move(value: object, device: torch.device | str) -> object:
    if isinstance(value, Tensor):
        # towards the host a copy that is not waited for could be read before it is there
        return value.to(device, non_blocking=torch.device(device).type == "cuda")
    if isinstance(value, tuple) and value and hasattr(value[0], "to"):
        return tuple(
            _move(item, device) if isinstance(item, Tensor) else _to(item, device) for item in value
        )
    return value


def _to(record: Record, device: torch.device | str) -> Record:
    """The same record with every tensor in it on ``device``."""
    moved = {f.name: _move(getattr(record, f.name), device) for f in fields(record)}  # type: ignore[arg-type]
    return replace(record, **moved)  # type: ignore[type-var]


def select_rows(record: Record, keep: Tensor | slice) -> Record:
    """The same record with the rows ``keep`` of every tensor in it; None stays None."""
    values = {f.name: getattr(record, f.name) for f in fields(record)}  # type: ignore[arg-type]
    return replace(record, **{name: None if v is None else v[keep] for name, v in values.items()})  # type: ignore[type-var]


@dataclass(frozen=True, kw_only=True)
class Target:
    """Ground truth of one image. Fields that are None at construction are filled with the neutral
    value.

    boxes (G, 4) px; labels (G,) 1..K; crowd (G,) COCO's iscrowd; difficult (G,) VOC's difficult;
    area (G,) px^2 as the annotation gives it (COCO: of the segment; otherwise of the box);
    clean_boxes, sigma_true (G, 4) px or None: only the mini dataset knows them; masks (G, H, W)
    uint8 of 0 and 1, on the pixels of the image that the boxes refer to, or None: only training
    data of Mask R-CNN have them.
    """

    boxes: Tensor
    labels: Tensor
    crowd: Tensor = None  # type: ignore[assignment]
    difficult: Tensor = None  # type: ignore[assignment]
    area: Tensor = None  # type: ignore[assignment]
    clean_boxes: Tensor | None = None
    sigma_true: Tensor | None = None
    masks: Tensor | None = None

    def __post_init__(self) -> None:
        for name in ("crowd", "difficult"):
            if getattr(self, name) is None:
                object.__setattr__(self, name, torch.zeros_like(self.labels, dtype=torch.bool))
        if self.area is None:
            sides = self.boxes[:, 2:] - self.boxes[:, :2]
            object.__setattr__(self, "area", sides[:, 0] * sides[:, 1])

    def to(self, device: torch.device | str) -> Target:
        return _to(self, device)

    def select(self, keep: Tensor) -> Target:
        """The annotations that the index or mask ``keep`` (G,) chooses."""
        return select_rows(self, keep)


@dataclass(frozen=True, kw_only=True)
class Sample:
    """One image as a dataset gives it: image (3, H, W) uint8 RGB in original pixels."""

    image_id: ImageId
    image: Tensor
    target: Target


@dataclass(frozen=True, kw_only=True)
class Batch:
    """Images ready for the network: images (N, 3, H, W) float32, normalized, zero-padded right and
    below.

    image_sizes: (height, width) of each image inside the padding, network px; original_sizes: the
    same in original px. targets are in network px, or None at test time. skipped: one sentence for
    each image that could not be read. proposals: saved boxes (P, 4) of each image in network px,
    best first, for Fast R-CNN; None: the network has an RPN. indices: the place of each image in
    its data set, or () for images that are in none. draw_seeds: of each image's random draws in the
    network; (): they come from torch's global generator. is_stand_in: the images are in another
    process's share as well and do not count here; a trained batch norm sees them nevertheless.
    """

    images: Tensor
    image_sizes: tuple[tuple[int, int], ...]
    original_sizes: tuple[tuple[int, int], ...]
    image_ids: tuple[ImageId, ...]
    targets: tuple[Target, ...] | None = None
    skipped: tuple[str, ...] = ()
    proposals: tuple[Tensor, ...] | None = None
    indices: tuple[int, ...] = ()
    draw_seeds: tuple[int, ...] = ()
    is_stand_in: bool = False

    @property
    def padded_size(self) -> tuple[int, int]:
        """(height, width) px of the padded images."""
        return self.images.shape[-2], self.images.shape[-1]

    @property
    def counted_images(self) -> int:
        """How many images the losses are averaged over."""
        return 0 if self.is_stand_in else len(self.images)

    def to(self, device: torch.device | str) -> Batch:
        return _to(self, device)

    def split(self, parts: int) -> tuple[Batch, ...]:
        """At most ``parts`` smaller batches with the same images in the same order; ``skipped``
        stays in the first.
        """
        size = -(-len(self.images) // parts)
        pieces = [slice(start, start + size) for start in range(0, len(self.images), size)]
        return tuple(
            Batch(
                images=self.images[piece],
                image_sizes=self.image_sizes[piece],
                original_sizes=self.original_sizes[piece],
                image_ids=self.image_ids[piece],
                targets=None if self.targets is None else self.targets[piece],
                proposals=None if self.proposals is None else self.proposals[piece],
                skipped=self.skipped if piece.start == 0 else (),
                indices=self.indices[piece],
                draw_seeds=self.draw_seeds[piece],
                is_stand_in=self.is_stand_in,
            )
            for piece in pieces
        )


@dataclass(frozen=True, kw_only=True)
class Proposals:
    """What the region proposal network alone finds in one image, best objectness first.

    boxes (P, 4) original px; objectness (P,): larger is better, RPN: a logit, KL-RPN: -0.5 *
    sum(log variance).
    """

    boxes: Tensor
    objectness: Tensor

    def to(self, device: torch.device | str) -> Proposals:
        return _to(self, device)


@dataclass(frozen=True, kw_only=True)
class Candidates:
    """The model's last word on one image, before any suppression; boxes in original px.

    boxes (M, 4), scores (M,), labels (M,) 1..K; variances (M, 4) in offset units squared (what KL
    Loss Eq. 11 votes with) and pixel_variances (M, 4) in px^2 (what a user reads), or None for a
    network without log variance; localization (M,): the IoU with its object that the network
    predicts for each box (IoU-Net), or None; probabilities (M, K + 1): of every class, background
    first, or None where nobody asked for them.
    """

    boxes: Tensor
    scores: Tensor
    labels: Tensor
    variances: Tensor | None = None
    pixel_variances: Tensor | None = None
    localization: Tensor | None = None
    probabilities: Tensor | None = None

    def to(self, device: torch.device | str) -> Candidates:
        return _to(self, device)

    def select(self, keep: Tensor) -> Candidates:
        """The candidates that the index or mask ``keep`` (M,) chooses."""
        return select_rows(self, keep)


@dataclass(frozen=True, kw_only=True)
class Detections:
    """What a user gets for one image, best score first: boxes (D, 4) original px, scores (D,),
    labels (D,) 1..K, sigma (D, 4) px: the standard deviation of each box side, or None; masks (D,
    M, M): the probability that each cell of an M x M grid over the box belongs to the object, or
    None (``postprocess.masks.paste_masks`` puts them into the image); probabilities (D, K + 1): of
    every class for the same RoI, background first, or None.
    """

    boxes: Tensor
    scores: Tensor
    labels: Tensor
    sigma: Tensor | None = None
    masks: Tensor | None = None
    probabilities: Tensor | None = None

    def to(self, device: torch.device | str) -> Detections:
        return _to(self, device)

    def select(self, keep: Tensor | slice) -> Detections:
        """The detections that an index, a mask (D,) or a slice chooses."""
        return select_rows(self, keep)


class Dataset(Protocol):
    """What a loader and an evaluator need of a data set; label k means ``classes[k - 1]``.

    skipped: one sentence for each annotation that was left out because its box cannot be used.
    """

    classes: tuple[str, ...]
    image_ids: tuple[ImageId, ...]
    sizes: tuple[tuple[int, int], ...]
    skipped: tuple[str, ...]

    @property
    def category_ids(self) -> tuple[int, ...] | None:
        """Entry k - 1 is the COCO category id of label k; None in other layouts."""
        ...

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> Sample:
        """Decodes one image.

        Raises:
            DataError: it cannot be read; names the file.
        """
        ...

    def name(self, index: int) -> str:
        """The file of one image below the image folder, which is the same on every machine."""
        ...

    def file(self, index: int) -> Path:
        """Where the image file of one image is."""
        ...

    def target(self, index: int) -> Target:
        """All annotations of one image, crowd and difficult ones included, without opening the
        image; no masks.
        """
        ...

    def segments(self, index: int) -> list[dict[str, Any]]:
        """COCO's compressed run lengths {"size", "counts"} of each annotation of one image, to
        score masks with.

        Raises:
            DataError: the data set was not opened with masks.
        """
        ...
