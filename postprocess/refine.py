"""Optimization-based box refinement: boxes climb the IoU that the network predicts for them.

Letters: D boxes. Jiang et al., "Acquisition of Localization Confidence for Accurate Object
Detection" (IoU-Net), 2018, Algorithm 2: a comparison row of KL Loss Tables 4 and 6.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from data.boxes import sides_xyxy


@dataclass(frozen=True, kw_only=True)
class Refinement:
    """How boxes climb. The defaults are the paper's, except that ``least_gain`` is not certain."""

    steps: int = 5  # T
    step_size: float = 0.5  # lambda: moves by lambda * side * slope, px
    least_gain: float = 0.001  # Omega1: a box stops after a step that moved its IoU by less
    # Omega2: and after a step that lowered its IoU by more; the change of the IoU, so below 0
    worst_loss: float = -0.01
    most_boxes: int = 100  # per image, those with the best class scores
    multiply_score: bool = (
        False  # the score is multiplied by the final IoU (thisisi3/OpenMMLab-IoUNet does it)
    )

    def __post_init__(self) -> None:
        for name, good, rule in (
            ("steps", self.steps >= 0, "0 or larger"),
            ("step_size", self.step_size > 0, "larger than 0"),
            ("least_gain", self.least_gain >= 0, "0 or larger"),
            ("worst_loss", self.worst_loss <= 0, "0 or less"),
            ("most_boxes", self.most_boxes >= 1, "1 or larger"),
        ):
            if not good:
                raise ValueError(f"Refinement.{name} is {getattr(self, name)}; it must be {rule}.")


def refine(
    boxes: Tensor, predict_iou: Callable[[Tensor], Tensor], refinement: Refinement
) -> tuple[Tensor, Tensor]:
    """Gradient ascent on the predicted IoU: b <- b + lambda * side * dIoU/db, the side being the
    width for x edges.

    Each box stops by itself: after a step that changed its IoU by less than ``least_gain``, up or
    down, or that lowered it by more than ``-worst_loss``. A loss between the two does not stop it,
    and no step is taken back. The boxes are not clipped. (The paper calls this ascent in (x/w, y/h,
    ln w, ln h); that would scale the slope by the squared side. One side is what Algorithm 2's
    ``scale`` is in public code.)

    Args:
        boxes: (D, 4) px.
        predict_iou: boxes (D, 4) -> their IoU (D,), differentiable; each row depends on its own box
            only.
        refinement: steps and when to stop.

    Returns:
        boxes (D, 4) and their predicted IoU (D,), detached.

    Raises:
        ValueError: the predicted IoU has no gradient with respect to the boxes.
    """
    boxes = boxes.detach()
    if len(boxes) == 0:  # nothing that a gradient could come from
        return boxes, boxes.new_zeros(0)
    iou, slope = iou_and_slope(boxes, predict_iou)
    climbing = torch.ones_like(iou, dtype=torch.bool)
    for _ in range(refinement.steps):
        boxes = torch.where(
            climbing[:, None], boxes + refinement.step_size * sides_xyxy(boxes) * slope, boxes
        )
        before = iou
        iou, slope = iou_and_slope(boxes, predict_iou)
        gain = iou - before
        climbing = (
            climbing & (gain.abs() >= refinement.least_gain) & (gain >= refinement.worst_loss)
        )
        if not bool(climbing.any()):
            break
    return boxes, iou


def iou_and_slope(boxes: Tensor, predict_iou: Callable[[Tensor], Tensor]) -> tuple[Tensor, Tensor]:
    """The predicted IoU (D,) of boxes (D, 4) and its gradient (D, 4), 1/px, whether or not autograd
    is switched on.
    """
    with torch.enable_grad():
        boxes = boxes.detach().requires_grad_()
        iou = predict_iou(boxes)
        if not iou.requires_grad:
            raise ValueError(
                "The IoU that refine() was given has no gradient with respect to the boxes: pool"
                " the features of the IoU head with models.pooling.prroi_pool, and do not call"
                " the predictor under torch.no_grad()."
            )
        (slope,) = torch.autograd.grad(iou.sum(), boxes)
    return iou.detach(), slope
