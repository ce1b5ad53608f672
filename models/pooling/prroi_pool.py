"""Precise RoI pooling (Jiang et al., IoU-Net, 2018, section 3.3): the exact mean of the
interpolated features in a bin.

A cell's value stands at its integer coordinates, and the features between the cells are
interpolated linearly; from the border they fall to 0 within one cell. The mean is the integral over
a bin by its area. It is separable:

    out = rows F columns^T,   weight of cell i in the bin [a, b] = (G(b - i) - G(a - i)) / (b - a),

where G is the integral of the hat max(0, 1 - |u|). G has a continuous derivative, so a box has a
gradient too, which refines boxes in postprocess/refine.py.

Letters: N images, P RoIs of one image, R RoIs, C channels, L levels, H x W feature map, B x B
output bins.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from losses.precision import at_least_float32
from models.pooling.multi_level import level_of
from models.pooling.roi_align import check_finite, weighted_sums

STRIP_FLOATS = 2**26  # at most this many intermediate values at once: RoIs are pooled in chunks
# RoIs in a chunk at most: neighbors, so that only a part of the map takes part in the products
AT_ONCE = 32


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
    return pooled_by_map(
        [features], rois[:, 0].long(), at_least_float32(rois[:, 1:]) * spatial_scale, output_size
    )


def multi_level_prroi(
    features: Sequence[Tensor],
    boxes: Tensor,
    output_size: int,
    strides: Sequence[int],
    canonical_size: float = 224.0,
) -> Tensor:
    """Precise RoI pooling of boxes (N, P, 4) in network px, each from its level of the pyramid: (N,
    P, C, B, B).

    Sorting the boxes by level and image waits for the host; of all networks, only IoU-Net does it.
    The choice of the level has no gradient.

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
    n, p = boxes.shape[:2]
    level = level_of(boxes.detach(), levels=len(strides), canonical_size=canonical_size)
    which = level * n + torch.arange(n, device=boxes.device)[:, None]
    cells = at_least_float32(boxes) / torch.tensor(strides, device=boxes.device)[level][..., None]
    pooled = pooled_by_map(
        features[: len(strides)], which.flatten(), cells.flatten(0, 1), output_size
    )
    return pooled.unflatten(0, (n, p))


def pooled_by_map(
    features: Sequence[Tensor], which: Tensor, cells: Tensor, output_size: int
) -> Tensor:
    """Pools boxes (R, 4), in cells, from maps of different sizes: (R, C, B, B).

    which: (R,) the map of each box, counted level by level and in a level image by image.
    """
    by_column = cells.detach()[:, ::2].sum(1).argsort()  # neighbors into the same chunk
    order = by_column[which[by_column].argsort(stable=True)]
    maps = [image for level in features for image in level.permute(0, 2, 3, 1)]
    counts = torch.bincount(which, minlength=len(maps)).tolist()
    pooled = [features[0].flatten()[:0].reshape(0, features[0].shape[1], output_size, output_size)]
    for one_map, boxes in zip(maps, cells[order].split(counts), strict=True):
        at_once = max(
            1,
            min(
                AT_ONCE,
                STRIP_FLOATS // max(1, output_size * max(one_map.shape[:2]) * one_map.shape[2]),
            ),
        )
        pooled += [
            pooled_chunk(one_map, chunk, output_size)
            for chunk in boxes.split(at_once)
            if len(chunk)
        ]
    return torch.cat(pooled)[order.argsort()]


def pooled_chunk(one_map: Tensor, cells: Tensor, bins: int) -> Tensor:
    """Pools boxes (R, 4), in cells, from one map (H, W, C): (R, C, B, B).

    The products see only the window of the map that some box touches, and sum along its longer side
    first.
    """
    height, width, _ = one_map.shape
    left, top, right, bottom = window(cells.detach(), height, width)
    part = one_map[:, left:right][top:bottom]  # neighbors have like columns: narrower slice first
    rows = overlap_matrix(cells[:, 1], cells[:, 3], bins, top, bottom).to(part.dtype)[None]
    columns = overlap_matrix(cells[:, 0], cells[:, 2], bins, left, right).to(part.dtype)[None]
    if right - left > bottom - top:
        return weighted_sums(part.transpose(0, 1).flatten(1)[None], columns, rows)[0].transpose(
            2, 3
        )
    return weighted_sums(part.flatten(1)[None], rows, columns)[0]


def window(cells: Tensor, height: int, width: int) -> tuple[int, int, int, int]:
    """The cells (left, top, right, bottom), the last two excluded, that some of the boxes (R, 4)
    reach; one at least.

    The whole map where a box is not finite, so that it pools to NaN where ``check_finite`` lets it
    pass.
    """
    limit = cells.new_tensor([width, height])
    low = cells[:, :2].amin(0).floor().nan_to_num(nan=0.0).clamp(min=0).minimum(limit - 1)
    high = (
        (cells[:, 2:].amax(0).ceil() + 1).nan_to_num(nan=torch.inf).minimum(limit).maximum(low + 1)
    )
    left, top, right, bottom = torch.cat([low, high]).long().tolist()
    return left, top, right, bottom


def overlap_matrix(start: Tensor, end: Tensor, bins: int, first: int, stop: int) -> Tensor:
    """Weights (R, B, stop - first) with which the cells ``first`` .. ``stop`` - 1 of one axis enter
    each bin of the intervals [start, end] (R,), in cells.

    A bin is as long as its rounded edges say: a very short one would not be a mean otherwise. An
    interval without length has weights 0.
    """
    share = torch.arange(bins + 1, device=start.device, dtype=start.dtype) / bins
    edges = torch.lerp(start[:, None], end[:, None], share)  # (R, B + 1)
    cells = torch.arange(first, stop, device=start.device, dtype=start.dtype)
    integral = hat_integral(edges[..., None] - cells).diff(dim=1)  # (R, B, cells)
    length = edges.diff(dim=1)[..., None]
    real = length > 0
    return torch.where(real, integral / torch.where(real, length, 1.0), 0.0)


def hat_integral(t: Tensor) -> Tensor:
    """G(t), the integral of max(0, 1 - |u|) up to t: 0, (t + 1)^2 / 2 from -1 on, 1/2 + t - t^2 / 2
    from 0 on, 1."""
    t = t.clamp(-1, 1)
    return 0.5 + t - 0.5 * t * t.abs()
