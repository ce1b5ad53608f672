"""Box arithmetic against hand-checked numbers and torchvision; coders against kl_loss.json's encode
and decode tables.
"""

import math
from dataclasses import replace

import pytest
import torch
from torchvision import ops

from data.boxes import (
    CenterSizeCoder,
    EdgeCoder,
    area,
    box_iou,
    clip,
    flip_horizontal,
    intersection,
    resize_boxes,
    sides_xyxy,
    sort_corners,
)

# Inclusive pixels ("+1" rule): width = x2 - x1 + 1. The same boxes with continuous edges end one
# pixel later.
PLUS_ONE = torch.tensor([0.0, 0.0, 1.0, 1.0])
ROIS = torch.tensor([[100.0, 50, 199, 149], [10.0, 20, 49, 99], [0.0, 0, 31, 15]])
GT = torch.tensor([[110.0, 45, 209, 160], [8.0, 25, 57, 90], [0.0, 0, 31, 15]])
# first row, width 100: 10 * (110 - 100) / 100 = 1; y2: 10 * (160 - 149) / 100 = 1.1
HEAD_TARGETS = torch.tensor(
    [[1.0, -0.5, 1.0, 1.1], [-0.5, 0.625, 2.0, -1.125], [0.0, 0.0, 0.0, 0.0]]
)


def random_boxes(count, seed=0, size=300.0):
    generator = torch.Generator().manual_seed(seed)
    corners = torch.rand(count, 4, generator=generator) * size
    low, high = (
        torch.minimum(corners[:, :2], corners[:, 2:]),
        torch.maximum(corners[:, :2], corners[:, 2:]),
    )
    return torch.cat([low, high + 8], dim=1)


def test_area_and_intersection_of_boxes_one_can_check():
    boxes = torch.tensor([[0.0, 0, 4, 3], [2.0, 1, 6, 5], [5.0, 5, 4, 9]])
    assert area(boxes).tolist() == [12.0, 16.0, 0.0]  # the last is inverted
    assert intersection(boxes[:2], boxes[:2]).tolist() == [[12.0, 4.0], [4.0, 16.0]]
    assert sides_xyxy(boxes[:1]).tolist() == [[4.0, 3.0, 4.0, 3.0]]


def test_iou_equals_torchvision():
    first, second = random_boxes(40, 1), random_boxes(30, 2)
    torch.testing.assert_close(box_iou(first, second), ops.box_iou(first, second))


def test_iou_with_plus_one_is_iou_of_boxes_that_end_one_pixel_later():
    # 0..9 and 5..14 inclusive: 10 px each, 5 common in x; equal in y: 50 / (100 + 100 - 50)
    boxes = torch.tensor([[0.0, 0, 9, 9], [5.0, 0, 14, 9]]) + PLUS_ONE
    assert box_iou(boxes[:1], boxes[1:]).item() == pytest.approx(1 / 3)


def test_iou_of_degenerate_boxes_is_zero_not_nan():
    boxes = torch.tensor([[3.0, 3, 3, 3], [5.0, 5, 2, 2]])
    assert box_iou(boxes, boxes).tolist() == [[0.0, 0.0], [0.0, 0.0]]


def test_iou_takes_leading_dimensions():
    boxes = random_boxes(6).reshape(2, 3, 4)
    stacked = torch.stack([box_iou(one, one) for one in boxes])
    torch.testing.assert_close(box_iou(boxes, boxes), stacked)


@pytest.mark.parametrize(
    "coder",
    [
        EdgeCoder(),
        EdgeCoder(weight=1.0),
        CenterSizeCoder(),
        CenterSizeCoder(weights=(1.0, 1.0, 1.0, 1.0)),
    ],
)
def test_decode_of_encode_is_the_box(coder):
    boxes, references = random_boxes(50, 3), random_boxes(50, 4)
    wide = (boxes[:, 2:] - boxes[:, :2]) / (references[:, 2:] - references[:, :2])
    assert wide.max() < 62.5  # beyond, the decoder's limit acts
    torch.testing.assert_close(
        coder.decode(coder.encode(boxes, references), references), boxes, atol=1e-2, rtol=1e-4
    )


