"""Which detections lie in a crowd region, where they are neither right nor wrong."""

import torch
from torch import Tensor

from data.boxes import area, intersection
from data.records import Detections, Target


def in_crowd(detections: Detections, target: Target, share: float = 0.5) -> Tensor:
    """Whether at least ``share`` of a detection's box lies in a crowd region of its class.

    Args:
        detections, target: of one image; original px.
        share: 0..1.

    Returns:
        (D,) bool.
    """
    regions = target.select(target.crowd)
    same = detections.labels[:, None] == regions.labels
    inside = intersection(detections.boxes, regions.boxes)
    whole = area(detections.boxes)[:, None].clamp(min=torch.finfo(inside.dtype).tiny)
    return ((inside / whole >= share) & same).any(dim=1)
