"""RoIAlign against torchvision's kernel, values and gradients; RoI max pooling against the Caffe
rule in plain Python."""

import math

import pytest
import torch
from torchvision import ops

from data.boxes import sort_corners
from models.pooling.reference import roi_align_by_products
from models.pooling.roi_align import roi_align, roi_align_batched, roi_max_pool

SCALE = 1 / 16
# image index, box px; the images are 208 x 144 px (13 x 9 cells)
ROIS = torch.tensor([
    [1.0, 10.3, 20.7, 100.2, 90.9],
    [0.0, 0.0, 0.0, 208.0, 144.0],
    [2.0, -50.0, -30.0, 60.0, 70.0],  # partly outside, above and left
    [0.0, 150.0, 100.0, 300.0, 260.0],  # partly outside, below and right
    [1.0, 500.0, 500.0, 700.0, 600.0],  # wholly outside
    [0.0, -300.0, -300.0, -100.0, -200.0],
    [2.0, 33.0, 40.0, 33.5, 40.25],  # far below one cell
    [0.0, 64.0, 64.0, 64.0, 64.0],  # no extent
    [1.0, 90.0, 80.0, 30.0, 20.0],  # inverted
    [2.0, 5.0, 100.0, 207.0, 104.0],  # flat
])  # fmt: skip


def feature_maps(dtype=torch.float32, channels=3):
    return torch.randn(3, channels, 9, 13, dtype=dtype, generator=torch.Generator().manual_seed(0))


def value_and_gradient(pool, features, rois, size, **how):
    features = features.clone().requires_grad_()
    pooled = pool(features, rois, size, SCALE, **how)
    weights = torch.randn(
        pooled.shape, dtype=pooled.dtype, generator=torch.Generator().manual_seed(1)
    )
    (gradient,) = torch.autograd.grad((pooled * weights).sum(), features)
    return pooled.detach(), gradient


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("aligned", [False, True])
@pytest.mark.parametrize("sampling_ratio", [0, 1, 2, 3])
def test_equals_torchvision(dtype, aligned, sampling_ratio):
    for size in (1, 7):
        ours, theirs = (
            value_and_gradient(
                pool,
                feature_maps(dtype),
                ROIS.to(dtype),
                size,
                sampling_ratio=sampling_ratio,
                aligned=aligned,
            )
            for pool in (roi_align, ops.roi_align)
        )
        torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("aligned", [False, True])
@pytest.mark.parametrize("sampling_ratio", [0, 2])
def test_equals_torchvision_on_random_boxes(aligned, sampling_ratio):
    generator = torch.Generator().manual_seed(2)
    boxes = sort_corners(torch.rand(200, 4, generator=generator) * 300 - 50)
    rois = torch.cat([torch.randint(0, 3, (200, 1), generator=generator).float(), boxes], dim=1)
    ours, theirs = (
        value_and_gradient(
            pool, feature_maps(), rois, 5, sampling_ratio=sampling_ratio, aligned=aligned
        )
        for pool in (roi_align, ops.roi_align)
    )
    torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-4)


def test_a_linear_ramp_is_sampled_exactly():
    """On f(x, y) = x the mean over a bin is the x of its center, in cells."""
    ramp = torch.arange(13.0).expand(1, 1, 9, 13)
    pooled = roi_align(
        ramp, torch.tensor([[0.0, 32, 32, 96, 96]]), 2, SCALE, 2
    )  # cells 2..6: centers 3 and 5
    torch.testing.assert_close(pooled[0, 0], torch.tensor([[3.0, 5.0], [3.0, 5.0]]))


@pytest.mark.parametrize(
    ("roi", "aligned", "expected"),
    [
        (
            (10.0, 6.0, 70.0, 58.0),
            False,
            [[14.100830078125, 15.5931396484375], [29.9837646484375, 31.725830078125]],
        ),
        (
            (10.0, 6.0, 70.0, 58.0),
            True,
            [[8.2840576171875, 10.0462646484375], [24.606689453125, 26.2791748046875]],
        ),
        ((33.4, 17.6, 40.2, 20.1), False, [[16.3840625, 16.4715625], [21.2184375, 21.4309375]]),
        (
            (33.4, 17.6, 40.2, 20.1),
            True,
            [[8.625581054687501, 8.9059814453125], [9.472993164062501, 9.761694335937502]],
        ),
    ],
)
def test_worked_examples_with_adaptive_samples(roi, aligned, expected):
    """A map of 5 x 6 cells in two channels that differ by 100; the values are torchvision's kernel
    by hand in float64."""
    first = torch.tensor(
        [
            [0, 1, 2, 3, 4, 5],
            [10, 11.5, 13, 13, 14.5, 16],
            [20, 22, 22.5, 23, 25, 25.5],
            [30, 31, 32, 33, 34, 35],
            [40, 41.5, 43, 43, 44.5, 46],
        ]
    )
    pooled = roi_align(
        torch.stack([first, first + 100])[None], torch.tensor([[0.0, *roi]]), 2, SCALE, 0, aligned
    )
    wanted = torch.tensor(expected)
    torch.testing.assert_close(pooled[0], torch.stack([wanted, wanted + 100]), atol=1e-4, rtol=1e-5)


