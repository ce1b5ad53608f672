"""RoIAlign (Mask R-CNN, section 3) as two small matrix products, and RoI max pooling for the Caffe
rows.

Bilinear interpolation on an axis-aligned grid is separable, and so is the mean over the samples of
a bin. One RoI's output is therefore  rows @ feature map @ columns^T,  where ``rows`` (output height
x H) and ``columns`` (output width x W) hold the averaged interpolation weights. Nothing loops,
nothing is gathered; the gradient is two more products, and it is deterministic.

Letters: N images, R RoIs, P RoIs of one image, C channels, H x W feature map, B x B output bins, S
samples a bin side.
"""

import torch
from torch import Tensor
from torchvision import ops

from losses.precision import at_least_float32

STRIP_FLOATS = 2**26  # at most this many intermediate values at once: RoIs are pooled in chunks


def roi_align(
    features: Tensor,
    rois: Tensor,
    output_size: int,
    spatial_scale: float,
    sampling_ratio: int = 0,
    aligned: bool = False,
) -> Tensor:
    """Pools each RoI of (N, C, H, W) ``features`` to (R, C, B, B): the mean of bilinear samples in
    each bin.

    Args:
        features: (N, C, H, W).
        rois: (R, 5): image index, then x1, y1, x2, y2 in image px.
        output_size: B.
        spatial_scale: feature cells per image px (1/16 for stride 16).
        sampling_ratio: S; 0 or less takes ceil(bin size in cells), for each RoI and axis
            (adaptive).
        aligned: True shifts by half a cell and allows RoIs below one cell; False is the original
            rule.

    Raises:
        ValueError: a RoI that is not finite (a network that diverged; torchvision's CPU operator
        crashes on it).
    Law: equals torchvision.ops.roi_align, values and gradients.
    """
    check_finite(rois)
    image, order = rois[:, 0].long().sort(stable=True)
    counts = torch.bincount(image, minlength=len(features))
    slot = torch.arange(len(rois), device=rois.device) - (counts.cumsum(0) - counts)[image]
    boxes = rois.new_zeros(len(features), int(counts.max()) if len(rois) else 0, 4)
    boxes[image, slot] = rois[order, 1:]
    pooled = roi_align_batched(features, boxes, output_size, spatial_scale, sampling_ratio, aligned)
    result = pooled[image, slot]
    return torch.empty_like(result).index_copy(0, order, result)


