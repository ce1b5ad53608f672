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
from models.pooling.cells import Axis, merged, on_cpu, pooled_cells
from models.pooling.roi_align import check_finite, sampled_axis, with_image_index


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
        x1, y1, x2, y2 = (at_least_float32(rois[:, 1:]) * spatial_scale - 0.5).unbind(-1)
        lengths = (torch.full_like(x1, length, dtype=torch.long) for length in (height, width))
        rows, columns = (
            sampled_axis(start, end, length, output_size, sampling_ratio, aligned=True)
            for start, end, length in zip((y1, x1), (y2, x2), lengths, strict=True)
        )
        if on_cpu(rois):
            rows, columns = merged(rows), merged(columns)
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

    Arguments, result and errors are those of ``ps_roi_align``. On the CPU a bin reads its cells. On
    a GPU it reads four corners of the integral image, because the number of its cells would have to
    be waited for; the image is float64, because the corners are large numbers that nearly cancel,
    and takes 8 bytes for each value of ``features``. Law: a constant map pools to its constant in
    each bin that meets the map.
    """
    check_finite(rois)
    with torch.no_grad():
        x1, y1, x2, y2 = at_least_float32(rois[:, 1:]).unbind(-1)
        x1, y1, x2, y2 = (
            round_half_away(side) * spatial_scale for side in (x1, y1, x2 - 1, y2 - 1)
        )
        rows, columns = (
            bin_ends(start, end + spatial_scale, output_size, length)
            for start, end, length in zip((y1, x1), (y2, x2), features.shape[-2:], strict=True)
        )
    if on_cpu(rois):
        maps = at_least_float32(features)
        rows, columns = cells_between(rows), cells_between(columns)
    else:
        maps = integral_image(features)
    return position_sensitive_sums(maps, rois[:, 0].long(), rows, columns).to(features.dtype)


def ps_roi_pool_batched(
    features: Tensor, boxes: Tensor, output_size: int, spatial_scale: float
) -> Tensor:
    """``ps_roi_pool`` for the same number P of boxes (N, P, 4) in each image: (N, P, C, B, B)."""
    pooled = ps_roi_pool(features, with_image_index(boxes), output_size, spatial_scale)
    return pooled.unflatten(0, boxes.shape[:2])


def integral_image(features: Tensor) -> Tensor:
    """The sums (N, C * B * B, H + 1, W + 1) of all cells above and to the left, in float64."""
    return F.pad(features.double().cumsum(-1).cumsum(-2), (1, 0, 1, 0))


def cells_between(ends: Axis) -> Axis:
    """The same sums from the cells of the map itself, between ``ends``; waits for the host."""
    first, last = ends.cells[..., :1], ends.cells[..., 1:]
    most = max(1, int((last - first).max())) if first.numel() else 1
    cells = first + torch.arange(most, device=first.device)
    share = ends.weights[..., 1:]
    # a NaN counts
    weights = share.masked_fill((cells >= last) & ~share.isnan(), 0.0)
    return Axis(cells.minimum(last.clamp(min=1) - 1), weights)


def bin_ends(start: Tensor, end: Tensor, bins: int, length: int) -> Axis:
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
    return Axis(ends.long().clamp(0, length), torch.cat([-share, share], dim=-1))


def position_sensitive_sums(maps: Tensor, image: Tensor, rows: Axis, columns: Axis) -> Tensor:
    """For each bin the sum over its cells of row weight * column weight * the bin's own maps: (R,
    C, B, B).

    maps (N, C * B * B, H, W); image (R,).
    """
    _, channels, height, width = maps.shape
    b = rows.cells.shape[1]
    if channels % b**2:
        raise ValueError(
            f"Position-sensitive pooling into {b} x {b} bins needs a multiple of {b**2} channels, "
            f"not {channels}: make the score maps' output channels (classes * bins * bins)."
        )
    depth = channels // b**2
    # row ((image * H + y) * W + x) * B * B + bin: near to maps in channels-last memory
    table = maps.permute(0, 2, 3, 1).unflatten(-1, (depth, b**2)).transpose(-1, -2)
    own_bin = torch.arange(b**2, device=maps.device).view(b, b)
    first = image[:, None, None] * (height * width * b**2) + own_bin
    sums = pooled_cells(
        table.reshape(-1, depth).contiguous(),
        first,
        torch.full_like(image, width * b**2),
        rows,
        columns._replace(cells=columns.cells * b**2),
        ragged=on_cpu(maps),
    )
    return sums.permute(0, 3, 1, 2)


def round_half_away(values: Tensor) -> Tensor:
    """C's round(): halves away from 0, where torch.round takes the even neighbor."""
    return values.sign() * (values.abs() + 0.5).floor()
