"""From anchors to proposals: decode, clip, drop the tiny, keep the best by non-maximum suppression."""

import torch
from torch import Tensor
from torchvision import ops

from data.boxes import BoxCoder, clip


# The number of boxes that survive is data-dependent: on CUDA the host waits here, and nowhere else in Detector.losses.
@torch.no_grad()
def propose(anchors: Tensor, objectness: Tensor, offsets: Tensor, image_size: tuple[int, int], coder: BoxCoder, *,
            pre_nms: int, post_nms: int, nms_iou: float, min_size: float) -> Tensor:
    """Proposals (P, 4) of one image in network px, best objectness first, P <= post_nms; carries no gradient.

    Args:
        anchors, objectness, offsets: (A, 4), (A,), (A, 4).
        image_size: (height, width), network px.
        pre_nms, post_nms: how many boxes enter and leave suppression.
        nms_iou: a box is dropped if it overlaps a better one by more.
        min_size: least width and height, network px.
    """
    best = objectness.float().topk(min(pre_nms, len(anchors)))
    boxes = clip(coder.decode(offsets[best.indices], anchors[best.indices]), image_size)
    sides = boxes[:, 2:] - boxes[:, :2]
    large = (sides >= min_size).all(1) & (sides > 0).all(1)
    boxes, scores = boxes[large], best.values[large]
    return boxes[ops.nms(boxes, scores, nms_iou)[:post_nms]]
