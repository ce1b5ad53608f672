"""Precise RoI pooling against numbers computed independently, numerical integration, and average
pooling."""

import pytest
import torch
from torch.nn import functional as F

from data.boxes import sort_corners
from models.pooling import prroi_pool as module
from models.pooling.prroi_pool import hat_integral, multi_level_prroi, prroi_pool
from models.pooling.reference import prroi_by_products

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
    [2.0, 5.0, 100.0, 207.0, 104.0],  # flat
    [1.0, 100.0, 3.0, 103.0, 140.0],  # narrow
])  # fmt: skip
WITHOUT_AREA = torch.tensor(
    [[0.0, 64, 64, 64, 64], [1.0, 20, 30, 20, 90], [2.0, 20, 30, 90, 30], [1.0, 90, 80, 30, 20]]
)

# The values are those of an independent script in float64, checked there by brute-force
# integration. F[y, x] = n^1.5 of the cell's number n, a map of 4 x 5 cells; the box is in cells,
# and the one of BORDER sticks out on all sides.
GOLDEN_MAP = (torch.arange(20.0) ** 1.5).reshape(1, 1, 4, 5)
GOLDEN_BOX, GOLDEN = [0.6, 0.2, 3.9, 3.3], [[17.395082, 23.796576], [50.697936, 59.855659]]
GOLDEN_GRADIENT = [
    9.11462,
    40.10161,
    9.68626,
    15.84892,
]  # of the sum of the four bins, by x1, y1, x2, y2
BORDER_BOX, BORDER = [-0.5, -0.5, 5.0, 4.0], 26.529843


def feature_maps(dtype=torch.float32, channels=3):
    return torch.randn(3, channels, 9, 13, dtype=dtype, generator=torch.Generator().manual_seed(0))


def value_and_gradients(pool, features, rois, *arguments):
    """Pooled values and the gradients of their randomly weighted sum by the features and by the
    boxes."""
    features, rois = features.clone().requires_grad_(), rois.clone().requires_grad_()
    pooled = pool(features, rois, *arguments)
    weights = torch.randn(
        pooled.shape, dtype=pooled.dtype, generator=torch.Generator().manual_seed(1)
    )
    return pooled.detach(), *torch.autograd.grad((pooled * weights).sum(), (features, rois))


def integrated(features, roi, size, scale, samples=300):
    """The mean of the interpolated map over a grid of points in each bin: the midpoint rule, sample
    by sample."""
    image, box = int(roi[0]), roi[1:].double() * scale
    _, _, height, width = features.shape

    def hats(start, end, length):  # (bins * samples, length)
        t = start + (end - start) * (torch.arange(size * samples, dtype=torch.float64) + 0.5) / (
            size * samples
        )
        return (1 - (t[:, None] - torch.arange(length)).abs()).clamp(min=0)

    values = hats(box[1], box[3], height) @ features[image].double() @ hats(box[0], box[2], width).T
    return F.avg_pool2d(values, samples)


def test_worked_example():
    box = torch.tensor([GOLDEN_BOX], requires_grad=True)
    pooled = prroi_pool(GOLDEN_MAP, F.pad(box, (1, 0)), 2, 1.0)
    torch.testing.assert_close(pooled[0, 0], torch.tensor(GOLDEN))
    (gradient,) = torch.autograd.grad(pooled.sum(), box)
    torch.testing.assert_close(gradient[0], torch.tensor(GOLDEN_GRADIENT))


def test_worked_example_of_a_box_that_sticks_out():
    pooled = prroi_pool(GOLDEN_MAP, torch.tensor([[0.0, *BORDER_BOX]]), 1, 1.0)
    assert pooled.item() == pytest.approx(BORDER)


def test_the_border_falls_to_zero_within_one_cell():
    """One cell of value 1: the hat's integral over [0, 1] is 1/2 on each axis, over [-1, 1] it is
    1, beyond nothing."""
    cell = torch.ones(1, 1, 1, 1)
    rois = torch.tensor(
        [[0.0, 0, 0, 1, 1], [0.0, -1, -1, 1, 1], [0.0, 1, 0, 2, 1], [0.0, -3, -3, 3, 3]]
    )
    assert prroi_pool(cell, rois, 1, 1.0).flatten().tolist() == pytest.approx(
        [1 / 4, 1 / 4, 0, 1 / 36]
    )


def test_the_integral_of_the_hat():
    t = torch.tensor([-2.0, -1, -0.5, 0, 0.5, 1, 2], requires_grad=True)
    values = hat_integral(t)
    torch.testing.assert_close(values, torch.tensor([0, 0, 0.125, 0.5, 0.875, 1, 1]))
    (slope,) = torch.autograd.grad(values.sum(), t)
    torch.testing.assert_close(slope, torch.tensor([0, 0, 0.5, 1, 0.5, 0, 0]))