def roi_align_batched(
    features: Tensor,
    boxes: Tensor,
    output_size: int,
    spatial_scale: float,
    sampling_ratio: int = 0,
    aligned: bool = False,
) -> Tensor:
    """``roi_align`` for the same number P of boxes (N, P, 4) in each image: (N, P, C, B, B),
    without a host sync when ``sampling_ratio`` is positive."""
    check_finite(boxes)
    n, channels, height, width = features.shape
    by_row = features.permute(0, 2, 3, 1).reshape(n, height, width * channels)
    at_once = max(1, STRIP_FLOATS // max(1, n * output_size * width * channels))
    pooled = []
    for part in boxes.split(at_once, dim=1):
        cells = at_least_float32(part) * spatial_scale - (0.5 if aligned else 0.0)
        x1, y1, x2, y2 = cells.unbind(-1)
        with torch.no_grad():
            # (N, P, B, H) and (N, P, B, W)
            rows = interpolation_matrix(y1, y2, output_size, height, sampling_ratio, aligned)
            columns = interpolation_matrix(x1, x2, output_size, width, sampling_ratio, aligned)
        pooled.append(weighted_sums(by_row, rows.to(features.dtype), columns.to(features.dtype)))
    return torch.cat(pooled, dim=1)


def weighted_sums(by_row: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """rows @ feature map @ columns^T of each RoI: (N, P, C, B, B).

    by_row (N, H, W * C): the feature maps; rows (N, P, B, H) and columns (N, P, B, W):
    interpolation weights.
    """
    n, p, b, height = rows.shape
    width = columns.shape[-1]
    channels = by_row.shape[-1] // width
    strips = (rows.reshape(n, p * b, height) @ by_row).reshape(n * p * b, width, channels)
    columns = columns[:, :, None].expand(n, p, b, b, width).reshape(n * p * b, b, width)
    return torch.bmm(columns, strips).reshape(n, p, b, b, channels).permute(0, 1, 4, 2, 3)


def interpolation_matrix(
    start: Tensor, end: Tensor, bins: int, length: int, sampling_ratio: int, aligned: bool
) -> Tensor:
    """Weights (..., B, L) with which the L cells of one axis enter each bin of the interval [start,
    end] (...,).

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
        most = max(0, int(samples.max())) if samples.numel() else 0
    grid = torch.arange(most, device=start.device, dtype=start.dtype)
    offset = (grid + 0.5) * bin_size[..., None] / samples.clamp(min=1)[..., None]  # (..., S), cells
    bin_index = torch.arange(bins, device=start.device)
    bin_start = start[..., None] + bin_index * bin_size[..., None]  # (..., B), cells
    t = bin_start[..., None] + offset[..., None, :]  # (..., B, S)
    counted = (grid < samples[..., None])[..., None, :] & (t >= -1) & (t <= length)
    cells = torch.arange(length, device=start.device, dtype=start.dtype)
    hat = (1 - (t.clamp(0, length - 1)[..., None] - cells).abs()).clamp(min=0)  # (..., B, S, L)
    return (hat * counted[..., None]).sum(-2) / samples.clamp(min=1)[..., None, None]


def roi_max_pool(features: Tensor, rois: Tensor, output_size: int, spatial_scale: float) -> Tensor:
    """Fast R-CNN's RoI max pooling (rounded, inclusive ends) by torchvision, (R, C, B, B), for the
    Caffe rows.

    The Caffe rule takes boxes whose x2, y2 are inside the box, ours end one pixel later: hence the
    "- 1". The features take the boxes' type, not the other way round: a half-precision box is whole
    pixels off.
    """
    check_finite(rois)
    inclusive = rois - rois.new_tensor([0.0, 0.0, 0.0, 1.0, 1.0])
    return ops.roi_pool(features.to(rois.dtype), inclusive, output_size, spatial_scale).to(
        features.dtype
    )


def roi_max_pool_batched(
    features: Tensor, boxes: Tensor, output_size: int, spatial_scale: float
) -> Tensor:
    """``roi_max_pool`` for the same number P of boxes (N, P, 4) in each image: (N, P, C, B, B)."""
    pooled = roi_max_pool(features, with_image_index(boxes), output_size, spatial_scale)
    return pooled.unflatten(0, boxes.shape[:2])


def with_image_index(boxes: Tensor) -> Tensor:
    """Boxes (N, P, 4) as RoIs (N * P, 5): image index, then the box."""
    image = torch.arange(len(boxes), device=boxes.device).repeat_interleave(boxes.shape[1])
    return torch.cat([image[:, None].to(boxes.dtype), boxes.flatten(0, 1)], dim=1)


def check_finite(boxes: Tensor) -> None:
    """Refuses boxes that are not finite, on CPU.

    On CUDA the check would stall the step, and a bad box cannot crash there: it turns the loss into
    NaN, which the training loop's own check names.

    Args:
        boxes: (..., 4).

    Raises:
        ValueError: a box on the CPU is not finite.
    """
    if boxes.device.type == "cpu" and not bool(torch.isfinite(boxes).all()):
        bad = int((~torch.isfinite(boxes)).any(-1).sum())
        raise ValueError(
            f"{bad} of {boxes[..., 0].numel()} RoIs given to RoI pooling are not finite: the "
            "network has diverged or a weight is NaN; lower the learning rate or load an earlier "
            "checkpoint."
        )
