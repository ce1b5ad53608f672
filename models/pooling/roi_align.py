"""RoIAlign (Mask R-CNN, section 3) on one map as weighted sums of cells, and RoI max pooling for
the Caffe rows.

Bilinear interpolation on an axis-aligned grid is separable, and so is the mean over the samples of
a bin: a row of cells has one weight in a bin, a column has one, and a cell has their product.

Letters: N images, R RoIs, P RoIs of one image, C channels, H x W feature map, B x B output bins, S
samples a bin side.
"""

from collections.abc import Sequence

import torch
from torch import Tensor
from torchvision import ops

from losses.precision import at_least_float32
from models.pooling.cells import Axis, Places, cell_table, merged, on_cpu, places_of, pooled_cells


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

    It does not wait for the host on a GPU when ``sampling_ratio`` is positive.

    Args:
        features: (N, C, H, W); in channels-last memory they are read in place.
        rois: (R, 5): image index, then x1, y1, x2, y2 in image px.
        output_size: B.
        spatial_scale: feature cells per image px (1/16 for stride 16).
        sampling_ratio: S; 0 or less takes ceil(bin size in cells), for each RoI and axis
            (adaptive).
        aligned: True shifts by half a cell and allows RoIs below one cell; False is the original
            rule.

    Returns: (R, C, B, B) in the features' type, summed in float32 or better.
    Raises:
        ValueError: a RoI that is not finite (a network that diverged; torchvision's CPU operator
        crashes on it).
    Law: equals torchvision.ops.roi_align, values and gradients.
    """
    check_finite(rois)
    places, cells = on_one_map(features, rois, spatial_scale)
    return aligned_pool([features], places, cells, output_size, sampling_ratio, aligned)


def roi_align_batched(
    features: Tensor,
    boxes: Tensor,
    output_size: int,
    spatial_scale: float,
    sampling_ratio: int = 0,
    aligned: bool = False,
) -> Tensor:
    """``roi_align`` for the same number P of boxes (N, P, 4) in each image: (N, P, C, B, B)."""
    pooled = roi_align(
        features,
        with_image_index(boxes),
        output_size,
        spatial_scale,
        sampling_ratio,
        aligned,
    )
    return pooled.unflatten(0, boxes.shape[:2])


def on_one_map(features: Tensor, rois: Tensor, spatial_scale: float) -> tuple[Places, Tensor]:
    """Where the map of each RoI (R, 5) lies in the table of (N, C, H, W) ``features``, and its box
    (R, 4) in cells."""
    image = rois[:, 0].long()
    places = places_of([features], torch.zeros_like(image), image)
    return places, at_least_float32(rois[:, 1:]) * spatial_scale


def aligned_pool(
    maps: Sequence[Tensor],
    places: Places,
    boxes: Tensor,
    bins: int,
    sampling_ratio: int,
    aligned: bool,
) -> Tensor:
    """RoIAlign of boxes (R, 4), in cells of their own map, from maps (N, C, H_l, W_l) of any number
    of levels: (R, C, B, B).

    places: of the map of each box.
    """
    with torch.no_grad():
        x1, y1, x2, y2 = (boxes - (0.5 if aligned else 0.0)).unbind(-1)
        rows = sampled_axis(y1, y2, places.height, bins, sampling_ratio, aligned)
        columns = sampled_axis(x1, x2, places.width, bins, sampling_ratio, aligned)
        ragged = on_cpu(boxes) or sampling_ratio <= 0
        if ragged:
            rows, columns = merged(rows), merged(columns)
    # in half precision a weight would have 8 or 11 bits
    table = at_least_float32(cell_table(maps))
    first = places.first[:, None, None]
    pooled = pooled_cells(table, first, places.width, rows, columns, ragged=ragged)
    return pooled.to(maps[0].dtype).permute(0, 3, 1, 2)


def sampled_axis(
    start: Tensor, end: Tensor, length: Tensor, bins: int, sampling_ratio: int, aligned: bool
) -> Axis:
    """The 2 S cells around the samples of each bin of the interval [start, end] (R,), in cells, and
    their weights, the mean over the samples.

    A sample is clamped to the ``length`` (R,) cells; one that is more than one cell outside counts
    as 0. With adaptive sampling S is that of the RoI with the most samples, and the others have
    weights 0 there.
    """
    extent = (end - start) if aligned else (end - start).clamp(min=1.0)
    bin_size = (extent / bins)[:, None, None]
    if sampling_ratio > 0:
        samples, most = torch.full_like(bin_size, float(sampling_ratio)), sampling_ratio
    else:
        samples = bin_size.ceil()
        most = max(1, int(samples.max())) if samples.numel() else 1
    number = torch.arange(most, device=start.device, dtype=start.dtype)
    bin_start = start[:, None, None] + torch.arange(bins, device=start.device)[:, None] * bin_size
    t = bin_start + (number + 0.5) * bin_size / samples.clamp(min=1)  # (R, B, S)
    length = length[:, None, None]
    counted = (number < samples) & ~((t < -1) | (t > length))  # a NaN counts
    t = t.clamp(min=0).minimum(length - 1)
    low = t.long().clamp(min=0).minimum(length - 1)  # a NaN must not become an address
    to_high = t - low
    weights = torch.cat([1 - to_high, to_high], dim=-1)
    weights = weights.masked_fill(~counted.repeat(1, 1, 2), 0.0) / samples.clamp(min=1)
    return Axis(torch.cat([low, (low + 1).minimum(length - 1)], dim=-1), weights)


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
