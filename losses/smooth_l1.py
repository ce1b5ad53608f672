"""Smooth L1 (Fast R-CNN, Eq. 3): quadratic near zero, linear beyond ``beta``."""

import torch
from torch import Tensor


def smooth_l1_loss(
    offsets: Tensor, log_variance: Tensor | None, target_offsets: Tensor, beta: float = 1.0
) -> Tensor:
    """smooth_l1(offsets - target_offsets): the box loss without log variances, which are not used.

    Args:
        offsets: predicted (..., 4), unitless.
        log_variance: None.
        target_offsets: encoded ground truth (..., 4).
        beta: see ``smooth_l1``.

    Returns:
        One value per coordinate (..., 4), float32 also under autocast.
    """
    return smooth_l1(offsets.float() - target_offsets, beta)


def smooth_l1(difference: Tensor, beta: float = 1.0) -> Tensor:
    """0.5 d^2 / beta for |d| < beta, else |d| - beta / 2; one value per coordinate.

    Args:
        difference: predicted minus target offset, any shape.
        beta: where the parabola meets the line; 1 in the box head, 1/9 in the RPN (Caffe's sigma =
            3). 0 gives |d|.
    """
    distance = difference.abs()
    if beta == 0:
        return distance
    return torch.where(distance < beta, 0.5 * distance**2 / beta, distance - 0.5 * beta)