@pytest.mark.parametrize(("weight", "targets"), [(10.0, HEAD_TARGETS), (1.0, HEAD_TARGETS / 10)])
def test_edge_targets_of_the_released_code(weight, targets):
    found = EdgeCoder(weight=weight).encode(GT + PLUS_ONE, ROIS + PLUS_ONE)
    torch.testing.assert_close(found, targets, atol=1e-5, rtol=1e-5)


def test_edge_targets_without_plus_one():
    # first row, width 99: 10 * 10 / 99
    wanted = torch.tensor(
        [
            [1.010101, -0.505051, 1.010101, 1.111111],
            [-0.512821, 0.632911, 2.051282, -1.139241],
            [0.0, 0.0, 0.0, 0.0],
        ]
    )
    torch.testing.assert_close(EdgeCoder().encode(GT, ROIS), wanted, atol=1e-5, rtol=1e-5)


def test_edge_decode_with_the_limit_and_an_inverted_box():
    offsets = torch.tensor(
        [[1.2, -0.4, 0.9, 1.0], [-0.6, 0.7, 2.5, -1.3], [0.0, 800.0, -900.0, 0.5]]
    )
    # last row: 800 / 10 is limited to 62.5, so y1 = 0 + 62.5 * 16; -900 / 10 to -62.5, so x2 = 31 -
    # 62.5 * 32
    wanted = torch.tensor(
        [[112.0, 46, 208, 159], [7.6, 25.6, 59.0, 88.6], [0.0, 1000, -1969, 15.8]]
    )
    found = EdgeCoder().decode(offsets, ROIS + PLUS_ONE) - PLUS_ONE
    torch.testing.assert_close(found, wanted, atol=1e-4, rtol=1e-5)
    # clipped to the pixels of a 480 x 640 image: inclusive 0..479 is continuous 0..480
    inside = torch.tensor([[112.0, 46, 208, 159], [7.6, 25.6, 59.0, 88.6], [0.0, 479, 0, 15.8]])
    clipped = clip(found, (479, 639))
    torch.testing.assert_close(clipped, inside, atol=1e-4, rtol=1e-5)
    repaired = sort_corners(clipped)
    assert (repaired[:, 2:] >= repaired[:, :2]).all()
    torch.testing.assert_close(
        repaired[2], torch.tensor([0.0, 15.8, 0.0, 479.0]), atol=1e-4, rtol=1e-5
    )


def test_edge_roundtrip_of_the_listed_targets():
    found = EdgeCoder().decode(HEAD_TARGETS, ROIS + PLUS_ONE) - PLUS_ONE
    torch.testing.assert_close(found, GT, atol=1e-4, rtol=1e-5)


def test_center_size_targets_one_can_check():
    # center (50, 40) -> (60, 30) of a 100 x 40 reference; twice as wide, half as high
    reference, box = torch.tensor([[0.0, 20, 100, 60]]), torch.tensor([[-40.0, 20, 160, 40]])
    wanted = [[10 * 0.1, 10 * -0.25, 5 * math.log(2), 5 * math.log(0.5)]]
    torch.testing.assert_close(CenterSizeCoder().encode(box, reference), torch.tensor(wanted))


def test_center_size_decode_has_a_limit_and_stays_finite():
    found = CenterSizeCoder().decode(
        torch.tensor([[0.0, 0, 1e4, 1e4]]), torch.tensor([[0.0, 0, 16, 16]])
    )
    torch.testing.assert_close(found[0, 2] - found[0, 0], torch.tensor(16 * 62.5))


@pytest.mark.parametrize("coder", [EdgeCoder(), CenterSizeCoder()])
def test_half_precision_offsets_are_decoded_in_float32(coder):
    offsets = torch.tensor([[0.5, 0.25, -0.5, 1.0]])
    reference = torch.tensor([[301.0, 200, 403, 333]])
    found = coder.decode(offsets.half(), reference)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, coder.decode(offsets, reference))


