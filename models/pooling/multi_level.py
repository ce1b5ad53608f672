"""RoIAlign on a feature pyramid: each RoI is pooled from the one level that suits its size (FPN
section 4.2, Eq. 1).

An output bin is a weighted sum of a few cells, each a row of C numbers in a table of all cells of
all levels. That is what ``embedding_bag`` computes, without an intermediate copy of the rows, and
with a deterministic gradient.

Letters: N images, P RoIs of one image, C channels, L levels, B x B output bins, S samples a bin
side.
"""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from data.boxes import area
from losses.precision import at_least_float32
from models.pooling.roi_align import check_finite

EPSILON = 1e-6  # a box of exactly the canonical size is on its level whatever log2 rounds to


def level_of(
    boxes: Tensor, *, levels: int, canonical_size: float = 224.0, canonical_level: int = 2
) -> Tensor:
    """k = floor(k0 + log2(sqrt(w h) / 224)) (FPN Eq. 1) as an index (...,) into L levels, fine to
    coarse.

    Args:
        boxes: (..., 4) px.
        levels: L; P2 .. P5 are 0 .. 3.
        canonical_size: px, the side of the square RoI that belongs to ``canonical_level`` (2: P4,
            FPN's k0).
    """
    k = torch.floor(canonical_level + torch.log2(area(boxes).sqrt() / canonical_size) + EPSILON)
    # in this order: an integer has no NaN that a clamp would keep
    return k.long().clamp(0, levels - 1)


def multi_level_roi_align(
    features: Sequence[Tensor],
    boxes: Tensor,
    output_size: int,
    strides: Sequence[int],
    sampling_ratio: int = 2,
    aligned: bool = False,
    canonical_size: float = 224.0,
) -> Tensor:
    """RoIAlign of boxes (N, P, 4) in network px, each from its level: (N, P, C, B, B), without
    waiting for the host.

    Args:
        features: L or more maps (N, C, H_l, W_l), fine to coarse; those without a stride are not
            used.
        output_size: B.
        strides: of the L levels, px a cell.
        sampling_ratio: S, 1 or more.
        aligned: True shifts by half a cell and allows RoIs below one cell; False is the original
            rule.

    Raises:
        ValueError: a RoI that is not finite, or an adaptive sampling ratio, which a pyramid does
        not need.
    Law: equals torchvision.ops.MultiScaleRoIAlign, values and gradients.
    """
    check_finite(boxes)
    if sampling_ratio < 1:
        raise ValueError(
            f"RoIConfig.sampling_ratio is {sampling_ratio}; a feature pyramid needs 1 or more "
            "samples."
        )
    maps = features[: len(strides)]
    n, p = boxes.shape[:2]
    with torch.no_grad():
        level = level_of(boxes, levels=len(maps), canonical_size=canonical_size)
        cells, weights = bilinear_cells(
            maps, boxes, level, output_size, strides, sampling_ratio, aligned
        )
    table = torch.cat([m.permute(0, 2, 3, 1).flatten(0, 2) for m in maps])
    table = at_least_float32(table)  # in half precision a weight would have 8 or 11 bits
    weights = weights.to(table.dtype)
    pooled = F.embedding_bag(cells, table, per_sample_weights=weights, mode="sum")
    pooled = pooled.to(maps[0].dtype)
    return pooled.reshape(n, p, output_size, output_size, table.shape[1]).permute(0, 1, 4, 2, 3)


def bilinear_cells(
    maps: Sequence[Tensor],
    boxes: Tensor,
    level: Tensor,
    bins: int,
    strides: Sequence[int],
    samples: int,
    aligned: bool,
) -> tuple[Tensor, Tensor]:
    """Which cells each bin reads and with what weight, both (N * P * B * B, 4 S * S).

    Cells are rows of a table that holds level after level, image after image, row by row.
    """
    n = len(boxes)
    height, width, first, stride = (
        torch.tensor(
            [
                (m.shape[-2], m.shape[-1], sum(n * f[0, 0].numel() for f in maps[:index]), stride)
                for index, (m, stride) in enumerate(zip(maps, strides, strict=True))
            ]
        )
        .to(boxes.device, non_blocking=True)[level]
        .unbind(-1)
    )
    first = first + torch.arange(n, device=boxes.device)[:, None] * height * width
    scaled = at_least_float32(boxes) / stride[..., None] - (0.5 if aligned else 0.0)
    y, y_weight = samples_along(scaled[..., 1], scaled[..., 3], height, bins, samples, aligned)
    x, x_weight = samples_along(scaled[..., 0], scaled[..., 2], width, bins, samples, aligned)
    # (N, P, B, 1, 2S, 1) with (N, P, 1, B, 1, 2S)
    rows, columns = y[:, :, :, None, :, None], x[:, :, None, :, None, :]
    cells = first[..., None, None, None, None] + rows * width[..., None, None, None, None] + columns
    weights = y_weight[:, :, :, None, :, None] * x_weight[:, :, None, :, None, :]
    return cells.reshape(-1, (2 * samples) ** 2), weights.reshape(-1, (2 * samples) ** 2)


def samples_along(
    start: Tensor, end: Tensor, length: Tensor, bins: int, samples: int, aligned: bool
) -> tuple[Tensor, Tensor]:
    """One axis: the cells (N, P, B, 2 S) around the samples of each bin and their weights, which
    sum to 1 in a bin.

    start, end, length (N, P): interval and map size in cells. A sample is clamped to the cells;
    more than one cell outside it counts as 0.
    """
    extent = (end - start) if aligned else (end - start).clamp(min=1.0)
    place = (torch.arange(bins * samples, device=start.device) + 0.5) / (bins * samples)
    t = start[..., None] + place * extent[..., None]  # (N, P, B * S)
    last = length[..., None] - 1
    inside = (t >= -1) & (t <= last + 1)
    t = torch.minimum(t.clamp(min=0), last)
    low = t.floor()
    fraction = t - low
    cells = torch.stack([low, torch.minimum(low + 1, last)], dim=-1)
    weights = torch.stack([1 - fraction, fraction], dim=-1) * inside[..., None] / samples
    return cells.long().unflatten(-2, (bins, samples)).flatten(-2), weights.unflatten(
        -2, (bins, samples)
    ).flatten(-2)
