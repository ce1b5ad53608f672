"""KL-RPN (Seo et al., 2020): the region proposal network predicts mean and log variance of each offset, and no class.

Letters: N images, A anchors. One loss (Eq. 8) replaces classification and regression; the variance is the objectness
(section 2.5). Proposals are decoded from the mean alone.
"""

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from losses.kl_rpn_loss import negative_anchor_loss, positive_anchor_loss
from models.rpn import RPNOutput, per_anchor

CoordinateReduction = Literal["sum", "mean"]
EPSILON = 1e-12  # Eq. 10


class KLRPNHead(nn.Module):
    """RPNOutput of a feature map (N, C, H, W): 3x3 convolution, then 4 means and 4 log variances an anchor.

    log_variance_std: the added layer starts as N(0, std), bias 0 (section 3.1 prints "N(0, 0.00001)").
    Law: the layers add 2 * anchors_per_position outputs to those of the RPN with its two-way softmax.
    """

    def __init__(self, *, in_channels: int, channels: int, anchors_per_position: int,
                 log_variance_std: float = 1e-5) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_channels, channels, 3, padding=1)
        self.offsets = nn.Conv2d(channels, anchors_per_position * 4, 1)
        self.log_variance = nn.Conv2d(channels, anchors_per_position * 4, 1)
        for layer, std in ((self.conv, 0.01), (self.offsets, 0.01), (self.log_variance, log_variance_std)):
            nn.init.normal_(layer.weight, std=std)
            nn.init.zeros_(layer.bias)  # type: ignore[arg-type]

    def forward(self, features: Tensor) -> RPNOutput:
        hidden = functional.relu(self.conv(features))
        log_variance = per_anchor(self.log_variance(hidden), 4).float()
        return RPNOutput(log_objectness(log_variance), per_anchor(self.offsets(hidden), 4), log_variance)


def log_objectness(log_variance: Tensor) -> Tensor:
    """-ln(sigma_x sigma_y sigma_w sigma_h) = -sum(log_variance) / 2, (..., 4) -> (...,): what proposals are ranked by.

    Law: the order of ``objectness_score``, without its saturation.
    """
    return -0.5 * log_variance.float().sum(-1)


def objectness_score(log_variance: Tensor) -> Tensor:
    """1 / (sigma_x sigma_y sigma_w sigma_h + 1e-12) (Eq. 10), (..., 4) -> (...,), for display.

    In float32 all anchors with a product of sigmas well below 1e-12 tie at 1e12, so nothing is ranked by it.
    """
    return 1 / (torch.exp(-log_objectness(log_variance)) + EPSILON)


def kl_rpn_losses(output: RPNOutput, positive: Tensor, negative: Tensor, target_offsets: Tensor, *,
                  mean_error_weight: float, negative_variance: float, log_variance_limit: float | None,
                  coordinate_reduction: CoordinateReduction) -> dict[str, Tensor]:
    """{"rpn_kl": L_KL of Eq. 8}: sum over the sampled anchors of an image, divided by their number, mean over images.

    output: offsets and log variances (N, A, 4); positive, negative (N, A) bool: the sampled anchors; target_offsets
    (N, A, 4), used where positive. coordinate_reduction: the four values of an anchor are added or averaged.
    log_variance_limit: |log variance| is clamped to it before exp(); beyond, an anchor pulls no longer at its variance.
    """
    assert output.log_variance is not None
    log_variance = output.log_variance
    if log_variance_limit is not None:
        log_variance = log_variance.clamp(-log_variance_limit, log_variance_limit)

    def only(mask: Tensor, values: Tensor) -> Tensor:  # before any arithmetic: the gradient of inf * 0 is NaN
        return values.masked_fill(~mask[..., None], 0.0)

    found = positive_anchor_loss(only(positive, output.offsets), only(positive, log_variance),
                                 only(positive, target_offsets), mean_error_weight)
    nothing = negative_anchor_loss(only(negative, output.offsets), only(negative, log_variance), mean_error_weight,
                                   negative_variance)
    values = only(positive, found) + only(negative, nothing)
    per_anchor_loss = values.sum(-1) if coordinate_reduction == "sum" else values.mean(-1)
    count = (positive | negative).sum(1).clamp(min=1)
    return {"rpn_kl": (per_anchor_loss.sum(1) / count).mean()}


@torch.no_grad()
def kl_rpn_statistics(log_variance: Tensor, positive: Tensor, negative: Tensor,
                      log_variance_limit: float | None) -> dict[str, Tensor]:
    """Mean log variance of the sampled positive and negative anchors (NaN where there is none), the share of all
    anchors whose log variance is beyond the limit, and the least and greatest log variance."""
    def mean(mask: Tensor) -> Tensor:
        return log_variance.masked_fill(~mask[..., None], 0.0).sum() / (4 * mask.sum())

    beyond = log_variance.new_zeros(()) if log_variance_limit is None else (
        (log_variance.abs() > log_variance_limit).any(-1).float().mean())
    return {"rpn/log_variance_positive": mean(positive), "rpn/log_variance_negative": mean(negative),
            "rpn/clamped_share": beyond, "rpn/log_variance_min": log_variance.min(),
            "rpn/log_variance_max": log_variance.max()}
