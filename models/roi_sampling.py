"""Which RoIs the second stage learns from, and what each of them learns.

Letters: N images, P RoIs of one image, G ground-truth boxes. Source: Fast R-CNN section 2.3.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from data.boxes import BoxCoder
from data.records import Target
from models.matching import IGNORED, NEGATIVE, match, sample, sampled_indices


@dataclass(frozen=True, kw_only=True)
class RoITargets:
    """The RoIs of a batch that the second stage is trained on.

    boxes: (N, P, 4) network px. labels: (N, P), 0 for background and -1 for an unfilled slot.
    target_offsets: (N, P, 4). gt_index: (N, P), the ground truth of the image that a foreground RoI
    is matched to, which a mask head asks for.
    """

    boxes: Tensor
    labels: Tensor
    target_offsets: Tensor
    gt_index: Tensor | None = None


def sample_rois(
    proposals: Tensor,
    target: Target,
    coder: BoxCoder,
    *,
    rois_per_image: int,
    positive_share: float,
    positive_iou: float,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """The RoIs of one image that the second stage is trained on, and their targets.

    The ground-truth boxes join the proposals (their own offsets are 0). Foreground: IoU >=
    positive_iou with some ground truth; all else is background, as in py-faster-rcnn's end-to-end
    recipe.

    Args:
        proposals: (P_i, 4), network px.
        target: of the image, network px.
        coder: of the target offsets.
        rois_per_image: P, the number of slots.
        positive_share: at most this share of them is foreground.
        positive_iou: 0.5 in Fast R-CNN.

    Returns:
        Boxes (P, 4), labels (P,), target offsets (P, 4) and matched ground truth (P,).
    """
    boxes = torch.cat([proposals, target.boxes])
    if len(boxes) == 0:
        empty = proposals.new_zeros(rois_per_image, 4)
        labels = torch.full((rois_per_image,), IGNORED, device=proposals.device)
        return empty, labels, empty, torch.zeros_like(labels)
    iou, index = match(boxes, target.boxes)
    positive, negative = sample(
        (iou >= positive_iou).long(), size=rois_per_image, positive_share=positive_share
    )
    chosen, real = sampled_indices(positive, negative, rois_per_image)
    labels = torch.full((rois_per_image,), NEGATIVE, device=boxes.device)
    target_offsets = torch.zeros_like(boxes[chosen])
    if len(target.boxes):
        foreground = positive[chosen] & real
        labels = torch.where(foreground, target.labels[index[chosen]], labels)
        target_offsets = coder.encode(target.boxes[index[chosen]], boxes[chosen])
    return boxes[chosen], labels.masked_fill(~real, IGNORED), target_offsets, index[chosen]
