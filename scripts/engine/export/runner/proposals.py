"""From the outputs of the anchors to proposals, as models/anchors.py and models/proposals.py.

Letters: A anchors, P proposals.
"""

from collections.abc import Sequence

import numpy as np

from scripts.engine.export.runner.arrays import Floats, Indices, floats
from scripts.engine.export.runner.boxes import clip, decode, iou_with
from scripts.engine.export.runner.description import FirstStage
from scripts.engine.export.runner.image import Size


def anchors_of(stage: FirstStage, maps: Sequence[Size], padded: Size) -> list[Floats]:
    """The anchors (H * W * cells, 4) of each level in network px.

    Args:
        stage: the first stage.
        maps: (H, W) of each level's map.
        padded: of the network's input.
    """
    levels = []
    for cell, stride, (height, width) in zip(stage.cells, stage.strides, maps, strict=True):
        down = across = stride
        if stage.fit_strides:
            down, across = padded[0] // height, padded[1] // width
        rows, columns = np.mgrid[:height, :width] * np.array([down, across])[:, None, None]
        shift = np.stack([columns, rows, columns, rows], axis=-1).reshape(-1, 1, 4)
        boxes = shift.astype(np.float32) + floats(cell)
        levels.append(boxes.reshape(-1, 4).astype(np.float32))
    return levels


def propose(
    stage: FirstStage,
    anchors: Sequence[Floats],
    objectness: Floats,
    offsets: Floats,
    *,
    size: Size,
    original: Size,
) -> Floats:
    """Proposals (P, 4) in network px, best first.

    Args:
        stage: the first stage.
        anchors: of each level.
        objectness, offsets: (A,) and (A, 4) of all levels.
        size: of the image in the network, without padding.
        original: of the image as it is.
    """
    least = stage.min_size * size[0] / original[0]
    boxes, scores, start = [], [], 0
    for level in anchors:
        own = slice(start, start + len(level))
        start += len(level)
        best = np.argsort(-objectness[own], kind="stable")[: stage.pre_nms]
        decoded = clip(decode(offsets[own][best], level[best], stage.coder), size)
        sides = decoded[:, 2:] - decoded[:, :2]
        large = ((sides >= least) & (sides > 0)).all(axis=1)
        decoded, ranked = decoded[large], objectness[own][best][large]
        kept = nms(decoded, stage.nms_iou, stage.post_nms)
        boxes.append(decoded[kept])
        scores.append(ranked[kept])
    order = np.argsort(-np.concatenate(scores), kind="stable")[: stage.post_nms]
    return np.concatenate(boxes)[order]


def nms(boxes: Floats, threshold: float, count: int) -> Indices:
    """The first ``count`` of boxes (M, 4), best first, that overlap no better one by more."""
    kept: list[int] = []
    left = np.arange(len(boxes))
    while len(left) and len(kept) < count:
        best, left = int(left[0]), left[1:]
        kept.append(best)
        left = left[iou_with(boxes[best], boxes[left]) <= threshold]
    return np.array(kept, dtype=np.int64)