@pytest.mark.parametrize("size", [1, 3])
def test_equals_numerical_integration(size):
    features = feature_maps()
    expected = torch.stack([integrated(features, roi, size, SCALE) for roi in ROIS])
    torch.testing.assert_close(
        prroi_pool(features, ROIS, size, SCALE).double(), expected, atol=1e-4, rtol=1e-3
    )


def test_equals_average_pooling():
    """Bins of 2 px at a scale of 1/2 are one cell wide and centered between four cells: their
    mean."""
    features = torch.rand(1, 2, 16, 28, generator=torch.Generator().manual_seed(2))
    rois = torch.tensor([[0.0, 0, 0, 14, 14], [0.0, 14, 0, 28, 14], [0.0, 28, 14, 42, 28]])
    means = F.avg_pool2d(features, 2, stride=1)
    expected = torch.stack(
        [means[0, :, y : y + 7, x : x + 7] for y, x in ((0, 0), (0, 7), (7, 14))]
    )
    torch.testing.assert_close(prroi_pool(features, rois, 7, 0.5), expected)


def test_a_constant_stays_constant_inside_and_a_plane_gives_its_value_at_the_center():
    inside = torch.tensor([[0.0, 3, 5, 170, 120], [0.0, 40, 40, 41, 100]])
    constant = torch.full((1, 1, 9, 13), 2.5)
    torch.testing.assert_close(
        prroi_pool(constant, inside, 3, SCALE), torch.full((2, 1, 3, 3), 2.5)
    )
    plane = torch.arange(13.0) + 10 * torch.arange(9.0)[:, None]
    pooled = prroi_pool(
        plane[None, None], torch.tensor([[0.0, 32, 16, 96, 80]]), 2, SCALE
    )  # cells 2..6, 1..5
    torch.testing.assert_close(
        pooled[0, 0], torch.tensor([[23.0, 25], [43, 45]])
    )  # centers 3, 5 and 2, 4


def test_the_mean_of_the_bins_is_the_single_bin():
    whole = prroi_pool(feature_maps(), ROIS, 1, SCALE)
    for size in (2, 7):
        mean = prroi_pool(feature_maps(), ROIS, size, SCALE).mean((2, 3), keepdim=True)
        torch.testing.assert_close(mean, whole, atol=1e-5, rtol=1e-4)


def test_gradients_are_the_numerical_ones():
    features = feature_maps(torch.float64)[:2, :2, :4, :5].requires_grad_()
    boxes = torch.tensor(
        [[5, 3, 60, 50], [-20, 10, 30, 90], [31, 22, 35, 27]],
        dtype=torch.float64,
        requires_grad=True,
    )
    image = torch.tensor([[1.0], [0.0], [1.0]], dtype=torch.float64)
    assert torch.autograd.gradcheck(
        lambda maps, boxes: prroi_pool(maps, torch.cat([image, boxes], 1), 2, SCALE),
        (features, boxes),
    )


def test_a_box_without_area_pools_to_zero_and_pulls_on_nothing():
    pooled, *gradients = value_and_gradients(prroi_pool, feature_maps(), WITHOUT_AREA, 3, SCALE)
    assert not pooled.any()
    assert not any(gradient.any() for gradient in gradients)


def test_a_tiny_box_far_from_the_origin_is_still_a_mean():
    """In float32 the cells near 1000 are 6e-5 apart, so an edge may be rounded by more than the bin
    is long."""
    rois = torch.tensor([[0.0, 1000.3, 1000.3, 1000.3004, 1000.3004]]) / 2
    pooled = prroi_pool(torch.full((1, 1, 1003, 1003), 3.0), rois, 2, 2.0)
    real = pooled[pooled != 0]
    assert len(real)
    torch.testing.assert_close(real, torch.full_like(real, 3.0), rtol=0.02, atol=0)


@pytest.mark.fault("R58")
@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_a_box_that_is_not_finite_is_a_sentence(bad):
    rois = ROIS.clone()
    rois[3, 2] = bad
    with pytest.raises(
        ValueError,
        match="1 of 9 RoIs given to RoI pooling are not finite: the network has diverged",
    ):
        prroi_pool(feature_maps(), rois, 7, SCALE)
    with pytest.raises(
        ValueError,
        match="1 of 9 RoIs given to RoI pooling are not finite: the network has diverged",
    ):
        multi_level_prroi([feature_maps()], rois[None, :, 1:].expand(3, -1, -1)[:1], 7, [16])


def test_equals_two_matrix_products():
    """Values, and gradients of maps and boxes, also far outside and far larger than the map."""
    boxes = sort_corners(torch.rand(40, 4, generator=torch.Generator().manual_seed(3)) * 250 - 30)
    far = torch.tensor([[-5000.0, -4000, 6000, 3000], [1e5, 1e5, 2e5, 2e5], [-1e5, 0, -1e4, 9]])
    rois = torch.cat([torch.arange(43.0)[:, None] % 3, torch.cat([boxes, far])], dim=1)
    rois = torch.cat([rois, WITHOUT_AREA, rois[:5]]).double()
    ours, products = (
        value_and_gradients(pool, feature_maps(torch.float64), rois, 4, SCALE)
        for pool in (prroi_pool, prroi_by_products)
    )
    torch.testing.assert_close(ours, products)


