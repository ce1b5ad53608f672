"""Which of an image's saved proposals a network gets, by Detectron's rules.

Letters: P proposals of one image, C crowd regions.
"""

import numpy as np
import torch
from torch import Tensor

from data.boxes import area, clip, intersection


def clean_proposals(
    boxes: Tensor, size: tuple[int, int], *, min_size: float, count: int | None
) -> Tensor:
    """The boxes (P, 4) of one image, best first, as Detectron takes them from a file: clipped to
    the image, of those that are equal in whole px the best, none with a side <= ``min_size``, and
    then the first ``count``.

    Args:
        boxes: (P, 4) original px, best first.
        size: (height, width), original px.
        min_size: original px.
        count: None: all.
    """
    boxes = clip(boxes, size)
    rounded = boxes.round().numpy()
    order = np.lexsort(rounded.T)  # stable: of equal boxes the best comes first
    new = np.ones(len(order), dtype=np.bool_)
    new[1:] = (rounded[order][1:] != rounded[order][:-1]).any(axis=1)
    boxes = boxes[torch.from_numpy(np.sort(order[new]))]
    return boxes[(boxes[:, 2:] - boxes[:, :2] > min_size).all(dim=1)][:count]


def filter_crowd_proposals(boxes: Tensor, crowds: Tensor, limit: float) -> Tensor:
    """The boxes (P, 4) of which no single one of the crowds (C, 4) covers more than the share
    ``limit``.

    Detectron (TRAIN.CROWD_FILTER_THRESH) keeps the others, with overlap -1 to every object, and
    samples them neither as foreground nor as background, so the network learns the same. What
    differs: an image's proposals are fewer here, where Detectron's still count (but for the
    sampling, nothing there uses them).
    """
    if len(crowds) == 0:
        return boxes
    return boxes[(intersection(boxes, crowds) <= limit * area(boxes)[:, None]).all(dim=1)]
