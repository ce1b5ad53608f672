"""Position-sensitive pooling against torchvision's kernel, plain loops with exact fractions, and a
worked example."""

from fractions import Fraction
from functools import partial
from math import ceil, floor

import pytest
import torch
from torchvision import ops

from models.pooling import ps_roi_align as module
from models.pooling.ps_roi_align import (
    ps_roi_align,
    ps_roi_align_batched,
    ps_roi_pool,
    ps_roi_pool_batched,
)

SCALE = 1 / 16
BOTH = [(ps_roi_align, ps_roi_align_batched), (ps_roi_pool, ps_roi_pool_batched)]
# image index, box px; the images are 208 x 144 px (13 x 9 cells)
ROIS = torch.tensor([
    [1.0, 10.25, 20.75, 100.25, 91.0],
    [0.0, 0.0, 0.0, 208.0, 144.0],
    [2.0, -50.0, -30.5, 60.0, 70.5],  # partly outside, above and left
    [0.0, 150.0, 100.0, 300.0, 260.0],  # partly outside, below and right
    [1.0, 500.0, 500.0, 700.0, 600.0],  # wholly outside
    [0.0, -300.0, -300.0, -100.0, -200.0],
    [2.0, 33.0, 40.0, 33.5, 40.25],  # far below one cell
    [0.0, 64.0, 64.0, 64.0, 64.0],  # no extent
    [1.0, 90.0, 80.0, 30.0, 20.0],  # inverted
    [2.0, 5.0, 100.0, 207.0, 104.0],  # flat
    [1.0, 16.0, 16.0, 64.0, 128.0],  # 3 and 7 whole cells
    [0.0, 192.0, 128.0, 208.0, 144.0],  # the last cell
])  # fmt: skip


def feature_maps(size, channels=2, dtype=torch.float32):
    return torch.randn(
        3, channels * size**2, 9, 13, dtype=dtype, generator=torch.Generator().manual_seed(0)
    )


def random_rois(count):
    """Boxes on quarters of a pixel, many partly outside, some without extent."""
    generator = torch.Generator().manual_seed(2)
    corners = torch.randint(-160, 1000, (count, 2, 2), generator=generator).sort(1).values / 4
    corners[::10, 1] = corners[::10, 0]
    image = torch.randint(0, 3, (count, 1), generator=generator).float()
    return torch.cat([image, corners.flatten(1)], dim=1)


def value_and_gradient(pool, features, rois, size, **how):
    features = features.clone().requires_grad_()
    pooled = pool(features, rois, size, SCALE, **how)
    weights = torch.randn(pooled.shape, generator=torch.Generator().manual_seed(1)).to(pooled.dtype)
    (gradient,) = torch.autograd.grad((pooled * weights).sum(), features)
    return pooled.detach(), gradient


def bin_of(maps, roi, size, channel, i, j):
    """The map (H, W) that bin (i, j) of a RoI reads for an output channel."""
    return maps[int(roi[0]), (channel * size + i) * size + j]


def bilinear(plane, y, x):
    height, width = plane.shape
    if y < -1 or y > height or x < -1 or x > width:
        return 0.0
    y, x = min(max(y, 0), height - 1), min(max(x, 0), width - 1)
    top, left = floor(y), floor(x)
    bottom, right = min(top + 1, height - 1), min(left + 1, width - 1)
    upper = plane[top, left] * (1 - x + left) + plane[top, right] * (x - left)
    lower = plane[bottom, left] * (1 - x + left) + plane[bottom, right] * (x - left)
    return upper * (1 - y + top) + lower * (y - top)


