"""From anchors to proposals: decode, clip, drop the tiny, keep the best by non-maximum
suppression."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torchvision import ops

from data.boxes import BoxCoder, clip


# The number of boxes that survive is data-dependent: on CUDA the host waits here, and nowhere else
# in Detector.losses but in precise and adaptive RoI pooling.
@torch.no_grad()
def propose(
    anchors: Tensor,
    objectness: Tensor,
    offsets: Tensor,
    image_size: tuple[int, int],
    coder: BoxCoder,
    *,
    pre_nms: int,
    post_nms: int,
    nms_iou: float,
    min_size: float,
    levels: Sequence[int] | None = None,
) -> tuple[Tensor, Tensor]:
    """Proposals (P, 4) of one image in network px and their objectness (P,), best first, P <=
    post_nms; no gradient.

    Equal objectness is in the order of the anchors, so that an untrained network's proposals repeat
    as well.

    Args:
        anchors, objectness, offsets: (A, 4), (A,), (A, 4).
        image_size: (height, width), network px.
        pre_nms: how many boxes of each level enter suppression, which acts within a level.
        post_nms: how many boxes are kept, over all levels.
        nms_iou: a box is dropped if it overlaps a better one by more.
        min_size: least width and height, network px.
        levels: the number of anchors of each level; None: they are all of one.
    """
    counts = [len(anchors)] if levels is None else list(levels)
    best = [best_of_level(part, pre_nms) for part in objectness.float().split(counts)]
    scores = torch.cat([values for values, _ in best])
    order = torch.cat([index + sum(counts[:level]) for level, (_, index) in enumerate(best)])
    level_index = torch.cat(
        [torch.full_like(index, level) for level, (_, index) in enumerate(best)]
    )
    boxes = clip(coder.decode(offsets[order], anchors[order]), image_size)
    sides = boxes[:, 2:] - boxes[:, :2]
    large = (sides >= min_size).all(1) & (sides > 0).all(1)
    boxes, scores = boxes[large], scores[large]
    if len(best) == 1:
        kept = best_kept(boxes, scores, nms_iou, post_nms)
    else:
        kept = ops.batched_nms(boxes, scores, level_index[large], nms_iou)[:post_nms]
    return boxes[kept], scores[kept]


def best_kept(boxes: Tensor, scores: Tensor, nms_iou: float, count: int) -> Tensor:
    """The first ``count`` indices that non-maximum suppression keeps.

    Only better boxes drop a box, so the first boxes alone keep what they keep among all; more are
    looked at where too few of them stay.

    Args:
        boxes: (M, 4), best first.
        scores: (M,).
        nms_iou: a box is dropped if it overlaps a better one by more.
        count: how many are asked for.
    """
    first = 2 * count
    kept = ops.nms(boxes[:first], scores[:first], nms_iou)
    while len(kept) < count and first < len(boxes):
        first *= 4
        kept = ops.nms(boxes[:first], scores[:first], nms_iou)
    return kept[:count]


def best_of_level(objectness: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """The ``count`` largest of (A,), largest first, and their indices; equal ones in their
    order."""
    scores, order = objectness.sort(descending=True, stable=True)
    return scores[:count], order[:count]


def proposals_of(proposals: Sequence[Tensor] | None) -> Sequence[Tensor]:
    """The proposals (P_i, 4) of each image.

    Raises:
        ValueError: there are none.
    """
    if proposals is None:
        raise ValueError(
            "This network has no region proposal network, and the batch brings no proposals; give "
            "the loader the file of saved ones."
        )
    return proposals
