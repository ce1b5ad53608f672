"""Checks of candidates before they are suppressed: shapes that fit together, and usable numbers.

Letters: M candidates.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from data.records import Candidates
from postprocess.arrays import Flags
from postprocess.config import PostprocessConfig

LARGEST_COORDINATE = 1e18  # px; a box ten times as wide and high has no area in float32


def check_candidates(where: str, candidates: Candidates, config: PostprocessConfig) -> None:
    """Stops at candidates that would otherwise win or vanish without a word.

    Args:
        where: what the message calls the input.
        candidates: on the host; ``variances`` are those that vote.
        config: see PostprocessConfig.

    Raises:
        ValueError: shapes do not fit together, a number is not finite, a variance is negative, or
            what the vote or the suppression needs is missing.
    """
    check_shapes(where, candidates)
    if config.sigma_t > 0 and candidates.variances is None:
        raise ValueError(
            f"{where}: sigma_t is {config.sigma_t}, but there are no variances (in"
            f" {config.variance_space!r} space) to vote with; use a network that predicts log"
            " variances, or set sigma_t to 0."
        )
    if config.suppression == "iou_guided" and candidates.localization is None:
        raise ValueError(
            f"{where}: suppression is 'iou_guided', but there is no localization confidence to rank"
            " by; use a network that predicts the IoU of its boxes, or another suppression."
        )
    check_values(where, candidates)


def check_shapes(where: str, candidates: Candidates) -> None:
    """Stops at candidates whose tensors do not fit together.

    Args:
        where: what the message calls the input.
        candidates: of one image.

    Raises:
        ValueError: a tensor does not have M rows, or boxes or variances do not have 4 columns.
    """
    count = len(candidates.scores)
    wide = [candidates.boxes, *_variances(candidates)]
    narrow = [candidates.scores, *_localization(candidates)]
    fits = all(x.shape == (count, 4) for x in wide) and all(x.shape == (count,) for x in narrow)
    probabilities = candidates.probabilities
    if probabilities is not None:
        fits &= probabilities.ndim == 2 and len(probabilities) == count
        wide.append(probabilities)
    if not fits:
        shapes = ", ".join(str(tuple(x.shape)) for x in (*wide, *narrow))
        raise ValueError(
            f"{where}: the shapes are {shapes}; give boxes (M, 4), scores (M,), variances (M, 4),"
            " probabilities (M, K + 1) and localization (M,)."
        )


def check_values(where: str, candidates: Candidates) -> None:
    """Stops at numbers that would win or vanish in comparisons.

    Args:
        where: what the message calls the input.
        candidates: of one image, with shapes that fit together.

    Raises:
        ValueError: a number is NaN or infinite, or a variance is negative.
    """
    # NaN compares as False
    _check_all(where, "boxes", np.abs(_array(candidates.boxes)) < LARGEST_COORDINATE)
    _check_all(where, "scores", np.isfinite(_array(candidates.scores)))
    for variances in _variances(candidates):
        values = _array(variances)
        _check_all(where, "variances", (values >= 0) & (values < np.inf))
    for localization in _localization(candidates):
        _check_all(where, "localization values", np.isfinite(_array(localization)))


def _array(values: Tensor) -> NDArray[Any]:
    return values.float().numpy()


def _check_all(where: str, name: str, usable: Flags) -> None:
    """Stops unless all of ``usable``, (M,) or (M, 4), is true."""
    if not usable.all():
        count = len(usable)
        rows = (~usable).reshape(count, -1).any(axis=1)
        raise ValueError(
            f"{where}: {int(rows.sum())} of {count} {name} are NaN, infinite or (a variance)"
            " negative; the network has probably diverged, look at its losses."
        )


def _variances(candidates: Candidates) -> list[Tensor]:
    both = (candidates.variances, candidates.pixel_variances)
    return [variances for variances in both if variances is not None]


def _localization(candidates: Candidates) -> list[Tensor]:
    return [] if candidates.localization is None else [candidates.localization]
