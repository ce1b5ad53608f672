"""Precise RoI pooling (Jiang et al., IoU-Net, 2018, section 3.3): the exact mean of the
interpolated features in a bin.

A cell's value stands at its integer coordinates, and the features between the cells are
interpolated linearly; from the border they fall to 0 within one cell. The mean is the integral over
a bin by its area. It is a separable sum over the cells that the bin reaches:

    weight of row or column i in the bin [a, b] = (G(b - i) - G(a - i)) / (b - a),

where G is the integral of the hat max(0, 1 - |u|). G has a continuous derivative, so a box has a
gradient too, which refines boxes in postprocess/refine.py.

Letters: N images, P RoIs of one image, R RoIs, C channels, L levels, H x W feature map, B x B
output bins, T cells that a bin reaches along one axis.
"""

from collections.abc import Sequence
from functools import partial

import torch
from torch import Tensor

from losses.precision import at_least_float32
from models.pooling.cells import Axis, Places, cell_table, pooled_cells
from models.pooling.multi_level import level_by_level, on_levels
from models.pooling.roi_align import check_finite, on_one_map


def prroi_pool(features: Tensor, rois: Tensor, output_size: int, spatial_scale: float) -> Tensor:
    """Pools each RoI of (N, C, H, W) ``features`` to (R, C, B, B), exactly; waits for the host.

    Args:
        features: (N, C, H, W).
        rois: (R, 5): image index, then x1, y1, x2, y2 in image px.
        output_size: B.
        spatial_scale: feature cells per image px (1/16 for stride 16).

    Returns: (R, C, B, B), differentiable in the features and in the boxes; 0, with gradients 0, for
    a RoI without area. Raises:
        ValueError: a RoI that is not finite.
    Law: the mean of the B x B bins is the one bin of ``output_size`` 1.
    """
    check_finite(rois)
    places, cells = on_one_map(features, rois, spatial_scale)
    return precise_pool([features], places, cells, output_size)


def multi_level_prroi(
    features: Sequence[Tensor],
    boxes: Tensor,
    output_size: int,
    strides: Sequence[int],
    canonical_size: float = 224.0,
) -> Tensor:
    """Precise RoI pooling of boxes (N, P, 4) in network px, each from its level of the pyramid: (N,
    P, C, B, B).

    It waits for the host; of all networks, only IoU-Net does it. The choice of the level has no
    gradient.

    Args:
        features: L or more maps (N, C, H_l, W_l), fine to coarse; those without a stride are not
            used.
        output_size: B.
        strides: of the L levels, px a cell.
        canonical_size: px, see ``level_of``.

    Raises:
        ValueError: a RoI that is not finite.
    Law: with one level this is ``prroi_pool``.
    """
    check_finite(boxes)
    maps = features[: len(strides)]
    level, image, cells = on_levels(boxes, strides, canonical_size)
    pooled = level_by_level(partial(precise_pool, bins=output_size), maps, level, image, cells)
    return pooled.unflatten(0, boxes.shape[:2])


def precise_pool(maps: Sequence[Tensor], places: Places, boxes: Tensor, bins: int) -> Tensor:
    """Pools boxes (R, 4), in cells of their own map, from maps (N, C, H_l, W_l) of any number of
    levels: (R, C, B, B).

    places: of the map of each box.
    """
    x1, y1, x2, y2 = boxes.unbind(-1)
    rows = overlap_axis(y1, y2, places.height, bins)
    columns = overlap_axis(x1, x2, places.width, bins)
    table = at_least_float32(cell_table(maps))
    pooled = pooled_cells(
        table, places.first[:, None, None], places.width, rows, columns, ragged=True
    )
    return pooled.to(maps[0].dtype).permute(0, 3, 1, 2)


def overlap_axis(start: Tensor, end: Tensor, length: Tensor, bins: int) -> Axis:
    """What each bin of the intervals [start, end] (R,) reads of the ``length`` (R,) cells of one
    axis.

    A bin is as long as its rounded edges say: a very short one would not be a mean otherwise. An
    interval without length has weights 0.
    """
    share = torch.arange(bins + 1, device=start.device, dtype=start.dtype) / bins
    edges = torch.lerp(start[:, None], end[:, None], share)  # (R, B + 1)
    begin, stop = edges[:, :-1, None], edges[:, 1:, None]
    with torch.no_grad():  # a NaN must not become an address
        limit = length[:, None, None] - 1
        first = begin.floor().clamp(min=0).minimum(limit).long().clamp(min=0).minimum(limit)
        reach = stop.ceil().clamp(min=-1).minimum(limit).long().clamp(min=-1) - first
        most = max(0, int(reach.max())) + 1 if reach.numel() else 1
        cells = first + torch.arange(most, device=start.device)
        counted = (cells <= first + reach) | (cells == first)
    integral = hat_integral(stop - cells) - hat_integral(begin - cells)
    real = ~(stop <= begin)  # also a NaN, which pools to NaN where check_finite lets it pass
    weights = torch.where(real, integral / torch.where(real, stop - begin, 1.0), 0.0)
    return Axis(cells.minimum(limit), weights, counted)


def hat_integral(t: Tensor) -> Tensor:
    """G(t), the integral of max(0, 1 - |u|) up to t: 0, (t + 1)^2 / 2 from -1 on, 1/2 + t - t^2 / 2
    from 0 on, 1."""
    t = t.clamp(-1, 1)
    return 0.5 + t - 0.5 * t * t.abs()
