"""KL-RPN (Seo et al., 2020, sections 2.2 and 2.3, Eq. 3 to 8): one loss for what an anchor is and
where its box is.

The network predicts a Gaussian N(offset, exp(log_variance)) for each coordinate of an anchor's
offset (x, y, w, h). The target is a Dirac at the encoded box for a positive anchor and a wide
Gaussian N(0, 1/3) for a negative one (1/3 is the variance of the uniform law on [-1, 1]). Constants
of the divergence are dropped, and the squared error of the mean counts ``mean_error_weight`` (the
paper's gamma, 1/2); with 1 these are the textbook divergences. A negative value is healthy: a
positive anchor's loss falls without bound as its error and its variance do.
"""

import torch
from torch import Tensor

from losses.precision import at_least_float32

MEAN_ERROR_WEIGHT = 0.5  # gamma of Eq. 4 and 7
NEGATIVE_VARIANCE = 1 / 3  # sigma_1^2 of Eq. 4


def positive_anchor_loss(
    offsets: Tensor,
    log_variance: Tensor,
    target_offsets: Tensor,
    mean_error_weight: float = MEAN_ERROR_WEIGHT,
) -> Tensor:
    """gamma exp(-log_variance) (offsets - target_offsets)^2 / 2 + log_variance / 2 (Eq. 7).

    Args:
        offsets: predicted mean (..., 4), unitless, the paper's mu_2.
        log_variance: ln of the predicted variance (..., 4), the paper's beta.
        target_offsets: encoded ground truth (..., 4), the paper's mu_1.
        mean_error_weight: gamma.

    Returns:
        one value per coordinate (..., 4), at least float32 also under autocast (exp(11.1) overflows
        float16).

    Law: least at log_variance = ln(gamma error^2).
    """
    mean_error = at_least_float32(offsets) - at_least_float32(target_offsets)
    return gaussian_loss(mean_error, at_least_float32(log_variance), mean_error_weight, 0.0)


def positive_anchor_loss_exponent(
    offsets: Tensor,
    log_variance: Tensor,
    target_offsets: Tensor,
    mean_error_weight: float = MEAN_ERROR_WEIGHT,
) -> Tensor:
    """exp(-gamma log_variance) (offsets - target_offsets)^2 / 2 + log_variance / 2: Eq. 7 read with
    gamma in the exponent, where the paper typesets it.

    It is no divergence of Gaussians. ``positive_anchor_loss`` is the default.

    Args:
        offsets, log_variance, target_offsets, mean_error_weight: as in ``positive_anchor_loss``.

    Returns:
        one value per coordinate (..., 4), at least float32.

    Law: least at log_variance = ln(gamma error^2) / gamma.
    """
    log_variance = at_least_float32(log_variance)
    mean_error = at_least_float32(offsets) - at_least_float32(target_offsets)
    return 0.5 * torch.exp(-mean_error_weight * log_variance) * mean_error**2 + 0.5 * log_variance


def negative_anchor_loss(
    offsets: Tensor,
    log_variance: Tensor,
    mean_error_weight: float = MEAN_ERROR_WEIGHT,
    negative_variance: float = NEGATIVE_VARIANCE,
) -> Tensor:
    """exp(-log_variance) (gamma offsets^2 + 1/3) / 2 + log_variance / 2 (Eq. 4).

    Args:
        offsets, log_variance, mean_error_weight: as in ``positive_anchor_loss``.
        negative_variance: variance of the target Gaussian, 1/3.

    Returns:
        one value per coordinate (..., 4), at least float32.

    Law: least at offset 0 and variance 1/3, whatever gamma is.
    """
    return gaussian_loss(
        at_least_float32(offsets),
        at_least_float32(log_variance),
        mean_error_weight,
        negative_variance,
    )


def gaussian_loss(
    mean_error: Tensor, log_variance: Tensor, mean_error_weight: float, target_variance: float
) -> Tensor:
    """Eq. 3 without its constants: (sigma_1^2 + gamma (mu_1 - mu_2)^2) / (2 sigma_2^2) +
    ln(sigma_2^2) / 2.
    """
    return (
        0.5 * torch.exp(-log_variance) * (mean_error_weight * mean_error**2 + target_variance)
        + 0.5 * log_variance
    )
