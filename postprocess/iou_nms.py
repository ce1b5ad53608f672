"""IoU-guided NMS: the better located box stays, with the best class score of those that it removes.

Letters: G groups (an image and a class), M slots in a group, S selection steps. Jiang et al.,
"Acquisition of Localization Confidence for Accurate Object Detection" (IoU-Net), 2018, Algorithm 1:
a comparison row of KL Loss Tables 4 and 6.
"""

from dataclasses import replace
from functools import partial

from torch import Tensor

from postprocess.suppression import REMOVED, SelectedSlots, hard_decay, select


def iou_guided(
    boxes: Tensor, scores: Tensor, localization: Tensor, valid: Tensor, *, threshold: float
) -> SelectedSlots:
    """Plain NMS ranked by localization confidence; a box belongs to the first kept box that
    overlaps it.

    Hard NMS removes a box in the very step in which that first box is selected, so the step in
    which a slot leaves is the cluster it belongs to, and a cluster's score is the maximum over it.

    Args:
        boxes: (G, M, 4) px.
        scores: (G, M) class scores.
        localization: (G, M) predicted IoU, or any other finite confidence in the box: larger is
            better.
        valid: (G, M) filled slots, as ``select`` wants them.
        threshold: a box joins the cluster if its IoU with the kept box is larger.

    Returns:
        what was selected, in the order of falling localization: the scores need not fall.

    Law: with ``localization = scores`` this is plain NMS.
    """
    selection = select(
        boxes,
        localization,
        valid,
        decay=partial(hard_decay, threshold=threshold),
        floor=-float("inf"),
        max_steps=boxes.shape[1],
    )
    clusters = scores.new_full(selection.slots.shape, REMOVED)
    best = clusters.scatter_reduce(
        1, selection.exit_step, scores.masked_fill(~valid, REMOVED), "amax"
    )
    return replace(selection, scores=best)
