"""Intervals around the sides of boxes, and boxes that hold an object, from factors of sigma.

Letters: D detections.
"""

import torch
from torch import Tensor

from postprocess.error_quantiles import OUTWARDS


def intervals(boxes: Tensor, sigma: Tensor, factors: tuple[float, ...]) -> Tensor:
    """(D, 4, 2) px: the low and the high end of the interval around each side of boxes (D, 4)."""
    reach = sigma * sigma.new_tensor(factors)
    return torch.stack([boxes - reach, boxes + reach], dim=-1)


def holding_boxes(boxes: Tensor, sigma: Tensor, factor: float) -> Tensor:
    """Boxes (D, 4) px with every side moved outwards by ``factor`` sigmas (inwards if negative)."""
    return boxes + factor * sigma * sigma.new_tensor(OUTWARDS)
