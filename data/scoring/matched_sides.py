"""The sides of matched detections beside those of their objects, over a data set."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from data.records import Detections, Target, select_rows
from data.scoring.aligned import check_aligned
from data.scoring.calibration import match_detections


@dataclass(frozen=True, kw_only=True)
class MatchedSides:
    """n detections with the objects that they mean.

    boxes, objects (n, 4) px: the detection's and the labeled one; sigma (n, 4) px; labels (n,)
    1..K; true_sigma (n, 4) px of the labels' own noise, or None where it is unknown.
    """

    boxes: Tensor
    objects: Tensor
    sigma: Tensor
    labels: Tensor
    true_sigma: Tensor | None = None

    @property
    def errors(self) -> Tensor:
        """(n, 4) px, the labeled side minus the predicted one."""
        return self.objects - self.boxes

    def select(self, keep: Tensor) -> "MatchedSides":
        """The detections that the mask ``keep`` (n,) chooses."""
        return select_rows(self, keep)


def matched_sides(detections: Sequence[Detections], targets: Sequence[Target]) -> MatchedSides:
    """Every detection that means an object, see ``match_detections``.

    Args:
        detections, targets: one entry per image, in the same order; original px.

    Raises:
        DataError: the sequences do not fit.
        ValueError: detections have no sigma.
    """
    check_aligned(detections, targets)
    none = torch.zeros(0, 4)
    parts: list[tuple[Tensor, ...]] = [(none, none, none, torch.zeros(0, dtype=torch.int64), none)]
    for found, target in zip(detections, targets, strict=True):
        if found.sigma is None:
            raise ValueError(
                "The detections have no sigma; give a network of a run with KL Loss (its name ends "
                "in _kl)."
            )
        rows, columns = match_detections(found, target)
        true = target.sigma_true
        parts.append(
            (
                found.boxes[rows],
                target.boxes[columns],
                found.sigma[rows],
                found.labels[rows],
                none if true is None else true[columns],
            )
        )
    boxes, objects, sigma, labels, noise = map(torch.cat, zip(*parts, strict=True))
    known = all(target.sigma_true is not None for target in targets)
    return MatchedSides(
        boxes=boxes,
        objects=objects,
        sigma=sigma,
        labels=labels,
        true_sigma=noise if known else None,
    )