@pytest.mark.parametrize("sampling_ratio", [0, 2])
def test_all_boxes_inverted_and_aligned_pool_to_what_torchvision_gives(sampling_ratio):
    rois = torch.tensor([[0.0, 90, 80, 30, 20], [1.0, 90, 80, 30, 20]])
    ours, theirs = (
        pool(feature_maps(), rois, 3, SCALE, sampling_ratio, True)
        for pool in (roi_align, ops.roi_align)
    )
    torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-5)


def test_a_box_inverted_in_one_axis_has_no_adaptive_samples():
    """torchvision's CPU kernel asks for a negative amount of memory here."""
    pooled = roi_align(
        feature_maps(), torch.tensor([[0.0, 90, 20, 30, 80]]), 3, SCALE, 0, aligned=True
    )
    assert not pooled.any()


@pytest.mark.parametrize("sampling_ratio", [0, 2])
def test_no_rois(sampling_ratio):
    features = feature_maps().requires_grad_()
    pooled = roi_align(features, torch.zeros(0, 5), 7, SCALE, sampling_ratio)
    assert pooled.shape == (0, 3, 7, 7)
    pooled.sum().backward()
    assert not features.grad.any()
    assert roi_align_batched(
        feature_maps(), torch.zeros(3, 0, 4), 7, SCALE, sampling_ratio
    ).shape == (3, 0, 3, 7, 7)
    assert roi_align(feature_maps()[:0], torch.zeros(0, 5), 7, SCALE, sampling_ratio).shape == (
        0,
        3,
        7,
        7,
    )
    assert roi_max_pool(feature_maps(), torch.zeros(0, 5), 7, SCALE).shape == (0, 3, 7, 7)


@pytest.mark.parametrize("sampling_ratio", [0, 2])
def test_batched_is_the_same_with_boxes_sorted_by_image(sampling_ratio):
    boxes = ROIS[:9, 1:].reshape(3, 3, 4)
    index = torch.arange(3.0).repeat_interleave(3)[:, None]
    flat = roi_align(
        feature_maps(), torch.cat([index, ROIS[:9, 1:]], dim=1), 4, SCALE, sampling_ratio
    )
    batched = roi_align_batched(feature_maps(), boxes, 4, SCALE, sampling_ratio)
    assert batched.shape == (3, 3, 3, 4, 4)
    torch.testing.assert_close(batched.flatten(0, 1), flat)


def edge_rois(height, width, images):
    """RoIs in px of a map of height x width cells: tiny, huge, far outside, touching the border,
    on whole cells, and each of them twice."""
    right, bottom = width / SCALE, height / SCALE
    boxes = torch.tensor([
        [3.0, 4.0, 3.01, 4.02],
        [-400.0, -500.0, 600.0, 300.0],
        [5000.0, 5000.0, 5200.0, 5100.0],
        [0.0, 0.0, right, bottom],
        [right - 16, bottom - 16, right, bottom],
        [-16.0, -16.0, 0.0, 0.0],
        [right + 8, 0.0, right + 24, bottom],  # samples on both sides of one cell outside
        [16.0, 32.0, 128.0, 256.0],
        [-30.5, 0.25, right / 2, bottom + 40],
    ])  # fmt: skip
    boxes = boxes.repeat(2, 1)
    return torch.cat([torch.arange(len(boxes))[:, None] % images, boxes], dim=1)


@pytest.mark.parametrize("aligned", [False, True])
@pytest.mark.parametrize("sampling_ratio", [0, 1, 2])
@pytest.mark.parametrize("shape", [(2, 1, 1, 1), (1, 1, 20, 3), (3, 5, 9, 13)])
def test_equals_torchvision_on_edge_cases(shape, sampling_ratio, aligned):
    features = torch.randn(shape, generator=torch.Generator().manual_seed(3))
    rois = edge_rois(*shape[2:], images=shape[0])
    how = {"sampling_ratio": sampling_ratio, "aligned": aligned}
    for size in (1, 7, 14):
        ours, theirs = (
            value_and_gradient(pool, features, rois, size, **how)
            for pool in (roi_align, ops.roi_align)
        )
        torch.testing.assert_close(ours[0], theirs[0], atol=1e-5, rtol=1e-5)
        # a cell sums thousands of gradients
        torch.testing.assert_close(ours[1], theirs[1], atol=1e-4, rtol=1e-5)


