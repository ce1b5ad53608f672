"""Sigmas that are what they say: factors, fitted on images that the network did not learn from.

Letters: D detections, B size bins.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from data.boxes import area


@dataclass(frozen=True, kw_only=True)
class SigmaScale:
    """By what the sigma of each box side is multiplied.

    edges: px, rising; a box belongs to bin b if its size, sqrt(width x height), is at least
    edges[b - 1] and below edges[b]. factors: one row of (x1, y1, x2, y2) for each of the
    len(edges) + 1 bins.

    Raises:
        ValueError: the edges do not rise, or there is not one row of four positive factors a bin.
    """

    edges: tuple[float, ...]
    factors: tuple[tuple[float, float, float, float], ...]

    def __post_init__(self) -> None:
        rising = all(low < high for low, high in zip(self.edges, self.edges[1:], strict=False))
        shaped = len(self.factors) == len(self.edges) + 1 and all(len(r) == 4 for r in self.factors)
        if not (rising and shaped and all(value > 0 for row in self.factors for value in row)):
            raise ValueError(
                f"A scale of sigmas has rising edges and one row of four positive factors for each "
                f"bin; these are {self.edges} and {self.factors}."
            )


def scale_sigma(sigma: Tensor, boxes: Tensor, scale: SigmaScale) -> Tensor:
    """Sigmas (D, 4) px of boxes (D, 4) px, multiplied by the factors of their size and side."""
    edges = boxes.new_tensor(scale.edges)
    return sigma * sigma.new_tensor(scale.factors)[size_bins(boxes, edges)]


def size_bins(boxes: Tensor, edges: Tensor) -> Tensor:
    """The bin (D,) of each box (D, 4) px: how many of the ``edges`` its size reaches."""
    return torch.bucketize(box_sizes(boxes), edges, right=True)


def box_sizes(boxes: Tensor) -> Tensor:
    """sqrt(width x height) (D,) px of boxes (D, 4)."""
    return area(boxes).sqrt()