def test_a_nan_that_is_not_caught_stays_nan(monkeypatch):
    monkeypatch.setattr(module, "check_finite", lambda rois: None)
    rois = torch.tensor([[0.0, 0.0, float("nan"), 64.0, 64.0], [0.0, 0.0, 0.0, 64.0, 64.0]])
    first, second = prroi_pool(feature_maps(), rois, 3, SCALE)
    assert first.isnan().all()
    assert second.isfinite().all()


def test_a_tall_map_is_a_wide_one_turned_round():
    turned = ROIS[:, [0, 2, 1, 4, 3]]
    ours = value_and_gradients(prroi_pool, feature_maps().transpose(2, 3), turned, 4, SCALE)
    pooled, features, rois = value_and_gradients(
        lambda *arguments: prroi_pool(*arguments).transpose(2, 3), feature_maps(), ROIS, 4, SCALE
    )
    torch.testing.assert_close(
        ours, (pooled, features.transpose(2, 3), rois[:, [0, 2, 1, 4, 3]]), atol=1e-5, rtol=1e-4
    )


def test_one_level_is_prroi_pool():
    boxes = ROIS[:, 1:].reshape(3, 3, 4)
    rois = torch.cat([torch.arange(3.0).repeat_interleave(3)[:, None], ROIS[:, 1:]], dim=1)
    pooled, features, slopes = value_and_gradients(
        lambda maps, boxes: multi_level_prroi((maps,), boxes, 4, [16]), feature_maps(), boxes
    )
    assert pooled.shape == (3, 3, 3, 4, 4)
    flat = value_and_gradients(prroi_pool, feature_maps(), rois, 4, SCALE)
    torch.testing.assert_close(
        (pooled.flatten(0, 1), features, slopes.flatten(0, 1)), (flat[0], flat[1], flat[2][:, 1:])
    )


def test_each_box_is_pooled_from_its_level():
    """With a canonical size of 32 px on level 2, sides of 8, 16, 32 and 64 px and more belong to
    levels 0, 1, 2 and 3."""
    generator = torch.Generator().manual_seed(4)
    strides = [2, 4, 8, 16]
    maps = [
        torch.randn(2, 3, 64 // stride, 96 // stride, generator=generator)
        for stride in (*strides, 32)
    ]
    sides = torch.tensor([[64.0, 8, 17, 40, 9], [33, 12, 200, 4, 70]])
    level = torch.tensor([[3, 0, 1, 2, 0], [2, 0, 3, 0, 3]])
    corner = torch.rand(2, 5, 2, generator=generator) * 20
    boxes = torch.cat([corner, corner + sides[..., None]], dim=-1).requires_grad_()
    pooled = multi_level_prroi(maps, boxes, 3, strides, canonical_size=32.0)
    assert pooled.shape == (2, 5, 3, 3, 3)
    expected = torch.stack(
        [
            torch.stack(
                [
                    prroi_pool(
                        maps[level[n, p]][[n]],
                        F.pad(boxes[n, [p]], (1, 0)),
                        3,
                        1 / strides[level[n, p]],
                    )[0]
                    for p in range(5)
                ]
            )
            for n in range(2)
        ]
    )
    torch.testing.assert_close(pooled, expected)
    torch.testing.assert_close(
        *(torch.autograd.grad(values.square().sum(), boxes)[0] for values in (pooled, expected))
    )


def test_no_rois():
    features = feature_maps().requires_grad_()
    pooled = prroi_pool(features, torch.zeros(0, 5), 7, SCALE)
    assert pooled.shape == (0, 3, 7, 7)
    pooled.sum().backward()
    assert not features.grad.any()
    assert prroi_pool(feature_maps()[:0], torch.zeros(0, 5), 7, SCALE).shape == (0, 3, 7, 7)
    assert multi_level_prroi([feature_maps()], torch.zeros(3, 0, 4), 7, [16]).shape == (
        3,
        0,
        3,
        7,
        7,
    )
    assert multi_level_prroi([feature_maps()[:0]], torch.zeros(0, 5, 4), 7, [16]).shape == (
        0,
        5,
        3,
        7,
        7,
    )


def test_boxes_are_placed_in_float32_when_features_are_half():
    features = torch.arange(100.0).expand(1, 1, 3, 100).bfloat16()
    rois = torch.tensor(
        [[0.0, 1041.0, 0, 1047, 32]]
    )  # one value in bfloat16; center 1044 px is cell 65.25
    pooled = prroi_pool(features, rois, 1, SCALE)
    assert pooled.dtype == torch.bfloat16
    assert pooled.item() == pytest.approx(65.25, abs=0.3)
