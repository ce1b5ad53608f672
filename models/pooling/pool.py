"""The pooling of RoIs that a configuration names, as a function of all maps and of the boxes of
each image."""

from collections.abc import Callable
from functools import partial
from typing import Any, Literal

from torch import Tensor

from models.pooling.multi_level import multi_level_roi_align
from models.pooling.prroi_pool import multi_level_prroi
from models.pooling.ps_roi_align import ps_roi_align_batched, ps_roi_pool_batched
from models.pooling.roi_align import roi_align_batched, roi_max_pool_batched

Features = tuple[Tensor, ...]  # (N, C, H_l, W_l) of each level, fine to coarse
# (features, boxes (N, P, 4) network px) -> (N, P, C, B, B)
Pool = Callable[[Features, Tensor], Tensor]
Pooling = Literal["align", "max", "precise"]
PositionSensitivePooling = Literal["align", "average"]
ROI_LEVELS = 4  # of a pyramid; the coarsest map is the region proposal network's alone


def build_pool(
    pooling: Pooling,
    *,
    output_size: int,
    strides: tuple[int, ...],
    sampling_ratio: int,
    aligned: bool,
    canonical_size: float,
) -> Pool:
    """The pooling that reads square bins for each RoI from the maps of a network.

    Args:
        pooling: "align", "max" or "precise".
        output_size: bins a side.
        strides: px a cell of each map, fine to coarse.
        sampling_ratio: samples a bin side for "align"; 0 is adaptive.
        aligned: for "align", whether it is shifted by half a cell.
        canonical_size: px, of the RoI that is pooled from the level at stride 16 of a pyramid.
    """
    bins: dict[str, Any] = {"output_size": output_size}
    levels: dict[str, Any] = {"strides": strides[:ROI_LEVELS], "canonical_size": canonical_size}
    if pooling == "precise":
        return partial(multi_level_prroi, **bins, **levels)
    if len(strides) > 1:
        return partial(
            multi_level_roi_align, sampling_ratio=sampling_ratio, aligned=aligned, **bins, **levels
        )
    if pooling == "max":
        return on_first(partial(roi_max_pool_batched, spatial_scale=1 / strides[0], **bins))
    return on_first(
        partial(
            roi_align_batched,
            spatial_scale=1 / strides[0],
            sampling_ratio=sampling_ratio,
            aligned=aligned,
            **bins,
        )
    )


def build_position_sensitive_pool(
    pooling: PositionSensitivePooling, *, output_size: int, stride: int, sampling_ratio: int
) -> Callable[[Tensor, Tensor], Tensor]:
    """R-FCN's pooling: (maps (N, D * B * B, H, W), boxes (N, P, 4)) -> (N, P, D, B, B).

    Args:
        pooling: "align" is PSRoIAlign, "average" R-FCN's own PSRoIPool.
        output_size: B, bins a side.
        stride: px a cell of the maps.
        sampling_ratio: samples a bin side for "align".
    """
    if pooling == "average":
        return partial(ps_roi_pool_batched, output_size=output_size, spatial_scale=1 / stride)
    return partial(
        ps_roi_align_batched,
        output_size=output_size,
        spatial_scale=1 / stride,
        sampling_ratio=sampling_ratio,
    )


def on_first(pool: Callable[[Tensor, Tensor], Tensor]) -> Pool:
    """A pooling of one map as one of the maps of a network that has only one."""
    return lambda features, boxes: pool(features[0], boxes)
