"""How right sigmas and intervals are on labeled images, for all detections and parts of them."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor

from data.scoring.calibration import calibration, ence
from data.scoring.matched_sides import MatchedSides
from postprocess.error_quantiles import Interval
from postprocess.intervals import holding_boxes, intervals
from postprocess.recalibration import size_edges
from postprocess.sigma_scale import box_sizes, size_bins

LEAST_IN_PART = 10  # detections of a class or size that has a line of its own
Numbers = dict[str, float]


@dataclass(frozen=True, kw_only=True)
class IntervalResult:
    """An interval, and what it did on images that it was not fitted on.

    held: the share of labeled sides within it, 0..1. holds: the share of labeled boxes inside the
    box that is to hold them. width: its mean width in px. gaussian_width: that of a Gaussian with
    the recalibrated sigmas.
    """

    interval: Interval
    held: float
    holds: float
    width: float
    gaussian_width: float


def parts_of(
    sides: MatchedSides, classes: Sequence[str], edges: Sequence[float]
) -> dict[str, Tensor]:
    """Masks (n,) of the detections that have lines of their own: all, each size, each class.

    Args:
        sides: the detections.
        classes: label k is ``classes[k - 1]``.
        edges: px between the sizes; without any those of thirds.
    """
    between = torch.tensor(edges) if edges else size_edges(box_sizes(sides.boxes))
    sizes = size_bins(sides.boxes, between)
    parts = {"all": torch.ones(len(sides.labels), dtype=torch.bool)}
    for index, name in enumerate(size_names(between.tolist())):
        parts[name] = sizes == index
    parts |= {f"class {name}": sides.labels == k for k, name in enumerate(classes, start=1)}
    large = {name: mask for name, mask in parts.items() if mask.sum() >= LEAST_IN_PART}
    return {"all": parts["all"], **large}


def size_names(edges: Sequence[float]) -> list[str]:
    """What the sizes between edges px are called; none without an edge."""
    if not edges:
        return []
    middle = [f"{low:.0f} to {high:.0f} px" for low, high in pairwise(edges)]
    return [f"below {edges[0]:.0f} px", *middle, f"from {edges[-1]:.0f} px"]


def numbers_of(sides: MatchedSides, sigma: Tensor, parts: dict[str, Tensor]) -> dict[str, Numbers]:
    """Of each part the numbers of ``calibration``, ence, and where the labels' own noise is known
    true_ratio, the median of ``sigma`` (n, 4) over the noise's.
    """
    numbers = {}
    for name, mask in parts.items():
        errors, part = sides.errors[mask], sigma[mask]
        numbers[name] = {**calibration(errors, part), "ence": ence(errors, part)}
        if sides.true_sigma is not None:
            numbers[name]["true_ratio"] = float((part / sides.true_sigma[mask]).median())
    return numbers


def held_of(
    interval: Interval, sides: MatchedSides, sigma: Tensor, parts: dict[str, Tensor]
) -> dict[str, float]:
    """Of each part the share of labeled sides in an interval, which is fitted on all together."""
    return {
        name: measured(interval, sides.select(mask), sigma[mask]).held
        for name, mask in parts.items()
    }


def measured(interval: Interval, sides: MatchedSides, sigma: Tensor) -> IntervalResult:
    """What an interval does on other images; ``sigma`` (n, 4) px is the recalibrated one."""
    ends = intervals(sides.boxes, sigma, interval.sides)
    inside = (ends[..., 0] <= sides.objects) & (sides.objects <= ends[..., 1])
    outer = holding_boxes(sides.boxes, sigma, interval.holding)
    holds = (outer[:, :2] <= sides.objects[:, :2]) & (sides.objects[:, 2:] <= outer[:, 2:])
    z = torch.special.ndtri(torch.tensor((1 + interval.level) / 2, dtype=torch.float64))
    return IntervalResult(
        interval=interval,
        held=float(inside.double().mean()),
        holds=float(holds.all(dim=1).double().mean()),
        width=float((ends[..., 1] - ends[..., 0]).mean()),
        gaussian_width=float(2 * z * sigma.double().mean()),
    )
