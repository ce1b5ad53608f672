"""The second stage of training: which RoIs are learned from, and the losses of the box head.

Letters: N images, P RoIs of one image, R = N * P, G ground-truth boxes, K foreground classes.
Sources: Fast R-CNN section 2.3; KL Loss section 3.2, normalized as in docs/kl_loss.md, points 9, 10;
online hard example mining as in R-FCN section 2.2.
"""

from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn import functional

from data.boxes import BoxCoder, constant
from data.records import Target
from losses.kl_loss import kl_loss_terms
from losses.smooth_l1 import smooth_l1
from models.matching import IGNORED, NEGATIVE, match, sample, sampled_indices


@dataclass(frozen=True, kw_only=True)
class RoITargets:
    """RoIs of a batch: boxes (N, P, 4) network px, labels (N, P) with 0 background and -1 for an unfilled slot,
    target_offsets (N, P, 4), gt_index (N, P): the ground truth of the image that a foreground RoI is matched to, which
    only a mask head asks for."""

    boxes: Tensor
    labels: Tensor
    target_offsets: Tensor
    gt_index: Tensor | None = None


def sample_rois(proposals: Tensor, target: Target, coder: BoxCoder, *, rois_per_image: int, positive_share: float,
                positive_iou: float, generator: torch.Generator | None
                ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Boxes (P, 4), labels (P,), target offsets (P, 4) and matched ground truth (P,) of one image, P = rois_per_image.

    The ground-truth boxes join the proposals (their own offsets are 0). Foreground: IoU >= positive_iou with some
    ground truth; all else is background, as in py-faster-rcnn's end-to-end recipe.
    """
    boxes = torch.cat([proposals, target.boxes])
    if len(boxes) == 0:
        empty = proposals.new_zeros(rois_per_image, 4)
        labels = torch.full((rois_per_image,), IGNORED, device=proposals.device)
        return empty, labels, empty, torch.zeros_like(labels)
    iou, index = match(boxes, target.boxes)
    positive, negative = sample((iou >= positive_iou).long(), size=rois_per_image, positive_share=positive_share,
                                generator=generator)
    chosen, real = sampled_indices(positive, negative, rois_per_image)
    labels = torch.full((rois_per_image,), NEGATIVE, device=boxes.device)
    target_offsets = torch.zeros_like(boxes[chosen])
    if len(target.boxes):
        foreground = positive[chosen] & real
        labels = torch.where(foreground, target.labels[index[chosen]], labels)
        target_offsets = coder.encode(target.boxes[index[chosen]], boxes[chosen])
    return boxes[chosen], labels.masked_fill(~real, IGNORED), target_offsets, index[chosen]


def roi_losses(class_logits: Tensor, offsets: Tensor, log_variance: Tensor | None, targets: RoITargets,
               hardest: int | None = None, smooth_l1_beta: float = 1.0
               ) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Losses {"roi_class", "roi_box"} and statistics of the box head.

    class_logits (R, K + 1), offsets and log_variance (R, K + 1, 4). The box loss sums the four coordinates of the
    foreground RoIs' own class and divides by the number of all RoIs of the image (Detectron's normalization), then
    averages over images. hardest: only so many RoIs of each image count, those with the largest losses. smooth_l1_beta:
    where the loss of a network without log variance turns from square to absolute value.
    """
    if hardest is not None:
        targets = hardest_rois(class_logits, offsets, log_variance, targets, hardest, smooth_l1_beta)
    n, p = targets.labels.shape
    foreground = targets.labels.flatten() > 0
    counted = (targets.labels != IGNORED).sum(1).clamp(min=1)

    def per_image(values: Tensor) -> Tensor:
        return (values.reshape(n, -1).sum(1) / counted).mean()

    cross_entropy, box_terms, own = roi_terms(class_logits, offsets, log_variance, targets, smooth_l1_beta)
    losses = {"roi_class": (cross_entropy.reshape(n, p).sum(1) / counted).mean()}
    statistics = {"foreground_share": foreground.sum() / counted.sum()}
    if own is None:
        losses["roi_box"] = per_image(box_terms[0])
        return losses, statistics
    data_term, log_term = (per_image(term) for term in box_terms)
    losses["roi_box"] = data_term + log_term
    statistics |= {"kl_data_term": data_term.detach(), "kl_log_term": log_term.detach()}
    return losses, statistics | log_variance_statistics(own.detach(), foreground)


def roi_terms(class_logits: Tensor, offsets: Tensor, log_variance: Tensor | None,
              targets: RoITargets, smooth_l1_beta: float = 1.0) -> tuple[Tensor, tuple[Tensor, ...], Tensor | None]:
    """Cross-entropy (R,), the summands of the box loss, each (R, 4), and the own class's log variances (R, 4) or None.

    All are 0 where the RoI does not count. The class slot is gathered before exp(), so that other slots' log variances,
    which nothing trains, cannot turn 0 * inf into NaN.
    """
    labels = targets.labels.flatten()
    cross_entropy = functional.cross_entropy(class_logits.float(), labels, ignore_index=IGNORED, reduction="none")
    slot = labels.clamp(min=0)[:, None, None].expand(-1, 1, 4)

    def only_foreground(values: Tensor) -> Tensor:  # before any arithmetic: the gradient of inf * 0 is NaN
        return values.masked_fill(labels[:, None] <= 0, 0.0)

    predicted = only_foreground(offsets.gather(1, slot)[:, 0])
    wanted = only_foreground(targets.target_offsets.flatten(0, 1))
    if log_variance is None:
        return cross_entropy, (smooth_l1(predicted.float() - wanted, smooth_l1_beta),), None
    own = only_foreground(log_variance.gather(1, slot)[:, 0])
    return cross_entropy, kl_loss_terms(predicted, own, wanted), own


@torch.no_grad()
def hardest_rois(class_logits: Tensor, offsets: Tensor, log_variance: Tensor | None, targets: RoITargets,
                 hardest: int, smooth_l1_beta: float = 1.0) -> RoITargets:
    """``targets`` with all but each image's ``hardest`` RoIs of the largest class plus box loss labeled IGNORED.

    Foreground and background compete alike, as in the R-FCN paper and its Caffe code. (The PyTorch R-FCN keeps every
    foreground RoI and ranks the others by cross-entropy; the Caffe code divides by ``hardest`` even where an image has
    fewer RoIs.) Of equal losses the first counts. Unfilled slots come last and stay IGNORED.
    """
    if hardest < 1:
        raise ValueError(f"Hard example mining keeps at least 1 RoI an image, not {hardest}; None keeps all.")
    cross_entropy, box_terms, _ = roi_terms(class_logits, offsets, log_variance, targets, smooth_l1_beta)
    loss = (cross_entropy + sum(term.sum(1) for term in box_terms)).view_as(targets.labels)
    order = loss.masked_fill(targets.labels == IGNORED, -torch.inf).argsort(dim=1, descending=True, stable=True)
    kept = torch.zeros_like(targets.labels, dtype=torch.bool).scatter(1, order[:, :hardest], True)
    return replace(targets, labels=targets.labels.masked_fill(~kept, IGNORED))


def log_variance_statistics(log_variance: Tensor, foreground: Tensor) -> dict[str, Tensor]:
    """Mean, least, greatest and the 10th, 50th, 90th percentile of the foreground log variances (R, 4).

    NaN when there is no foreground. Computed without waiting for the device: background is NaN and left out.
    """
    values = log_variance.float().masked_fill(~foreground[:, None], float("nan")).flatten()
    levels = torch.nanquantile(values, constant((0.0, 0.1, 0.5, 0.9, 1.0), values))
    names = ("min", "p10", "p50", "p90", "max")
    found = {f"log_variance_{name}": level for name, level in zip(names, levels.unbind(), strict=True)}
    return found | {"log_variance_mean": values.nanmean()}
