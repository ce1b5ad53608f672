"""Factors that make sigmas right on images that a network did not learn from.

Letters: n matched detections, B size bins. A ratio is |error| / sigma of one side; a Gaussian's is
at most 1 in 68.27 % and at most 2 in 95.45 % of the cases.
"""

import math
from collections.abc import Callable
from functools import partial
from typing import Literal

import torch
from torch import Tensor

from postprocess.sigma_scale import SigmaScale, box_sizes, size_bins

By = Literal["one", "side", "size"]
Aim = Literal["coverage", "likelihood"]
ONE_SIGMA, TWO_SIGMA = 0.6827, 0.9545  # shares of a Gaussian
SIZES = 3  # bins of equal count with "size"
FEWEST = 20  # detections that a factor is fitted on


def coverage_factor(ratios: Tensor) -> float:
    """The factor with which one and two sigma cover what a Gaussian's do, as nearly as one can.

    What one of them covers too much the other covers too little: a factor f covers the ratios up to
    f and up to 2 f, so the two shares add up to a Gaussian's if f is the quantile of all ratios and
    all halves of ratios together at the mean of ONE_SIGMA and TWO_SIGMA.

    Args:
        ratios: (n,) |error| / sigma, n > 0.
    """
    pooled = torch.cat([ratios, ratios / 2]).double()
    return float(torch.quantile(pooled, (ONE_SIGMA + TWO_SIGMA) / 2))


def likelihood_factor(ratios: Tensor) -> float:
    """The factor with the highest Gaussian likelihood: the root mean square of the ratios (n,)."""
    return float(ratios.double().square().mean().sqrt())


FACTORS: dict[Aim, Callable[[Tensor], float]] = {
    "coverage": coverage_factor,
    "likelihood": likelihood_factor,
}


def fit_scale(
    errors: Tensor, sigma: Tensor, boxes: Tensor, *, by: By = "one", aim: Aim = "coverage"
) -> SigmaScale:
    """The factors for the sigmas of a network, in closed form.

    Args:
        errors, sigma: (n, 4) px of detections on images that the network did not learn from.
        boxes: (n, 4) px of these detections.
        by: "one" factor, one for each "side", or one for each of SIZES "size" bins.
        aim: what the factors make right: the "coverage" of one and two sigma, or the Gaussian
            "likelihood".

    Raises:
        ValueError: there are too few detections for it.
    """
    needed = FEWEST * {"one": 1, "side": 1, "size": SIZES}[by]
    if len(sigma) < needed:
        raise ValueError(
            f"{len(sigma)} matched detections are too few to fit a scale of sigmas by {by!r}, "
            f"which needs {needed}; label more images, or train longer."
        )
    ratios = errors.abs() / sigma
    factor = partial(usable_factor, FACTORS[aim])
    if by == "side":
        return SigmaScale(edges=(), factors=(four([factor(ratios[:, i]) for i in range(4)]),))
    edges = size_edges(box_sizes(boxes)) if by == "size" else torch.zeros(0)
    bins = size_bins(boxes, edges)
    factors = [factor(ratios[bins == b].flatten()) for b in range(len(edges) + 1)]
    return SigmaScale(edges=tuple(edges.tolist()), factors=tuple(four([f] * 4) for f in factors))


def usable_factor(fit: Callable[[Tensor], float], ratios: Tensor) -> float:
    """The factor that ``fit`` finds for the ratios.

    Raises:
        ValueError: it is not positive and finite.
    """
    factor = fit(ratios)
    if not 0 < factor < math.inf:
        raise ValueError(
            "Errors that are 0 or not finite have no factor; are the labels the detections "
            "themselves?"
        )
    return factor


def four(values: list[float]) -> tuple[float, float, float, float]:
    """The list as a tuple of four."""
    x1, y1, x2, y2 = values
    return x1, y1, x2, y2


def size_edges(sizes: Tensor) -> Tensor:
    """Edges (at most SIZES - 1,) px that part sizes (n,) into bins of equal count."""
    parts = torch.arange(1, SIZES, dtype=torch.float64) / SIZES
    # "higher" makes each edge one of the sizes, so that no bin is empty where sizes tie
    edges = torch.quantile(sizes.double(), parts, interpolation="higher").unique().to(sizes)
    return edges[edges > sizes.min()]
