"""How many sides of boxes a step of post-processing moves nearer to the truth and how many farther
away, by how many pixels, and by the predicted sigma (KL Loss section 3.4, var voting).

Letters: n moves (data/scoring/box_moves.py), each with four sides.
"""

from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor

from data.scoring.box_moves import STILL, Moves

QUANTILES = 4  # of sigma, with the same number of sides in each


@dataclass(frozen=True, kw_only=True)
class SideMoves:
    """What happened to some sides.

    sigma: (least, largest) px of these sides. still: moved by at most STILL px, or to the other
    side of the truth at the same distance; nearer, farther: the other ones, by their distance to
    the truth. The px are by how much that distance changed, mean and median; nan of nothing.
    Law: sides = nearer + farther + still.
    """

    sigma: tuple[float, float]
    sides: int
    nearer: int
    farther: int
    still: int
    nearer_mean: float
    nearer_median: float
    farther_mean: float
    farther_median: float


def count_moves(change: Tensor, moved: Tensor, sigma: Tensor) -> SideMoves:
    """The counts of m sides.

    Args:
        change: (m,) px, the distance to the truth after the step minus that before it.
        moved: (m,) bool, by more than STILL.
        sigma: (m,) px.
    """
    nearer, farther = -change[moved & (change < 0)], change[moved & (change > 0)]
    nan = float("nan")
    return SideMoves(
        sigma=(float(sigma.min()), float(sigma.max())) if len(sigma) else (nan, nan),
        sides=len(change),
        nearer=len(nearer),
        farther=len(farther),
        still=len(change) - len(nearer) - len(farther),
        nearer_mean=float(nearer.mean()),
        nearer_median=float(nearer.median()) if len(nearer) else nan,
        farther_mean=float(farther.mean()),
        farther_median=float(farther.median()) if len(farther) else nan,
    )


def moves_by_sigma(moves: Moves, truth: Tensor, sigma: Tensor) -> list[SideMoves]:
    """All sides, and then those of each quantile of sigma, the smallest first.

    Args:
        moves: of a data set.
        truth: (n, 4) px, ``moves.labeled`` or ``moves.clean``.
        sigma: (n, 4) px, the predicted ones.
    """
    before, after = (moves.before - truth).abs(), (moves.after - truth).abs()
    change, moved = (after - before).flatten(), (moves.after - moves.before).abs().flatten() > STILL
    flat = sigma.flatten()
    order = flat.argsort(stable=True)
    parts = [torch.arange(len(flat)), *order.tensor_split(QUANTILES)]
    return [count_moves(change[part], moved[part], flat[part]) for part in parts]


def moves_as_json(moves: Moves, sigma: Tensor) -> dict[str, list[dict[str, Any]]]:
    """``moves_by_sigma`` against the labels, and against the clean boxes where they are known."""
    truths = {"labels": moves.labeled, "clean": moves.clean}
    return {
        name: [asdict(part) for part in moves_by_sigma(moves, truth, sigma)]
        for name, truth in truths.items()
        if truth is not None
    }
