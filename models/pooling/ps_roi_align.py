"""Position-sensitive RoI pooling (R-FCN, section 2.2), by bilinear samples and by the paper's
rounded bins.

Bin (i, j) of a RoI reads score maps of its own: output channel c comes from map channel (c * B + i)
* B + j. Both rules are one weighted sum of a few cells for each bin, separable into rows and
columns: the 2 S x 2 S neighbors of the samples for PSRoIAlign; the four corners of the bin, with
signs, in the integral image of the maps for PSRoIPool. Cells are rows of a table that holds all
channels of a bin side by side, so nothing loops.

Letters: N images, R RoIs, P RoIs of one image, C output channels, H x W feature map, B x B bins, S
samples a bin side, T cells that a bin reads along one axis.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

from losses.precision import at_least_float32
from models.pooling.roi_align import check_finite, with_image_index


def ps_roi_align(
    features: Tensor, rois: Tensor, output_size: int, spatial_scale: float, sampling_ratio: int = 2
) -> Tensor:
    """Pools each RoI of (N, C * B * B, H, W) ``features`` to (R, C, B, B): the mean of S * S
    bilinear samples a bin.

    RoIs are shifted by half a cell and have no least size, as with RoIAlign's ``aligned=True``.

    Args:
        features: (N, C * B * B, H, W), channel (c * B + row of bins) * B + column of bins.
        rois: (R, 5): image index, then x1, y1, x2, y2 in image px.
        output_size: B.
        spatial_scale: feature cells per image px (1/16 for stride 16).
        sampling_ratio: S, at least 1: an adaptive count is 0 for a RoI without extent, and its mean
            NaN.

    Returns: (R, C, B, B) in the features' type, summed in float32 or better.
    Raises:
        ValueError: a RoI that is not finite, sampling_ratio below 1, or channels that are no
        multiple of B * B.
    Law: equals torchvision.ops.ps_roi_align, values and gradients.
    """
    check_finite(rois)
    if sampling_ratio < 1:
        raise ValueError(
            f"PSRoIAlign takes at least 1 sample a bin side, not {sampling_ratio}: an adaptive "
            "count is 0 for a RoI without extent; use sampling_ratio=2."
        )
    height, width = features.shape[-2:]
    with torch.no_grad():
        boxes = at_least_float32(rois[:, 1:])
        x1, y1, x2, y2 = (boxes * spatial_scale - 0.5).unbind(-1)
        rows = sampled_cells(y1, y2, output_size, height, sampling_ratio)
        columns = sampled_cells(x1, x2, output_size, width, sampling_ratio)
    maps = at_least_float32(features)
    return position_sensitive_sums(maps, rois[:, 0].long(), rows, columns).to(features.dtype)


def ps_roi_align_batched(
    features: Tensor, boxes: Tensor, output_size: int, spatial_scale: float, sampling_ratio: int = 2
) -> Tensor:
    """``ps_roi_align`` for the same number P of boxes (N, P, 4) in each image: (N, P, C, B, B)."""
    pooled = ps_roi_align(
        features, with_image_index(boxes), output_size, spatial_scale, sampling_ratio
    )
    return pooled.unflatten(0, boxes.shape[:2])


def ps_roi_pool(features: Tensor, rois: Tensor, output_size: int, spatial_scale: float) -> Tensor:
    """R-FCN's own pooling to (R, C, B, B): the mean of the whole cells that a bin touches; 0 for a
    bin off the map.

    The box is rounded to whole image px (its last px counts: end + 1), then scaled, at least 0.1
    cells wide and high; a bin reaches from floor(its start) to ceil(its end), cut at the map. The
    rule takes boxes whose x2, y2 are inside the box, ours end one pixel later, as in
    ``roi_max_pool``. torchvision.ops.ps_roi_pool is another rule: it rounds after scaling, never
    reads the last row and column, and its gradient does not match its values there.

    Arguments, result and errors are those of ``ps_roi_align``. The integral image is float64,
    because the corners of a bin are large numbers that nearly cancel; it takes 8 bytes for each
    value of ``features``. Law: a constant map pools to its constant in each bin that meets the map.
    """
    check_finite(rois)
    height, width = features.shape[-2:]
    with torch.no_grad():
        x1, y1, x2, y2 = at_least_float32(rois[:, 1:]).unbind(-1)
        x1, y1, x2, y2 = (
            round_half_away(side) * spatial_scale for side in (x1, y1, x2 - 1, y2 - 1)
        )
        rows = corner_cells(y1, y2 + spatial_scale, output_size, height)
        columns = corner_cells(x1, x2 + spatial_scale, output_size, width)
    integral = F.pad(features.double().cumsum(-1).cumsum(-2), (1, 0, 1, 0))
    return position_sensitive_sums(integral, rois[:, 0].long(), rows, columns).to(features.dtype)


def ps_roi_pool_batched(
    features: Tensor, boxes: Tensor, output_size: int, spatial_scale: float
) -> Tensor:
    """``ps_roi_pool`` for the same number P of boxes (N, P, 4) in each image: (N, P, C, B, B)."""
    pooled = ps_roi_pool(features, with_image_index(boxes), output_size, spatial_scale)
    return pooled.unflatten(0, boxes.shape[:2])


def sampled_cells(
    start: Tensor, end: Tensor, bins: int, length: int, samples: int
) -> tuple[Tensor, Tensor]:
    """Cells (R, B, 2 S) of one axis and their weights in each bin of [start, end] (R,), in cells.

    A sample is clamped to the cells; one that lies more than one cell outside counts as 0.
    """
    bin_size = (end - start)[:, None, None] / bins
    grid = torch.arange(samples, device=start.device, dtype=start.dtype)
    bin_start = start[:, None, None] + torch.arange(bins, device=start.device)[:, None] * bin_size
    t = bin_start + (grid + 0.5) * bin_size / samples  # (R, B, S)
    counted = (t >= -1) & (t <= length)
    t = t.clamp(0, length - 1)
    low = t.long().clamp(0, length - 1)  # a NaN that was not caught must not become an address
    to_high = t - low
    weights = torch.cat([1 - to_high, to_high], dim=-1) * counted.repeat(1, 1, 2) / samples
    return torch.cat([low, (low + 1).clamp(max=length - 1)], dim=-1), weights


def corner_cells(start: Tensor, end: Tensor, bins: int, length: int) -> tuple[Tensor, Tensor]:
    """Both ends (R, B, 2) of each bin of [start, end] (R,), as columns of the integral image, and
    -+1 / cells between.

    Edges are (B start + i extent) / B, not start + i (extent / B): at a stride that is a power of
    two only the division rounds, and a bin that ends on the border of two cells ends there.
    """
    extent = (end - start).clamp(min=0.1)[:, None]
    edge = torch.arange(bins + 1, device=start.device)
    edges = (bins * start[:, None] + edge * extent) / bins  # (R, B + 1)
    ends = torch.stack([edges[:, :-1].floor(), edges[:, 1:].ceil()], dim=-1).clamp(0, length)
    between = ends[..., 1:] - ends[..., :1]
    share = (1 / between.clamp(min=1)).masked_fill(between <= 0, 0.0)
    return ends.long().clamp(0, length), torch.cat([-share, share], dim=-1)


def position_sensitive_sums(
    maps: Tensor, image: Tensor, rows: tuple[Tensor, Tensor], columns: tuple[Tensor, Tensor]
) -> Tensor:
    """For each bin the sum over its cells of row weight * column weight * the bin's own maps: (R,
    C, B, B).

    maps (N, C * B * B, H, W); image (R,); rows and columns: cells and weights, each (R, B, T).
    """
    _, channels, height, width = maps.shape
    r, b, t = rows[0].shape
    if channels % b**2:
        raise ValueError(
            f"Position-sensitive pooling into {b} x {b} bins needs a multiple of {b**2} channels, "
            f"not {channels}: make the score maps' output channels (classes * bins * bins)."
        )
    depth = channels // b**2
    table = maps.unflatten(1, (depth, b**2)).permute(0, 2, 3, 4, 1).reshape(-1, depth)
    own_bin = torch.arange(b**2, device=maps.device).view(b, b)
    plane = image[:, None, None] * b**2 + own_bin  # (R, B, B)
    row, column = rows[0][:, :, None, :, None], columns[0][:, None, :, None, :]
    cells = (plane[..., None, None] * height + row) * width + column
    weights = (rows[1][:, :, None, :, None] * columns[1][:, None, :, None, :]).to(maps.dtype)
    sums = F.embedding_bag(
        cells.view(-1, t**2), table, mode="sum", per_sample_weights=weights.view(-1, t**2)
    )
    return sums.view(r, b, b, depth).permute(0, 3, 1, 2)


def round_half_away(values: Tensor) -> Tensor:
    """C's round(): halves away from 0, where torch.round takes the even neighbor."""
    return values.sign() * (values.abs() + 0.5).floor()
