"""Which objects the anchors of a region proposal network reach, by class and by size.

An object can only be learned if some anchor is positive for it. An anchor is by the threshold
(Faster R-CNN section 3.1.2: IoU 0.7), or because none overlaps the object more: a low-quality
match. It then learns the object that it overlaps most itself, which may be another one.
Letters: n objects of all images together, m images.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from data.records import Target


@dataclass(frozen=True, kw_only=True)
class ObjectReach:
    """The objects that are trained on, and what the anchors make of them.

    labels (n,) 1..K; sides (n,): sqrt(width * height), network px; ratios (n,): height / width, as
    of anchors; best_iou (n,): with any anchor that is trained on; positives (n,) i64: positive
    anchors that learn it; per_image (m,) i64: objects of each image.
    """

    labels: Tensor
    sides: Tensor
    ratios: Tensor
    best_iou: Tensor
    positives: Tensor
    per_image: Tensor


@dataclass(frozen=True, kw_only=True)
class Unreached:
    """Objects of one kind: how many there are, how many no anchor reaches by the threshold, and
    how many have no positive anchor at all, low-quality matches included.
    """

    name: str
    objects: int
    below: int
    without: int


def reach_of(target: Target, best_iou: Tensor, positives: Tensor) -> ObjectReach:
    """The objects of one image, in network px; best_iou, positives: as in ObjectReach, (G,)."""
    width, height = (target.boxes[:, 2:] - target.boxes[:, :2]).unbind(1)
    return ObjectReach(
        labels=target.labels,
        sides=(width * height).sqrt(),
        ratios=height / width,
        best_iou=best_iou,
        positives=positives,
        per_image=torch.tensor([len(target.labels)]),
    )


def joined(parts: Sequence[ObjectReach]) -> ObjectReach:
    """The objects of at least one part together."""
    names = ObjectReach.__dataclass_fields__
    return ObjectReach(**{name: torch.cat([getattr(p, name) for p in parts]) for name in names})


def unreached(reach: ObjectReach, chosen: Tensor, name: str, positive_iou: float) -> Unreached:
    """The counts of the objects that the mask ``chosen`` (n,) picks.

    Args:
        reach: the objects.
        chosen: (n,) bool.
        name: of their kind.
        positive_iou: from which an anchor is positive by the threshold.
    """
    return Unreached(
        name=name,
        objects=int(chosen.sum()),
        below=int((chosen & (reach.best_iou < positive_iou)).sum()),
        without=int((chosen & (reach.positives == 0)).sum()),
    )


def unreached_by_class(
    reach: ObjectReach, classes: Sequence[str], positive_iou: float
) -> list[Unreached]:
    """One entry a class that has objects, the most frequent first."""
    kinds = [
        unreached(reach, reach.labels == label, name, positive_iou)
        for label, name in enumerate(classes, start=1)
    ]
    return sorted((kind for kind in kinds if kind.objects), key=lambda kind: -kind.objects)


def unreached_by_side(reach: ObjectReach, positive_iou: float) -> list[Unreached]:
    """One entry for each octave of sizes that has objects, the smallest first."""
    octaves = doublings(reach.sides)
    return [
        unreached(reach, octaves == place, octave_name(place), positive_iou)
        for place in octaves.unique().tolist()
    ]


def doublings(sides: Tensor) -> Tensor:
    """The octave (n,) i64 of each side: k for 2^k <= side < 2^(k + 1); 0 below 2 px."""
    return sides.clamp(min=1.0).log2().floor().long()


def octave_name(place: int) -> str:
    """ "16 to 32 px"."""
    return f"{2**place:g} to {2 ** (place + 1):g} px" if place else "below 2 px"


def octave_edges(values: Tensor, parts: int = 4) -> list[float]:
    """Edges of bins of equal ratio, ``parts`` for each doubling, that hold all values (n,) > 0."""
    if not len(values):
        return [1.0, 2.0]
    first, last = (
        math.floor(parts * math.log2(float(value))) for value in (values.min(), values.max())
    )
    return [2 ** (step / parts) for step in range(first, last + 2)]
