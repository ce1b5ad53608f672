"""RoIAlign on a feature pyramid: each RoI is pooled from the one level that suits its size (FPN
section 4.2, Eq. 1).

Letters: N images, P RoIs of one image, C channels, L levels, B x B output bins, S samples a bin
side.
"""

from collections.abc import Callable, Sequence
from functools import partial

import torch
from torch import Tensor

from data.boxes import area
from losses.precision import at_least_float32
from models.pooling.cells import Places, on_cpu, places_of
from models.pooling.roi_align import aligned_pool, check_finite

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
    waiting for the host on a GPU.

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
    level, image, cells = on_levels(boxes, strides, canonical_size)
    pool = partial(aligned_pool, bins=output_size, sampling_ratio=sampling_ratio, aligned=aligned)
    if on_cpu(boxes):
        pooled = level_by_level(pool, maps, level, image, cells)
    else:
        pooled = pool(maps, places_of(maps, level, image), cells)
    return pooled.unflatten(0, boxes.shape[:2])


def on_levels(
    boxes: Tensor, strides: Sequence[int], canonical_size: float
) -> tuple[Tensor, Tensor, Tensor]:
    """Of each box (N, P, 4) the level, the image, both (N * P,), and its box (N * P, 4) in cells of
    its level."""
    n, p = boxes.shape[:2]
    level = level_of(boxes.detach(), levels=len(strides), canonical_size=canonical_size)
    image = torch.arange(n, device=boxes.device).repeat_interleave(p)
    stride = torch.tensor(strides).to(boxes.device, non_blocking=True)[level]
    return level.flatten(), image, (at_least_float32(boxes) / stride[..., None]).flatten(0, 1)


def level_by_level(
    pool: Callable[[Sequence[Tensor], Places, Tensor], Tensor],
    maps: Sequence[Tensor],
    level: Tensor,
    image: Tensor,
    boxes: Tensor,
) -> Tensor:
    """Pools boxes (R, 4) from the map of each level by itself, which saves a copy of all maps in
    one table; waits for the host.

    Args:
        pool: (maps, places, boxes) -> (R, C, B, B).
        maps: (N, C, H_l, W_l) of each level.
        level, image: (R,) of each box.
        boxes: in cells of their level.
    """
    order = level.argsort(stable=True)
    counts = torch.bincount(level, minlength=len(maps)).tolist()
    pooled = []
    for one_map, which in zip(maps, order.split(counts), strict=True):
        places = places_of([one_map], torch.zeros_like(which), image[which])
        pooled.append(pool([one_map], places, boxes[which]))
    return torch.cat(pooled).index_select(0, order.argsort())