@pytest.mark.parametrize("aligned", [False, True])
@pytest.mark.parametrize("sampling_ratio", [0, 2])
def test_equals_two_matrix_products(sampling_ratio, aligned):
    """Also for inverted boxes, for which torchvision's adaptive kernel cannot be asked."""
    rois = torch.cat([ROIS, torch.tensor([[0.0, 90, 20, 30, 80]]), edge_rois(9, 13, 3)])
    ours, products = (
        value_and_gradient(
            pool, feature_maps(), rois, 5, sampling_ratio=sampling_ratio, aligned=aligned
        )
        for pool in (roi_align, roi_align_by_products)
    )
    torch.testing.assert_close(ours, products, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("sampling_ratio", [0, 2])
def test_half_precision_rounds_the_features_and_nothing_else(dtype, sampling_ratio):
    maps = feature_maps(dtype)
    found = roi_align(maps, ROIS, 5, SCALE, sampling_ratio)
    assert torch.equal(found, roi_align(maps.float(), ROIS, 5, SCALE, sampling_ratio).to(dtype))


@pytest.mark.fault("R58")
@pytest.mark.parametrize("pool", [roi_align, roi_max_pool])
@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
def test_a_box_that_is_not_finite_is_a_sentence(pool, bad):
    rois = ROIS.clone()
    rois[3, 2] = bad
    with pytest.raises(
        ValueError,
        match="1 of 10 RoIs given to RoI pooling are not finite: the network has diverged",
    ):
        pool(feature_maps(), rois, 7, SCALE)


def test_gradient_is_the_numerical_one():
    features = feature_maps(torch.float64)[:1, :1, :4, :5].requires_grad_()
    rois = torch.tensor([[0.0, 5, 3, 60, 50], [0.0, -20, 10, 30, 90]], dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda maps: roi_align(maps, rois, 2, SCALE, 2), (features,))


def test_channels_last_changes_nothing():
    features = feature_maps()
    last = features.contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(
        roi_align(last, ROIS, 7, SCALE, 2), roi_align(features, ROIS, 7, SCALE, 2)
    )


def caffe_max_pool(features, rois, size, scale):
    """Fast R-CNN's layer, element by element: rounded cells, both ends inclusive, at least one
    cell, empty bins 0."""
    _, channels, height, width = features.shape
    pooled = torch.zeros(len(rois), channels, size, size)
    for r, (image, *box) in enumerate(rois.tolist()):
        x1, y1, x2, y2 = (
            math.floor(abs(side * scale) + 0.5) * (1 if side >= 0 else -1) for side in box
        )
        bin_h, bin_w = max(y2 - y1 + 1, 1) / size, max(x2 - x1 + 1, 1) / size
        for i in range(size):
            top, bottom = (
                min(max(edge + y1, 0), height)
                for edge in (math.floor(i * bin_h), math.ceil((i + 1) * bin_h))
            )
            for j in range(size):
                left, right = (
                    min(max(edge + x1, 0), width)
                    for edge in (math.floor(j * bin_w), math.ceil((j + 1) * bin_w))
                )
                if bottom > top and right > left:
                    pooled[r, :, i, j] = features[int(image), :, top:bottom, left:right].amax(
                        (1, 2)
                    )
    return pooled


def test_max_pool_is_the_caffe_rule_on_inclusive_boxes():
    inclusive = torch.tensor(
        [
            [0.0, 0, 0, 207, 143],
            [1.0, 16, 32, 79, 100],
            [2.0, 24, 40, 24, 40],
            [1.0, 7, 8, 120, 135],
            [0.0, 150, 100, 300, 260],
            [2.0, -40, -24, 50, 60],
        ]
    )
    continuous = inclusive + torch.tensor([0.0, 0, 0, 1, 1])
    for size in (2, 3):
        found = roi_max_pool(feature_maps(), continuous, size, SCALE)
        torch.testing.assert_close(found, caffe_max_pool(feature_maps(), inclusive, size, SCALE))


def test_max_pool_places_boxes_in_float32_when_features_are_half():
    features = torch.arange(100.0).expand(1, 1, 3, 100).bfloat16()
    rois = torch.tensor(
        [[0.0, 1043.0, 0, 1045, 48]]
    )  # 1042..1045 px are one value in bfloat16; cell 65
    assert roi_max_pool(features, rois, 1, SCALE).item() == 65
    assert roi_max_pool(features, rois, 1, SCALE).dtype == torch.bfloat16


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("sampling_ratio", [0, 2])
def test_cuda_equals_cpu_and_does_not_wait_where_samples_are_given(sampling_ratio):
    found = []
    for device in ("cpu", "cuda"):
        maps, rois = feature_maps().to(device).requires_grad_(), ROIS.to(device)
        roi_align(maps, rois, 7, SCALE, 2).sum().backward()  # memory and kernels
        waits = device == "cpu" or sampling_ratio == 0
        torch.cuda.set_sync_debug_mode("default" if waits else "error")
        try:
            pooled = roi_align(maps, rois, 7, SCALE, sampling_ratio)
            (gradient,) = torch.autograd.grad(pooled.sum(), maps)
        finally:
            torch.cuda.set_sync_debug_mode("default")
        found.append((pooled.detach().cpu(), gradient.cpu()))
    torch.testing.assert_close(*found, atol=1e-4, rtol=1e-4)