def test_sigma_in_pixels():
    # 100 x 120 and 60 x 80 px
    proposals = torch.tensor([[100.0, 100, 199, 219], [400.0, 300, 459, 379]]) + PLUS_ONE
    log_variance = torch.tensor([[-2.0, -1.0, 0.0, 1.0], [0.5, -0.5, -3.0, 2.0]])
    # sigma = exp(alpha / 2) / 10 * side: exp(-1) / 10 * 100 = 3.678794
    sigma = torch.tensor(
        [[3.678794, 7.278368, 10.0, 19.784655], [7.704153, 6.230406, 1.338781, 21.746255]]
    )
    variance = torch.tensor(
        [[13.533528, 52.97464, 100.0, 391.432583], [59.353966, 38.817962, 1.792334, 472.89959]]
    )
    found = EdgeCoder().pixel_variances(log_variance.exp(), proposals)
    torch.testing.assert_close(found, variance, atol=1e-4, rtol=1e-5)
    torch.testing.assert_close(found.sqrt(), sigma, atol=1e-4, rtol=1e-5)


def test_flip_is_its_own_inverse_and_keeps_corners_in_order():
    boxes = random_boxes(20)
    once = flip_horizontal(boxes, 320.0)
    assert flip_horizontal(torch.tensor([[10.0, 1, 30, 2]]), 100.0).tolist() == [
        [70.0, 1.0, 90.0, 2.0]
    ]
    assert (once[:, 2:] > once[:, :2]).all()
    torch.testing.assert_close(flip_horizontal(once, 320.0), boxes)


def test_clip_moves_boxes_inside():
    boxes = torch.tensor([[-5.0, -6, 700, 500], [630.0, 470, 650, 490], [650.0, 490, 660, 500]])
    assert clip(boxes, (480, 640)).tolist() == [
        [0, 0, 640, 480],
        [630, 470, 640, 480],
        [640, 480, 640, 480],
    ]


def test_empty_goes_in_and_comes_out():
    none, some = torch.zeros(0, 4), random_boxes(3)
    assert area(none).shape == (0,)
    assert box_iou(none, some).shape == (0, 3)
    assert box_iou(some, none).shape == (3, 0)
    assert (
        clip(none, (4, 4)).shape
        == flip_horizontal(none, 4.0).shape
        == sort_corners(none).shape
        == (0, 4)
    )
    for coder in (EdgeCoder(), CenterSizeCoder()):
        assert coder.encode(none, none).shape == coder.decode(none, none).shape == (0, 4)
    assert EdgeCoder().pixel_variances(none, none).shape == (0, 4)


def test_center_size_coding_of_the_kl_rpn_baseline():
    """In inclusive pixels: anchor (-84, -40, 99, 55) is 184 x 96, the box (10, 20, 150, 90) is 141
    x 71.
    """
    one = torch.tensor([0.0, 0, 1, 1])
    anchor, box = torch.tensor([-84.0, -40, 99, 55]) + one, torch.tensor([10.0, 20, 150, 90]) + one
    coder = CenterSizeCoder(weights=(1.0, 1.0, 1.0, 1.0))
    offsets = coder.encode(box, anchor)
    expected = torch.tensor(
        [0.39402173913043476, 0.4947916666666667, -0.2661758672308174, -0.30166831442652076]
    )
    torch.testing.assert_close(offsets, expected)
    torch.testing.assert_close(
        coder.decode(offsets, anchor) - one, torch.tensor([10.0, 20, 150, 90])
    )
    baseline = replace(coder, minus_one=False)
    torch.testing.assert_close(
        baseline.decode(offsets, anchor) - one, torch.tensor([10.0, 20, 151, 91])
    )
    cell = torch.tensor([0.0, 0, 15, 15]) + one
    assert (coder.decode(torch.zeros(4), cell) - one).tolist() == [0, 0, 15, 15]
    assert (baseline.decode(torch.zeros(4), cell) - one).tolist() == [0, 0, 16, 16]


def test_resized_boxes_keep_their_place_in_the_image():
    """From 40 x 60 (height, width) to 80 x 90: x grows by 1.5 and y by 2."""
    boxes = torch.tensor([[0.0, 0, 60, 40], [10, 20, 30, 35]])
    resized = resize_boxes(boxes, (40, 60), (80, 90))
    assert resized.tolist() == [[0, 0, 90, 80], [15, 40, 45, 70]]
    torch.testing.assert_close(resize_boxes(resized, (80, 90), (40, 60)), boxes)
    assert resize_boxes(torch.zeros(0, 4), (40, 60), (80, 90)).shape == (0, 4)