def align_by_loops(maps, rois, size, scale, samples):
    pooled = torch.zeros(len(rois), maps.shape[1] // size**2, size, size, dtype=maps.dtype)
    for index in torch.cartesian_prod(*(torch.arange(n) for n in pooled.shape)).tolist():
        r, channel, i, j = index
        x1, y1, x2, y2 = (side * scale - 0.5 for side in rois[r, 1:].tolist())
        plane = bin_of(maps, rois[r], size, channel, i, j)
        for a in range(samples):
            for b in range(samples):
                y = y1 + (y2 - y1) / size * (i + (a + 0.5) / samples)
                x = x1 + (x2 - x1) / size * (j + (b + 0.5) / samples)
                pooled[tuple(index)] += bilinear(plane, y, x) / samples**2
    return pooled


def cells_of(start, end, size, number, length):
    """First and last + 1 of the cells of a bin, by R-FCN's rule for an inclusive interval [start,
    end] px."""
    start, end = (
        floor(abs(Fraction(side)) + Fraction(1, 2)) * (1 if side >= 0 else -1)
        for side in (start, end)
    )
    first, extent = Fraction(start, 16), max(Fraction(end + 1 - start, 16), Fraction(1, 10))
    edges = floor(first + number * extent / size), ceil(first + (number + 1) * extent / size)
    return tuple(min(max(edge, 0), length) for edge in edges)


def pool_by_loops(maps, rois, size):
    pooled = torch.zeros(len(rois), maps.shape[1] // size**2, size, size, dtype=maps.dtype)
    for index in torch.cartesian_prod(*(torch.arange(n) for n in pooled.shape)).tolist():
        r, channel, i, j = index
        x1, y1, x2, y2 = rois[r, 1:].tolist()
        top, bottom = cells_of(y1, y2 - 1, size, i, maps.shape[2])
        left, right = cells_of(x1, x2 - 1, size, j, maps.shape[3])
        if bottom > top and right > left:
            pooled[tuple(index)] = bin_of(maps, rois[r], size, channel, i, j)[
                top:bottom, left:right
            ].mean()
    return pooled


# The worked example: map channel m is EXAMPLE_PLANE + 100 m, 2 classes, 2 x 2 bins, stride 16.
# Boxes for the pooling are inclusive pixels. Means of whole cells follow from the bins by hand: the
# first is rows 0..2, columns 0..2, or (0 + 1 + 2 + 10 + 11.5 + 13 + 20 + 22 + 22.5) / 9 = 11.333.
EXAMPLE_PLANE = torch.tensor([
    [0.0, 1, 2, 3, 4, 5], [10, 11.5, 13, 13, 14.5, 16], [20, 22, 22.5, 23, 25, 25.5],
    [30, 31, 32, 33, 34, 35], [40, 41.5, 43, 43, 44.5, 46]], dtype=torch.float64)  # fmt: skip
EXAMPLE_MAPS = (EXAMPLE_PLANE + 100 * torch.arange(8)[:, None, None])[None]
EXAMPLE_BOXES = torch.tensor(
    [[10.0, 6, 70, 58], [0, 0, 95, 79], [33.4, 17.6, 40.2, 20.1], [64, 48, 120, 100]],
    dtype=torch.float64,
)
# of class 0, bins (0, 0), (0, 1), (1, 0), (1, 1): cells (rows, columns), first and last + 1
EXAMPLE_BINS = [
    [((0, 3), (0, 3)), ((0, 3), (2, 5)), ((2, 4), (0, 3)), ((2, 4), (2, 5))],
    [((0, 3), (0, 3)), ((0, 3), (3, 6)), ((2, 5), (0, 3)), ((2, 5), (3, 6))],
    [((1, 2), (2, 3)), ((1, 2), (2, 3)), ((1, 2), (2, 3)), ((1, 2), (2, 3))],
    [((3, 5), (4, 6)), ((3, 5), (5, 6)), ((4, 5), (4, 6)), ((4, 5), (5, 6))],
]
EXAMPLE_POOLED = torch.tensor([
    [34 / 3, 340 / 3, 226.25, 328.25], [34 / 3, 343 / 3, 694 / 3, 1003 / 3], [13, 113, 213, 313],
    [39.875, 140.5, 245.25, 346]], dtype=torch.float64)  # fmt: skip
EXAMPLE_ALIGNED = torch.tensor([
    [[8.2840576171875, 110.0462646484375, 224.606689453125, 326.2791748046875],
     [408.2840576171875, 510.0462646484375, 624.606689453125, 726.2791748046875]],
    [[8.593788146972656, 111.55518341064453, 233.30847930908203, 336.26920318603516],
     [408.59378814697266, 511.55518341064453, 633.308479309082, 736.2692031860352]],
    [[8.625581054687501, 108.9059814453125, 209.47299316406247, 309.7616943359375],
     [408.6255810546875, 508.90598144531253, 609.4729931640625, 709.7616943359376]],
    [[37.782958984375, 69.25390625, 122.53125, 86.5],
     [437.782958984375, 269.25390625, 322.53125, 186.5]]], dtype=torch.float64)  # fmt: skip


def example_rois(inclusive):
    boxes = EXAMPLE_BOXES + (EXAMPLE_BOXES.new_tensor([0, 0, 1, 1]) if inclusive else 0)
    return torch.cat([boxes.new_zeros(len(boxes), 1), boxes], dim=1)


def test_the_worked_example_pools():
    pooled = ps_roi_pool(EXAMPLE_MAPS, example_rois(inclusive=True), 2, SCALE).flatten(2)
    torch.testing.assert_close(pooled[:, 0], EXAMPLE_POOLED)
    torch.testing.assert_close(pooled[:, 1], EXAMPLE_POOLED + 400)
    votes = torch.tensor(
        [169.79166666666666, 172.83333333333331, 163.0, 192.90625], dtype=torch.float64
    )
    torch.testing.assert_close(pooled.mean(2), torch.stack([votes, votes + 400], dim=1))


def test_the_worked_example_aligns():
    pooled = ps_roi_align(EXAMPLE_MAPS, example_rois(inclusive=False), 2, SCALE)
    torch.testing.assert_close(pooled.flatten(2), EXAMPLE_ALIGNED)


def test_the_gradient_goes_to_exactly_the_cells_of_the_bin():
    for roi, bins in zip(example_rois(inclusive=True), EXAMPLE_BINS, strict=True):
        for number, ((top, bottom), (left, right)) in enumerate(bins):
            maps = EXAMPLE_MAPS.clone().requires_grad_()
            ps_roi_pool(maps, roi[None], 2, SCALE)[0, 0].flatten()[number].backward()
            wanted = torch.zeros_like(maps)
            wanted[0, number, top:bottom, left:right] = 1 / ((bottom - top) * (right - left))
            torch.testing.assert_close(maps.grad, wanted, atol=1e-12, rtol=0)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("sampling_ratio", [1, 2, 3])
@pytest.mark.parametrize("rois", [ROIS, random_rois(200)])
def test_align_equals_torchvision(dtype, sampling_ratio, rois):
    for size in (1, 3, 7):
        ours, theirs = (
            value_and_gradient(
                pool,
                feature_maps(size, dtype=dtype),
                rois.to(dtype),
                size,
                sampling_ratio=sampling_ratio,
            )
            for pool in (ps_roi_align, ops.ps_roi_align)
        )
        torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("size", [1, 3])
def test_align_equals_loops(size):
    rois, maps = ROIS.double(), feature_maps(size, dtype=torch.float64)
    torch.testing.assert_close(
        ps_roi_align(maps, rois, size, SCALE), align_by_loops(maps, rois, size, SCALE, 2)
    )


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("size", [1, 2, 7])
def test_pool_equals_loops_with_exact_fractions(dtype, size):
    maps = feature_maps(size, channels=1, dtype=dtype)
    for rois in (ROIS, random_rois(40)):
        torch.testing.assert_close(
            ps_roi_pool(maps, rois, size, SCALE), pool_by_loops(maps, rois, size)
        )


@pytest.mark.parametrize("pool", [ps_roi_align, ps_roi_pool])
def test_gradient_is_the_numerical_one(pool):
    maps = torch.randn(
        2, 4, 2, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0)
    ).requires_grad_()
    rois = torch.tensor(
        [[0.0, 5, 3, 40, 30], [1.0, -20, 10, 30, 50], [0.0, 32, 16, 48, 32]], dtype=torch.float64
    )
    assert torch.autograd.gradcheck(lambda given: pool(given, rois, 2, SCALE), (maps,))


def test_a_constant_map_pools_to_its_constant_also_in_the_last_row_and_column():
    maps = torch.full((1, 9, 9, 13), 7.0)
    inside = torch.tensor(
        [[0.0, 0, 0, 208, 144], [0.0, 192, 128, 208, 144], [0.0, 204, 140, 208, 144]]
    )
    torch.testing.assert_close(ps_roi_pool(maps, inside, 3, SCALE), torch.full((3, 1, 3, 3), 7.0))
    half_out = ps_roi_pool(
        maps[:, :4], torch.tensor([[0.0, 160, 0, 256, 144]]), 2, SCALE
    )  # cells 10..15 of 13
    torch.testing.assert_close(half_out, torch.tensor([[[[7.0, 0.0], [7.0, 0.0]]]]))


def test_a_small_bin_beside_large_values_keeps_its_digits():
    """In float32 the integral image would be 1e6 +- 0.06 here."""
    maps = torch.full((1, 1, 40, 64), 1000.0)
    maps[0, 0, 39, 63] = 0.125
    assert ps_roi_pool(maps, torch.tensor([[0.0, 1008, 624, 1024, 640]]), 1, SCALE).item() == 0.125


@pytest.mark.parametrize("pools", BOTH)
def test_batched_is_the_same_with_boxes_sorted_by_image(pools):
    pool, pool_batched = pools
    index = torch.arange(3.0).repeat_interleave(4)[:, None]
    flat = pool(feature_maps(4), torch.cat([index, ROIS[:, 1:]], dim=1), 4, SCALE)
    batched = pool_batched(feature_maps(4), ROIS[:, 1:].reshape(3, 4, 4), 4, SCALE)
    assert batched.shape == (3, 4, 2, 4, 4)
    torch.testing.assert_close(batched.flatten(0, 1), flat)


@pytest.mark.parametrize("pools", BOTH)
def test_no_rois(pools):
    pool, pool_batched = pools
    features = feature_maps(7).requires_grad_()
    pooled = pool(features, torch.zeros(0, 5), 7, SCALE)
    assert pooled.shape == (0, 2, 7, 7)
    pooled.sum().backward()
    assert not features.grad.any()
    assert pool_batched(feature_maps(7), torch.zeros(3, 0, 4), 7, SCALE).shape == (3, 0, 2, 7, 7)
    assert pool_batched(feature_maps(7)[:0], torch.zeros(0, 5, 4), 7, SCALE).shape == (
        0,
        5,
        2,
        7,
        7,
    )


@pytest.mark.parametrize("pool", [ps_roi_align, ps_roi_pool])
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_maps_are_summed_in_float32(pool, dtype):
    maps = feature_maps(3).to(dtype)
    (pooled, gradient), (wanted, wanted_gradient) = (
        value_and_gradient(pool, given, ROIS, 3) for given in (maps, maps.float())
    )
    assert pooled.dtype == gradient.dtype == dtype
    torch.testing.assert_close(pooled, wanted.to(dtype))
    epsilon = torch.finfo(dtype).eps
    torch.testing.assert_close(
        gradient.float(), wanted_gradient, atol=20 * epsilon, rtol=20 * epsilon
    )


@pytest.mark.parametrize("pool", [ps_roi_align, ps_roi_pool])
def test_channels_last_changes_nothing(pool):
    features = feature_maps(3)
    last = features.contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(
        value_and_gradient(pool, last, ROIS, 3), value_and_gradient(pool, features, ROIS, 3)
    )


@pytest.mark.fault("R58")
@pytest.mark.parametrize("pool", [ps_roi_align, ps_roi_pool])
@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
def test_a_box_that_is_not_finite_is_a_sentence(pool, bad, monkeypatch):
    rois = ROIS.clone()
    rois[3, 2] = bad
    with pytest.raises(
        ValueError,
        match="1 of 12 RoIs given to RoI pooling are not finite: the network has diverged",
    ):
        pool(feature_maps(3), rois, 3, SCALE)
    monkeypatch.setattr(
        module, "check_finite", lambda rois: None
    )  # as on CUDA: no crash, and the other RoIs are right
    pooled = pool(feature_maps(3), rois, 3, SCALE)
    others = torch.arange(12) != 3
    torch.testing.assert_close(pooled[others], pool(feature_maps(3), ROIS, 3, SCALE)[others])


@pytest.mark.parametrize("pool", [ps_roi_align, ps_roi_pool])
def test_a_nan_that_is_not_caught_stays_nan(pool, monkeypatch):
    monkeypatch.setattr(module, "check_finite", lambda rois: None)
    rois = torch.tensor([[0.0, 0.0, float("nan"), 64.0, 64.0]])
    assert pool(feature_maps(3), rois, 3, SCALE).isnan().all()


@pytest.mark.parametrize("pool", [ps_roi_align, ps_roi_pool])
def test_what_a_gpu_computes_is_the_same(pool, monkeypatch):
    """All cells that a bin may read, or the corners of the integral image, without waiting."""
    rois = torch.cat([ROIS, random_rois(40)])
    here = value_and_gradient(pool, feature_maps(3), rois, 3)
    monkeypatch.setattr(module, "on_cpu", lambda values: False)
    torch.testing.assert_close(
        value_and_gradient(pool, feature_maps(3), rois, 3), here, atol=1e-5, rtol=1e-5
    )


@pytest.mark.parametrize("sampling_ratio", [0, -1])
def test_adaptive_sampling_is_a_sentence(sampling_ratio):
    with pytest.raises(
        ValueError, match=r"at least 1 sample a bin side, not .*: an adaptive count is 0 for a RoI"
    ):
        ps_roi_align(feature_maps(3), ROIS, 3, SCALE, sampling_ratio)


@pytest.mark.parametrize(
    "pool", [ps_roi_pool, ps_roi_align, partial(ps_roi_align, sampling_ratio=1)]
)
def test_channels_that_are_no_multiple_of_the_bins_are_a_sentence(pool):
    with pytest.raises(ValueError, match="into 7 x 7 bins needs a multiple of 49 channels, not 18"):
        pool(feature_maps(3), ROIS, 7, SCALE)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("pool", [ps_roi_align_batched, ps_roi_pool_batched])
def test_cuda_equals_cpu_and_does_not_wait_for_the_device(pool):
    maps = torch.randn(2, 2 * 9, 12, 15, generator=torch.Generator().manual_seed(0))
    corner = torch.rand(2, 20, 2, generator=torch.Generator().manual_seed(1)) * 100
    boxes = torch.cat([corner, corner + 60], dim=-1)
    found = []
    for device in ("cpu", "cuda"):
        here, rois = maps.to(device).requires_grad_(), boxes.to(device)
        try:
            if device == "cuda":
                torch.cuda.synchronize()
                torch.cuda.set_sync_debug_mode("error")
            pooled = pool(here, rois, 3, 1 / 16)
            (gradient,) = torch.autograd.grad(pooled.sum(), here)
        finally:
            if device == "cuda":
                torch.cuda.set_sync_debug_mode("default")
        found.append((pooled.detach().cpu(), gradient.cpu()))
    for mine, theirs in zip(*found, strict=True):
        torch.testing.assert_close(mine, theirs, atol=1e-4, rtol=1e-4)
