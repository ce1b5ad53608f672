"""Intervals that hold a side, and boxes that hold an object, as often as they say.

Split conformal prediction: factors of sigma are order statistics of how far labels lie outside on
images that the network did not learn from; whatever the errors' distribution, the next image is
covered as often as asked for. Lei et al., "Distribution-Free Predictive Inference for Regression",
JASA 2018, section 2.2, with errors divided by sigma.

Letters: n matched detections, D detections.
"""

import math

import torch
from torch import Tensor


def conformal_factor(scores: Tensor, level: float) -> float:
    """The ceil((n + 1) level)-th smallest of the scores (n,); infinite if there is none.

    Args:
        scores: how many sigmas each label lies away.
        level: the share of labels that is to be covered, between 0 and 1.
    """
    place = math.ceil((len(scores) + 1) * level)
    return math.inf if place > len(scores) else float(scores.double().sort().values[place - 1])


def side_factors(errors: Tensor, sigma: Tensor, level: float) -> tuple[float, ...]:
    """For x1, y1, x2 and y2: the factor with which +- factor x sigma holds the labeled side.

    Args:
        errors, sigma: (n, 4) px.
        level: in this share of the cases.
    """
    ratios = errors.abs() / sigma
    return tuple(conformal_factor(ratios[:, side], level) for side in range(4))


def holding_factor(errors: Tensor, sigma: Tensor, level: float) -> float:
    """The factor by which a box is moved outwards, times sigma, to hold all of the labeled box.

    Args:
        errors: (n, 4) px, the labeled side minus the predicted one.
        sigma: (n, 4) px.
        level: in this share of the cases.
    """
    outwards = errors * errors.new_tensor([-1.0, -1.0, 1.0, 1.0])
    return conformal_factor((outwards / sigma).max(dim=1).values, level)


def intervals(boxes: Tensor, sigma: Tensor, factors: tuple[float, ...]) -> Tensor:
    """(D, 4, 2) px: the low and the high end of the interval around each side of boxes (D, 4)."""
    reach = sigma * sigma.new_tensor(factors)
    return torch.stack([boxes - reach, boxes + reach], dim=-1)


def holding_boxes(boxes: Tensor, sigma: Tensor, factor: float) -> Tensor:
    """Boxes (D, 4) px with every side moved outwards by ``factor`` sigmas (inwards if negative)."""
    return boxes + factor * sigma * sigma.new_tensor([-1.0, -1.0, 1.0, 1.0])
