"""RoIAlign and precise RoI pooling as two matrix products for each RoI, to be compared with.

Only tests call it: it reads all cells of the map for each RoI, where ``models/pooling/cells.py``
reads those that count.

    out = rows F columns^T,

where ``rows`` (B x H) and ``columns`` (B x W) hold the weight of each row and column of the map F
(H x W) in each bin.

Letters: N images, R RoIs, C channels, H x W feature map, B x B output bins, S samples a bin side, L
cells along one axis.
"""

import torch
from torch import Tensor

from models.pooling.prroi_pool import hat_integral


def roi_align_by_products(
    features: Tensor,
    rois: Tensor,
    output_size: int,
    spatial_scale: float,
    sampling_ratio: int = 0,
    aligned: bool = False,
) -> Tensor:
    """What ``roi_align`` computes, with the same arguments, for finite RoIs: (R, C, B, B)."""
    x1, y1, x2, y2 = (rois[:, 1:] * spatial_scale - (0.5 if aligned else 0.0)).unbind(-1)
    how = (sampling_ratio, aligned)
    rows = interpolation_matrix(y1, y2, output_size, features.shape[2], *how)
    columns = interpolation_matrix(x1, x2, output_size, features.shape[3], *how)
    return products(features[rois[:, 0].long()], rows, columns)


def prroi_by_products(
    features: Tensor, rois: Tensor, output_size: int, spatial_scale: float
) -> Tensor:
    """What ``prroi_pool`` computes, with the same arguments, for finite RoIs: (R, C, B, B)."""
    x1, y1, x2, y2 = (rois[:, 1:] * spatial_scale).unbind(-1)
    rows = overlap_matrix(y1, y2, output_size, features.shape[2])
    columns = overlap_matrix(x1, x2, output_size, features.shape[3])
    return products(features[rois[:, 0].long()], rows, columns)


def products(maps: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """rows @ map @ columns^T of each RoI: (R, C, B, B).

    maps (R, C, H, W); rows (R, B, H); columns (R, B, W).
    """
    return rows[:, None] @ maps @ columns[:, None].transpose(2, 3)


def interpolation_matrix(
    start: Tensor, end: Tensor, bins: int, length: int, sampling_ratio: int, aligned: bool
) -> Tensor:
    """Weights (R, B, L) with which the L cells of one axis enter each bin of the interval [start,
    end] (R,).

    A sample at t takes weight max(0, 1 - |t - cell|) of each cell; t is clamped to the cells, and
    samples more than one cell outside count as 0. The weights of a bin are the mean over its
    samples.
    """
    extent = end - start
    if not aligned:
        extent = extent.clamp(min=1.0)
    bin_size = extent / bins
    if sampling_ratio > 0:
        samples, most = torch.full_like(bin_size, float(sampling_ratio)), sampling_ratio
    else:
        samples = bin_size.ceil()
        most = max(0, int(samples.max()))
    number = torch.arange(most, device=start.device, dtype=start.dtype)
    offset = (number + 0.5) * bin_size[:, None] / samples.clamp(min=1)[:, None]  # (R, S), cells
    bin_start = start[:, None] + torch.arange(bins, device=start.device) * bin_size[:, None]
    t = bin_start[..., None] + offset[:, None, :]  # (R, B, S)
    counted = (number < samples[:, None])[:, None, :] & (t >= -1) & (t <= length)
    cells = torch.arange(length, device=start.device, dtype=start.dtype)
    hat = (1 - (t.clamp(0, length - 1)[..., None] - cells).abs()).clamp(min=0)  # (R, B, S, L)
    return (hat * counted[..., None]).sum(-2) / samples.clamp(min=1)[:, None, None]


def overlap_matrix(start: Tensor, end: Tensor, bins: int, length: int) -> Tensor:
    """Weights (R, B, L) with which the L cells of one axis enter each bin of the intervals [start,
    end] (R,), in cells: (G(b - i) - G(a - i)) / (b - a), 0 for an interval without length."""
    share = torch.arange(bins + 1, device=start.device, dtype=start.dtype) / bins
    edges = torch.lerp(start[:, None], end[:, None], share)  # (R, B + 1)
    cells = torch.arange(length, device=start.device, dtype=start.dtype)
    integral = hat_integral(edges[..., None] - cells).diff(dim=1)  # (R, B, L)
    extent = edges.diff(dim=1)[..., None]
    real = extent > 0
    return torch.where(real, integral / torch.where(real, extent, 1.0), 0.0)
