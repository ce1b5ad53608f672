"""How much each row or column of a map counts in each bin of a RoI, for the poolings that are
separable.

Letters: R RoIs, B bins a side, S samples a bin side, L cells along an axis. Intervals [start, end]
(R,) are in cells; weights are (R, B, L).
"""

import numpy as np

from scripts.engine.export.runner.arrays import Floats


def sampled(
    start: Floats, end: Floats, length: int, *, bins: int, sampling_ratio: int, aligned: bool
) -> Floats:
    """RoIAlign: the mean of S bilinear samples a bin; S is adaptive where the ratio is 0.

    A sample is clamped to the cells; one that is more than a cell outside counts as 0.
    """
    extent = end - start if aligned else np.maximum(end - start, np.float32(1))
    bin_size = extent / np.float32(bins)
    samples = np.ceil(bin_size) if sampling_ratio < 1 else np.full_like(start, sampling_ratio)
    most = max(1, int(samples.max(initial=1)))
    number = np.arange(most, dtype=np.float32)
    samples = np.maximum(samples, 0)[:, None]
    divisor = np.maximum(samples, 1)
    first = start[:, None] + np.arange(bins, dtype=np.float32) * bin_size[:, None]
    offset = (number + np.float32(0.5)) * bin_size[:, None] / divisor
    t = first[..., None] + offset[:, None, :]  # (R, B, S)
    counted = (number < samples)[:, None, :] & (t >= -1) & (t <= length)
    t = np.clip(t, 0, np.float32(length - 1))
    low = np.minimum(t.astype(np.int64), length - 1)
    high = t - low.astype(np.float32)
    weights = np.zeros((*first.shape, length), np.float32)
    roi, box_bin = np.indices(first.shape)
    for s in range(most):
        share = counted[..., s] / divisor
        upper = np.minimum(low[..., s] + 1, length - 1)
        np.add.at(weights, (roi, box_bin, low[..., s]), share * (1 - high[..., s]))
        np.add.at(weights, (roi, box_bin, upper), share * high[..., s])
    return weights


def integrated(start: Floats, end: Floats, length: int, *, bins: int) -> Floats:
    """Precise RoI pooling: the integral over a bin of the hat around each cell, by its extent."""
    share = np.arange(bins + 1, dtype=np.float32) / np.float32(bins)
    edges = start[:, None] + (end - start)[:, None] * share
    t = np.clip(edges[..., None] - np.arange(length, dtype=np.float32), -1, 1)
    integral = np.diff(np.float32(0.5) + t - np.float32(0.5) * t * np.abs(t), axis=1)
    extent = np.diff(edges, axis=1)[..., None]
    return np.where(extent > 0, integral / np.where(extent > 0, extent, 1), 0).astype(np.float32)


def whole_cells(start: Floats, end: Floats, length: int, *, bins: int) -> Floats:
    """R-FCN's PSRoIPool: the mean of the whole cells that a bin touches, 0 off the map."""
    extent = np.maximum(end - start, np.float32(0.1))[:, None]
    edges = (bins * start[:, None] + np.arange(bins + 1, dtype=np.float32) * extent) / bins
    first = np.clip(np.floor(edges[:, :-1]), 0, length)[..., None]
    last = np.clip(np.ceil(edges[:, 1:]), 0, length)[..., None]
    cells = np.arange(length, dtype=np.float32)
    inside = (cells >= first) & (cells < last)
    return (inside / np.maximum(last - first, 1)).astype(np.float32)


def round_half_away(values: Floats) -> Floats:
    """C's round(): halves away from 0."""
    return np.sign(values) * np.floor(np.abs(values) + np.float32(0.5))
