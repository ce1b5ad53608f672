"""KL-RPN (Seo et al., 2020): the region proposal network predicts mean and log variance of each
offset, and no class.

Letters: N images, A anchors. One loss (Eq. 8) replaces classification and regression; the variance
is the objectness (section 2.5). Proposals are decoded from the mean alone.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from losses.kl_rpn_loss import negative_anchor_loss, positive_anchor_loss
from losses.log_variance import bounded
from models.convolution import Conv2d
from models.rpn_head import AnchorTargets, Losses, RPNOutput, per_anchor

EPSILON = 1e-12  # Eq. 10


class KLRPNHead(nn.Module):
    """RPNOutput of a feature map (N, C, H, W): 3x3 convolution, then 4 means and 4 log variances an
    anchor.

    log_variance_std, log_variance_bias: the added layer starts as N(0, std) with this bias (section
    3.1 prints "N(0, 0.00001)").
    Law: the layers add 2 * anchors_per_position outputs to those of the RPN with its two-way
    softmax.
    """

    def __init__(
        self,
        *,
        in_channels: int,
        channels: int,
        anchors_per_position: int,
        log_variance_std: float = 1e-5,
        log_variance_bias: float = 0.0,
    ) -> None:
        super().__init__()
        self.conv = Conv2d(in_channels, channels, 3, padding=1)
        self.offsets = nn.Conv2d(channels, anchors_per_position * 4, 1)
        self.log_variance = nn.Conv2d(channels, anchors_per_position * 4, 1)
        for layer, std in (
            (self.conv, 0.01),
            (self.offsets, 0.01),
            (self.log_variance, log_variance_std),
        ):
            nn.init.normal_(layer.weight, std=std)
            nn.init.zeros_(layer.bias)  # type: ignore[arg-type]
        nn.init.constant_(self.log_variance.bias, log_variance_bias)  # type: ignore[arg-type]

    def forward(self, features: Tensor) -> RPNOutput:
        hidden = F.relu(self.conv(features), inplace=True)
        log_variance = per_anchor(self.log_variance(hidden), 4).float()
        return RPNOutput(
            log_objectness(log_variance), per_anchor(self.offsets(hidden), 4), log_variance
        )


def log_objectness(log_variance: Tensor) -> Tensor:
    """-ln(sigma_x sigma_y sigma_w sigma_h) = -sum(log_variance) / 2, (..., 4) -> (...,): what
    proposals are ranked by.

    Law: the order of ``objectness_score``, without its saturation.
    """
    return -0.5 * log_variance.float().sum(-1)


def objectness_score(log_variance: Tensor) -> Tensor:
    """1 / (sigma_x sigma_y sigma_w sigma_h + 1e-12) (Eq. 10), (..., 4) -> (...,), for display.

    In float32 all anchors with a product of sigmas well below 1e-12 tie at 1e12, so nothing is
    ranked by it.
    """
    return 1 / (torch.exp(-log_objectness(log_variance)) + EPSILON)


def kl_rpn_loss(
    output: RPNOutput,
    targets: AnchorTargets,
    *,
    mean_error_weight: float,
    negative_variance: float,
    log_variance_limit: float | None,
    reduce_coordinates: Callable[..., Tensor],
    positive_loss: Callable[[Tensor, Tensor, Tensor, float], Tensor] = positive_anchor_loss,
    train_negative_means: bool = True,
) -> Losses:
    """L_KL of Eq. 8: the losses of the sampled anchors of an image, added and divided by their
    number, then the mean over images.

    Args:
        output: offsets and log variances (N, A, 4).
        targets: the sampled anchors; target offsets are used where positive.
        mean_error_weight: gamma of Eq. 4 and 7.
        negative_variance: of Eq. 7.
        log_variance_limit: see ``bounded``; None: no limit.
        reduce_coordinates: torch.sum or torch.mean, of an anchor's four values.
        positive_loss: a reading of Eq. 7.
        train_negative_means: whether the means of negative anchors get a gradient.

    Returns:
        ({"rpn_kl"}, statistics), scalars.
    """
    positive, negative, target_offsets = targets
    assert output.log_variance is not None
    log_variance = output.log_variance
    if log_variance_limit is not None:
        log_variance = bounded(log_variance, log_variance_limit)

    def masked(mask: Tensor, values: Tensor) -> Tensor:
        """0 off the mask, before any arithmetic: the gradient of inf * 0 is NaN."""
        return values.masked_fill(~mask[..., None], 0.0)

    positive_losses = positive_loss(
        masked(positive, output.offsets),
        masked(positive, log_variance),
        masked(positive, target_offsets),
        mean_error_weight,
    )
    negative_means = output.offsets if train_negative_means else output.offsets.detach()
    negative_losses = negative_anchor_loss(
        masked(negative, negative_means),
        masked(negative, log_variance),
        mean_error_weight,
        negative_variance,
    )
    losses = reduce_coordinates(
        masked(positive, positive_losses) + masked(negative, negative_losses), dim=-1
    )
    count = (positive | negative).sum(1).clamp(min=1)
    statistics = kl_rpn_statistics(output.log_variance, positive, negative, log_variance_limit)
    return {"rpn_kl": (losses.sum(1) / count).mean()}, statistics


@torch.no_grad()
def kl_rpn_statistics(
    log_variance: Tensor, positive: Tensor, negative: Tensor, log_variance_limit: float | None
) -> dict[str, Tensor]:
    """The distribution of the log variances of a batch.

    Args:
        log_variance: (N, A, 4).
        positive: (N, A) bool, the sampled positive anchors.
        negative: (N, A) bool, the sampled negative anchors.
        log_variance_limit: see ``bounded``; None: no limit.

    Returns:
        The mean of the positive and of the negative anchors (NaN where there is none), the least
        and the greatest of all, and the share of anchors that have one beyond the limit.
    """

    def mean(mask: Tensor) -> Tensor:
        return log_variance.masked_fill(~mask[..., None], 0.0).sum() / (4 * mask.sum())

    limit = float("inf") if log_variance_limit is None else log_variance_limit
    return {
        "rpn/log_variance_positive": mean(positive),
        "rpn/log_variance_negative": mean(negative),
        "rpn/log_variance_min": log_variance.min(),
        "rpn/log_variance_max": log_variance.max(),
        "rpn/clamped_share": (log_variance.abs() > limit).any(-1).float().mean(),
    }
