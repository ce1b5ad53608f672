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

# px; the area of a box, and the sum of two areas, is then below float32's largest number, 3.4e38
LARGEST_COORDINATE = 1e18
DIVERGED = "the network has probably diverged, look at its losses."


def check_candidates(where: str, candidates: Candidates, config: PostprocessConfig) -> None:
    """Stops at candidates that would otherwise win or vanish without a word.

    Args:
        where: what the message calls the input.
        candidates: on the host; ``variances`` are those that vote.
        config: see PostprocessConfig.

    Raises:
        ValueError: shapes do not fit together, a number is not finite, a coordinate is huge, a
            variance or a label is negative, or what the vote or the suppression needs is missing.
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
    narrow = [candidates.scores, candidates.labels, *_localization(candidates)]
    fits = all(x.shape == (count, 4) for x in wide) and all(x.shape == (count,) for x in narrow)
    probabilities = candidates.probabilities
    if probabilities is not None:
        fits &= probabilities.ndim == 2 and len(probabilities) == count
        wide.append(probabilities)
    if not fits:
        shapes = ", ".join(str(tuple(x.shape)) for x in (*wide, *narrow))
        raise ValueError(
            f"{where}: the shapes are {shapes}; give boxes (M, 4), scores (M,), labels (M,),"
            " variances (M, 4), probabilities (M, K + 1) and localization (M,)."
        )


def check_values(where: str, candidates: Candidates) -> None:
    """Stops at numbers that would win or vanish in comparisons, and at labels that are no classes.

    Args:
        where: what the message calls the input.
        candidates: of one image, with shapes that fit together.

    Raises:
        ValueError: a number is NaN or infinite, a coordinate is huge, or a variance or a label is
            negative.
    """
    # NaN compares as False
    near = np.abs(_array(candidates.boxes)) < LARGEST_COORDINATE
    far = f"NaN, infinite or {LARGEST_COORDINATE:g} px or more from 0; {DIVERGED}"
    _check_all(where, "boxes", near, far)
    _check_all(
        where, "scores", np.isfinite(_array(candidates.scores)), f"NaN or infinite; {DIVERGED}"
    )
    labels = candidates.labels.numpy()
    _check_all(where, "labels", labels >= 0, "negative; give each box the number of its class.")
    for variances in _variances(candidates):
        values = _array(variances)
        usable = (values >= 0) & (values < np.inf)
        _check_all(where, "variances", usable, f"NaN, infinite or negative; {DIVERGED}")
    for localization in _localization(candidates):
        finite = np.isfinite(_array(localization))
        _check_all(where, "localization values", finite, f"NaN or infinite; {DIVERGED}")


def _array(values: Tensor) -> NDArray[Any]:
    return values.float().numpy()


def _check_all(where: str, name: str, usable: Flags, fault: str) -> None:
    """Stops unless all of ``usable``, (M,) or (M, 4), is true; ``fault`` says what the others
    are."""
    if not usable.all():
        count = len(usable)
        rows = (~usable).reshape(count, -1).any(axis=1)
        raise ValueError(f"{where}: {int(rows.sum())} of {count} {name} are {fault}")


def _variances(candidates: Candidates) -> list[Tensor]:
    both = (candidates.variances, candidates.pixel_variances)
    return [variances for variances in both if variances is not None]


def _localization(candidates: Candidates) -> list[Tensor]:
    return [] if candidates.localization is None else [candidates.localization]
