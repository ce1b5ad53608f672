"""From anchors to proposals: decode, clip, drop the tiny, keep the best by non-maximum suppression."""

import torch
from torch import Tensor
from torchvision import ops

from data.boxes import BoxCoder, clip


# The number of boxes that survive is data-dependent: on CUDA the host waits here, and nowhere else in Detector.losses.
@torch.no_grad()
def propose(anchors: Tensor, objectness: Tensor, offsets: Tensor, image_size: tuple[int, int], coder: BoxCoder, *,
            pre_nms: int, post_nms: int, nms_iou: float, min_size: float) -> tuple[Tensor, Tensor]:
    """Proposals (P, 4) of one image in network px and their objectness (P,), best first, P <= post_nms; no gradient.

    Equal objectness is in the order of the anchors, so that an untrained network's proposals repeat as well.

    Args:
        anchors, objectness, offsets: (A, 4), (A,), (A, 4).
        image_size: (height, width), network px.
        pre_nms, post_nms: how many boxes enter and leave suppression.
        nms_iou: a box is dropped if it overlaps a better one by more.
        min_size: least width and height, network px.
    """
    scores, order = objectness.float().sort(descending=True, stable=True)
    scores, order = scores[:pre_nms], order[:pre_nms]
    boxes = clip(coder.decode(offsets[order], anchors[order]), image_size)
    sides = boxes[:, 2:] - boxes[:, :2]
    large = (sides >= min_size).all(1) & (sides > 0).all(1)
    boxes, scores = boxes[large], scores[large]
    kept = ops.nms(boxes, scores, nms_iou)[:post_nms]
    return boxes[kept], scores[kept]
