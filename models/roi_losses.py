"""The losses of the box head: cross-entropy, and a box loss on each foreground RoI's own class.

Letters: N images, P RoIs of one image, R = N * P, K foreground classes.
Sources: Fast R-CNN section 2.3; KL Loss section 3.2, normalized as in docs/kl_loss.md, points 9,
10; online hard example mining as in R-FCN section 2.2.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from data.boxes import constant
from models.decode import HeadOutputs
from models.matching import IGNORED, RoITargets

# (offsets (R, 4), log variances (R, 4) or None, target offsets (R, 4)) -> one value a coordinate
# (R, 4)
BoxLoss = Callable[[Tensor, Any, Tensor], Tensor]
# the same arguments -> the data term and the log term of KL Loss, each (R, 4)
BoxLossTerms = Callable[[Tensor, Any, Tensor], tuple[Tensor, Tensor]]


class BoxLossChoice(NamedTuple):
    """A loss that can train the box layers.

    function: (offsets, log variances or None, target offsets), each (R, 4), -> one value a
    coordinate. It must be 0 where all of them are 0, which RoIs without an object are set to. A log
    variance is ln sigma^2 of the offset: variance voting and the pixel sigmas read it so.
    log_variance: whether it needs log variances. terms: its summands, to watch, or None.
    """

    function: BoxLoss
    log_variance: bool
    terms: BoxLossTerms | None = None


class OwnClassOutputs(NamedTuple):
    """The head's outputs for each RoI's own class, and its target offsets, each (R, 4).

    All are 0 where the RoI is no foreground; log_variance is None if the head has none.
    """

    offsets: Tensor
    log_variance: Tensor | None
    target_offsets: Tensor


def roi_losses(outputs: HeadOutputs, targets: RoITargets, box_loss: BoxLoss) -> dict[str, Tensor]:
    """{"roi_class", "roi_box"} of the box head, scalars.

    The box loss sums the four coordinates of the foreground RoIs' own class and divides by the
    number of all RoIs of the image (Detectron's normalization), then averages over images.

    Args:
        outputs: class logits (R, K + 1), offsets and log variances (R, K + 1, 4).
        targets: of the same RoIs.
        box_loss: one value a coordinate; 0 where all its inputs are 0.
    """
    logits, offsets, log_variance = outputs
    own = own_class_outputs(offsets, log_variance, targets)
    return {
        "roi_class": mean_over_images(class_losses(logits, targets), targets),
        "roi_box": mean_over_images(box_loss(*own), targets),
    }


def mean_over_images(values: Tensor, targets: RoITargets) -> Tensor:
    """Values (R, ...), added within an image and divided by its RoIs that count, then averaged over
    images."""
    counted = (targets.labels != IGNORED).sum(1).clamp(min=1)
    return (values.reshape(len(counted), -1).sum(1) / counted).mean()


def class_losses(class_logits: Tensor, targets: RoITargets) -> Tensor:
    """Cross-entropy (R,) of class logits (R, K + 1), 0 where the RoI does not count."""
    labels = targets.labels.flatten()
    return F.cross_entropy(class_logits.float(), labels, ignore_index=IGNORED, reduction="none")


def own_class_outputs(
    offsets: Tensor, log_variance: Tensor | None, targets: RoITargets
) -> OwnClassOutputs:
    """The outputs for each foreground RoI's own class, and its targets.

    The class slot is gathered before exp(), so that other slots' log variances, which nothing
    trains, cannot turn 0 * inf into NaN.

    Args:
        offsets: (R, K + 1, 4).
        log_variance: (R, K + 1, 4) or None.
        targets: of the same RoIs.
    """
    labels = targets.labels.flatten()
    slot = labels.clamp(min=0)[:, None, None].expand(-1, 1, 4)

    def masked(values: Tensor) -> Tensor:
        """0 for background, before any arithmetic: the gradient of inf * 0 is NaN."""
        return values.masked_fill(labels[:, None] <= 0, 0.0)

    own_log_variance = None if log_variance is None else masked(log_variance.gather(1, slot)[:, 0])
    return OwnClassOutputs(
        masked(offsets.gather(1, slot)[:, 0]),
        own_log_variance,
        masked(targets.target_offsets.flatten(0, 1)),
    )


@torch.no_grad()
def hardest_rois(
    outputs: HeadOutputs, targets: RoITargets, hardest: int, box_loss: BoxLoss
) -> RoITargets:
    """``targets`` with all but each image's hardest RoIs labeled IGNORED.

    Hardest are those of the largest class plus box loss; of equal losses the first counts.
    Foreground and background compete alike, as in the R-FCN paper and its Caffe code. (The PyTorch
    R-FCN keeps every foreground RoI and ranks the others by cross-entropy; the Caffe code divides
    by ``hardest`` even where an image has fewer RoIs.) Unfilled slots come last and stay IGNORED.

    Args:
        outputs: of the head for the RoIs of ``targets``.
        targets: the sampled RoIs.
        hardest: how many RoIs an image keeps.
        box_loss: one value a coordinate.

    Raises:
        ValueError: ``hardest`` below 1.
    """
    if hardest < 1:
        raise ValueError(
            f"Hard example mining keeps at least 1 RoI an image, not {hardest}; None keeps all."
        )
    logits, offsets, log_variance = outputs
    own = own_class_outputs(offsets, log_variance, targets)
    loss = class_losses(logits, targets) + box_loss(*own).sum(1)
    ranked = loss.view_as(targets.labels).masked_fill(targets.labels == IGNORED, -torch.inf)
    order = ranked.argsort(dim=1, descending=True, stable=True)
    kept = torch.zeros_like(targets.labels, dtype=torch.bool).scatter(1, order[:, :hardest], True)
    return replace(targets, labels=targets.labels.masked_fill(~kept, IGNORED))


@torch.no_grad()
def roi_statistics(
    outputs: HeadOutputs, targets: RoITargets, box_loss_terms: BoxLossTerms | None
) -> dict[str, Tensor]:
    """The share of foreground RoIs; with log variances also their distribution and the terms of KL
    Loss.

    Args:
        outputs: of the head for the RoIs of ``targets``.
        targets: the RoIs that count in the losses.
        box_loss_terms: of KL Loss; None for another loss.

    Returns:
        Scalars without a gradient: foreground_share, kl_data_term, kl_log_term, log_variance_*.
    """
    _, offsets, log_variance = outputs
    foreground = targets.labels.flatten() > 0
    counted = (targets.labels != IGNORED).sum(1).clamp(min=1)
    statistics = {"foreground_share": foreground.sum() / counted.sum()}
    own = own_class_outputs(offsets, log_variance, targets)
    if own.log_variance is None:
        return statistics
    if box_loss_terms is not None:
        data_term, log_term = box_loss_terms(*own)
        statistics["kl_data_term"] = mean_over_images(data_term, targets)
        statistics["kl_log_term"] = mean_over_images(log_term, targets)
    return statistics | log_variance_statistics(own.log_variance, foreground)


def log_variance_statistics(log_variance: Tensor, foreground: Tensor) -> dict[str, Tensor]:
    """Mean, least, greatest and the 10th, 50th, 90th percentile of the foreground log variances (R,
    4).

    NaN when there is no foreground. Computed without waiting for the device: background is NaN and
    left out.
    """
    values = log_variance.float().masked_fill(~foreground[:, None], float("nan")).flatten()
    levels = torch.nanquantile(values, constant((0.0, 0.1, 0.5, 0.9, 1.0), values))
    names = ("min", "p10", "p50", "p90", "max")
    statistics = {
        f"log_variance_{name}": level for name, level in zip(names, levels.unbind(), strict=True)
    }
    return statistics | {"log_variance_mean": values.nanmean()}
