"""How well a score ranks: the area under the ROC curve."""

import numpy as np
from numpy.typing import NDArray


def ranking_auc(positive: NDArray[np.float64], negative: NDArray[np.float64]) -> float:
    """The probability that a positive has the larger score of a random pair, ties counted half.

    It is the area under the ROC curve, and the Mann-Whitney statistic divided by its maximum.

    Args:
        positive: scores (P,).
        negative: scores (M,).

    Returns:
        0..1; nan if a sample is empty.

    Law: 1/2 for equal samples; a strictly rising function of both changes nothing.
    """
    if not len(positive) or not len(negative):
        return float("nan")
    ordered = np.sort(negative)
    below = np.searchsorted(ordered, positive, side="left")
    not_above = np.searchsorted(ordered, positive, side="right")
    return float((below + not_above).mean() / (2 * len(ordered)))
