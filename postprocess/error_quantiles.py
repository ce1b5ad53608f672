"""How far labels lie from predictions, in sigmas: what intervals and probabilities need where the
errors are no Gaussian's.

Split conformal prediction: the quantiles are order statistics of |error| / sigma on images that the
network did not learn from, so that a label of the next image lies within the factor of p % in p %
of the cases, whatever the errors' distribution. Lei et al., "Distribution-Free Predictive Inference
for Regression", JASA 2018, section 2.2, with errors divided by sigma.

Letters: n matched detections, L percents, D detections.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

OUTWARDS = (-1.0, -1.0, 1.0, 1.0)  # from the middle of a box
Four = tuple[float, float, float, float]


@dataclass(frozen=True, kw_only=True)
class Interval:
    """Intervals that hold the labeled side as often as asked for.

    level: how often, 0..1. sides: the reach around x1, y1, x2 and y2 in sigmas. holding: by how
    many sigmas a box is moved outwards to hold the whole object so often.
    """

    level: float
    sides: Four
    holding: float


@dataclass(frozen=True, kw_only=True)
class ErrorQuantiles:
    """The factors of sigma for 1, 2, ... L %, over all classes and sizes together.

    L is 99 if there are 99 detections or more, else the highest with a place: 88 % of 8 detections.

    sides: L rows of x1, y1, x2, y2: +- factor x sigma holds the labeled side. holding: L factors: a
    box that is moved outwards by factor x sigma holds all of the labeled box.

    Raises:
        ValueError: the rows are no such factors.
    """

    sides: tuple[Four, ...]
    holding: tuple[float, ...]

    def __post_init__(self) -> None:
        shaped = len(self.sides) == len(self.holding) and all(len(row) == 4 for row in self.sides)
        if not shaped:
            raise ValueError(
                "Quantiles of errors have one row of four factors and one factor for each percent;"
                f" these are {len(self.sides)} rows and {len(self.holding)} factors."
            )


def fit_quantiles(errors: Tensor, sigma: Tensor) -> ErrorQuantiles:
    """The factors that were large enough on n detections.

    Args:
        errors: (n, 4) px, the labeled side minus the predicted one.
        sigma: (n, 4) px.
    """
    outwards = errors * errors.new_tensor(OUTWARDS)
    sides = conformal_factors(errors.abs() / sigma).tolist()
    holding = conformal_factors((outwards / sigma).amax(dim=1))
    return ErrorQuantiles(sides=tuple(map(tuple, sides)), holding=tuple(holding.tolist()))


def conformal_factors(scores: Tensor) -> Tensor:
    """Row p - 1 is the ceil((n + 1) p / 100)-th smallest of the scores (n, ...), as far as there is
    one: (L, ...).

    Args:
        scores: how many sigmas each label lies away.
    """
    count = len(scores)
    place = -(-(count + 1) * torch.arange(1, 100) // 100)
    return scores.double().sort(dim=0).values[place[place <= count] - 1]


def interval_at(quantiles: ErrorQuantiles, level: float) -> Interval:
    """The factors of a level between 0.01 and L %, linear between two percents.

    Raises:
        ValueError: there are none for this level.
    """
    highest = len(quantiles.holding)
    percent = round(100 * level, 9)  # 100 x 0.55 is a little more than 55
    if not 1 <= percent <= highest:
        raise ValueError(
            f"Intervals were fitted for levels from 0.01 to {highest / 100:g}, and not for "
            f"{level:g}; a higher one needs more labeled images."
        )
    table = torch.tensor(
        [[*row, held] for row, held in zip(quantiles.sides, quantiles.holding, strict=True)],
        dtype=torch.float64,
    )
    place = percent - 1  # row 0 is that of 1 %
    low, high = math.floor(place), math.ceil(place)
    x1, y1, x2, y2, holding = torch.lerp(table[low], table[high], place - low).tolist()
    return Interval(level=level, sides=(x1, y1, x2, y2), holding=holding)


def gaussian_interval(level: float) -> Interval:
    """The factors of a Gaussian; its box holds an object if none of four independent sides lies
    outside.
    """
    both, outside = torch.tensor([(1 + level) / 2, level**0.25], dtype=torch.float64)
    side = float(torch.special.ndtri(both))
    return Interval(level=level, sides=(side,) * 4, holding=float(torch.special.ndtri(outside)))


def share_within(quantiles: ErrorQuantiles, distance: Tensor) -> Tensor:
    """How often a labeled side lies at most that far away: (D, 4), 0..1, linear between two
    percents; no more than L %, however far.

    Args:
        quantiles: of the errors.
        distance: (D, 4) sigmas, at least 0.
    """
    known = torch.tensor([(0.0,) * 4, *quantiles.sides], dtype=torch.float64).T.contiguous()
    columns = [share_below(known[side], distance[:, side].contiguous()) for side in range(4)]
    return torch.stack(columns, dim=1).to(distance)


def share_below(known: Tensor, values: Tensor) -> Tensor:
    """The share (D,) of scores that are at most ``values`` (D,): the quantile function ``known``
    (L + 1,), rising, of 0, 1, ... L % turned around.
    """
    low = torch.searchsorted(known, values.double(), right=True) - 1
    last = len(known) - 1
    high = (low + 1).clamp(max=last)
    step = (known[high] - known[low]).clamp(min=torch.finfo(torch.float64).tiny)
    between = torch.where(low < last, (values - known[low]) / step, 0.0)
    return (low + between) / 100
