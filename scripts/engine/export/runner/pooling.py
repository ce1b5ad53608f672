"""The pooling of RoIs from maps, as in models/pooling/.

Letters: R RoIs, C channels, B x B bins, H x W cells of a map.
"""

from collections.abc import Sequence

import numpy as np

from scripts.engine.export.runner.arrays import Floats, Indices, floats
from scripts.engine.export.runner.axes import integrated, round_half_away, sampled, whole_cells
from scripts.engine.export.runner.boxes import area
from scripts.engine.export.runner.description import SecondStage

FPN_LEVEL = 2  # of a RoI of the canonical size: P4
EPSILON = 1e-6
INCLUSIVE = (0, 0, 1, 1)  # by what a box ends later than in code whose x2 and y2 are inside it


def pool(maps: Sequence[Floats], boxes: Floats, stage: SecondStage) -> Floats:
    """RoIs (R, C, B, B) of boxes (R, 4) network px from maps (C, H, W), each from its level."""
    pooled = np.zeros((len(boxes), maps[0].shape[0], stage.bins, stage.bins), np.float32)
    level = level_of(boxes, stage)
    for index, stride in enumerate(stage.strides):
        own = np.flatnonzero(level == index)
        if len(own):
            pooled[own] = pool_level(maps[index], boxes[own], stride, stage)
    return pooled


def level_of(boxes: Floats, stage: SecondStage) -> Indices:
    """The level (R,) of each box, fine to coarse (FPN Eq. 1)."""
    if len(stage.strides) == 1:
        return np.zeros(len(boxes), np.int64)
    with np.errstate(divide="ignore"):  # a box without area is of the finest level
        ratio = np.log2(np.sqrt(area(boxes)) / np.float32(stage.canonical_size))
    level = np.floor(FPN_LEVEL + ratio + np.float32(EPSILON))
    return np.clip(level, 0, len(stage.strides) - 1).astype(np.int64)


def pool_level(features: Floats, boxes: Floats, stride: int, stage: SecondStage) -> Floats:
    """RoIs (R, C, B, B) of boxes (R, 4) from one map (C, H, W)."""
    if stage.pooling == "max":
        return max_pool(features, boxes, stride, stage.bins)
    rows, columns = weights_of(features, boxes, stride, stage)
    pooled = [window(features, down, across) for down, across in zip(rows, columns, strict=True)]
    return np.stack(pooled)


def window(features: Floats, rows: Floats, columns: Floats) -> Floats:
    """rows @ map @ columns^T (C, B, B) of the cells that count; rows (B, H), columns (B, W)."""
    y, x = (np.flatnonzero(axis.any(axis=0)) for axis in (rows, columns))
    if not (len(y) and len(x)):
        return np.zeros((len(features), len(rows), len(columns)), np.float32)
    down, across = slice(y[0], y[-1] + 1), slice(x[0], x[-1] + 1)
    return floats(rows[:, down] @ features[:, down, across] @ columns[:, across].T)


def position_sensitive(maps: Floats, boxes: Floats, stride: int, stage: SecondStage) -> Floats:
    """R-FCN's vote (R, D): the mean over the bins of a RoI, each read from its own maps
    (D * B * B, H, W)."""
    bins = stage.bins
    rows, columns = weights_of(maps, boxes, stride, stage)
    own = maps.reshape(-1, bins, bins, *maps.shape[1:])
    votes = [
        np.einsum("ih,dijhw,jw->d", down, own, across, optimize=True)
        for down, across in zip(rows, columns, strict=True)
    ]
    return floats(votes).reshape(len(boxes), len(own)) / np.float32(bins * bins)


def weights_of(
    features: Floats, boxes: Floats, stride: int, stage: SecondStage
) -> tuple[Floats, Floats]:
    """How much each row (R, B, H) and each column (R, B, W) counts in the bins of each box."""
    height, width = features.shape[-2:]
    if stage.pooling == "ps_average":  # whole px, of which the last one counts
        ends = round_half_away(boxes - floats(INCLUSIVE))
        x1, y1, x2, y2 = ((ends + floats(INCLUSIVE)) / np.float32(stride)).T
        return (
            whole_cells(y1, y2, height, bins=stage.bins),
            whole_cells(x1, x2, width, bins=stage.bins),
        )
    if stage.pooling == "precise":
        x1, y1, x2, y2 = (boxes / np.float32(stride)).T
        return (
            integrated(y1, y2, height, bins=stage.bins),
            integrated(x1, x2, width, bins=stage.bins),
        )
    x1, y1, x2, y2 = (boxes / np.float32(stride) - np.float32(0.5 * stage.aligned)).T
    rows, columns = (
        sampled(
            start,
            end,
            length,
            bins=stage.bins,
            sampling_ratio=stage.sampling_ratio,
            aligned=stage.aligned,
        )
        for start, end, length in ((y1, y2, height), (x1, x2, width))
    )
    return rows, columns


def max_pool(features: Floats, boxes: Floats, stride: int, bins: int) -> Floats:
    """Fast R-CNN's RoI max pooling: corners rounded to whole cells, the last one included; an empty
    bin is 0."""
    _, height, width = features.shape
    ends = round_half_away((boxes - floats(INCLUSIVE)) / np.float32(stride))
    pooled = np.zeros((len(boxes), len(features), bins, bins), np.float32)
    for roi, (x1, y1, x2, y2) in enumerate(ends):
        rows = cells_of_bins(y1, y2, height, bins)
        columns = cells_of_bins(x1, x2, width, bins)
        for i, row in enumerate(rows):
            for j, column in enumerate(columns):
                cells = features[:, row, column]
                if cells.size:
                    pooled[roi, :, i, j] = cells.max(axis=(1, 2))
    return pooled


def cells_of_bins(start: float, end: float, length: int, bins: int) -> list[slice]:
    """The cells of each bin of the cells ``start`` to ``end``, cut at the map."""
    size = np.float32(max(end - start + 1, 1)) / np.float32(bins)
    number = np.arange(bins, dtype=np.float32)
    first = np.clip(np.floor(number * size) + start, 0, length).astype(int)
    last = np.clip(np.ceil((number + 1) * size) + start, 0, length).astype(int)
    return [slice(low, high) for low, high in zip(first, last, strict=True)]
