"""KL Loss (He et al., CVPR 2019, section 3.2, Eq. 9 and 10): box regression with a learned log
variance.

The network predicts a Gaussian N(offset, exp(log_variance)) for each box side; the target is a
Dirac. Up to constants their KL divergence is exp(-log_variance) / 2 d^2 + log_variance / 2, with
the square replaced by smooth L1 for |d| > 1. A negative value is healthy: at the best log variance,
ln(2 smooth_l1(d)), the loss is 1/2 + ln(2 smooth_l1(d)) / 2, below 0 once |d| < exp(-1/2) = 0.607.
"""

import torch
from torch import Tensor

from losses.smooth_l1 import smooth_l1


def kl_loss(offsets: Tensor, log_variance: Tensor, target_offsets: Tensor) -> Tensor:
    """exp(-log_variance) smooth_l1(offsets - target_offsets) + log_variance / 2 (Eq. 9 for |d| <=
    1, Eq. 10 beyond).

    Args:
        offsets: predicted mean (..., 4), unitless.
        log_variance: ln of the predicted variance (..., 4), the paper's alpha.
        target_offsets: encoded ground truth (..., 4).

    Returns:
        one value per coordinate (..., 4), float32 also under autocast (exp(11.1) overflows
        float16).

    Law: log_variance = 0 gives smooth_l1.
    """
    data_term, log_term = kl_loss_terms(offsets, log_variance, target_offsets)
    return data_term + log_term


def kl_loss_terms(
    offsets: Tensor, log_variance: Tensor, target_offsets: Tensor
) -> tuple[Tensor, Tensor]:
    """The two summands of ``kl_loss``: (exp(-log_variance) smooth_l1(d), log_variance / 2), each
    (..., 4) float32.
    """
    log_variance = log_variance.float()
    difference = offsets.float() - target_offsets.float()
    return torch.exp(-log_variance) * smooth_l1(difference), 0.5 * log_variance
