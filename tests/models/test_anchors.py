"""Anchors against the list that py-faster-rcnn's generate_anchors.py prints."""

import pytest
import torch
from torchvision.models.detection.anchor_utils import AnchorGenerator as TorchvisionAnchors
from torchvision.models.detection.image_list import ImageList

from models.anchors import AnchorGenerator, cell_anchors, corner_anchors, rounded_corner_anchors

# generate_anchors(): base 16, ratios .5, 1, 2, scales 8, 16, 32; 0-based inclusive pixels
PY_FASTER_RCNN = torch.tensor([
    [-84.0, -40, 99, 55], [-176, -88, 191, 103], [-360, -184, 375, 199],
    [-56, -56, 71, 71], [-120, -120, 135, 135], [-248, -248, 263, 263],
    [-36, -80, 51, 95], [-80, -168, 95, 183], [-168, -344, 183, 359],
])  # fmt: skip
RATIOS = (0.5, 1.0, 2.0)


def test_cell_anchors_are_py_faster_rcnns():
    continuous = PY_FASTER_RCNN + torch.tensor([0.0, 0, 1, 1])
    torch.testing.assert_close(cell_anchors((128.0, 256.0, 512.0), RATIOS), continuous)


def test_anchors_of_the_coco_recipes_add_scale_4():
    with_64 = cell_anchors((64.0, 128.0, 256.0, 512.0), RATIOS).reshape(3, 4, 4)
    old = torch.tensor([[-38.0, -16, 53, 31], [-24, -24, 39, 39], [-14, -36, 29, 51]])
    torch.testing.assert_close(with_64[:, 0], old + torch.tensor([0.0, 0, 1, 1]))
    torch.testing.assert_close(
        with_64[:, 1:].reshape(9, 4), cell_anchors((128.0, 256.0, 512.0), RATIOS)
    )


def test_grid_of_two_rows_and_three_columns():
    anchors = AnchorGenerator(sizes=[(128.0, 256.0, 512.0)], ratios=RATIOS, strides=(16,))(
        [torch.zeros(1, 1, 2, 3)], (32, 48)
    )[0]
    assert len(anchors) == 54
    inclusive = (anchors - torch.tensor([0.0, 0, 1, 1]))[[0, 9, 27, 53]]
    assert inclusive.tolist() == [
        [-84, -40, 99, 55],
        [-68, -40, 115, 55],
        [-84, -24, 99, 71],
        [-136, -328, 215, 375],
    ]


def test_square_anchors_have_the_size_that_names_them():
    boxes = cell_anchors((16.0, 64.0), (1.0,))
    assert boxes.tolist() == [[0, 0, 16, 16], [-24, -24, 40, 40]]


def test_order_is_row_then_column_then_ratio_then_size():
    generator = AnchorGenerator(sizes=[(128.0, 256.0, 512.0)], ratios=RATIOS, strides=(16,))
    (anchors,) = generator([torch.zeros(2, 8, 3, 5)], (48, 80))
    assert generator.per_position == 9
    assert anchors.shape == (3 * 5 * 9, 4)
    grid = anchors.reshape(3, 5, 9, 4)
    torch.testing.assert_close(grid[0, 0], generator.cell[0])
    torch.testing.assert_close(grid[2, 3], generator.cell[0] + torch.tensor([48.0, 32, 48, 32]))


def test_count_of_a_600_by_1000_image():
    """Faster R-CNN section 3.3: about 60 x 40 x 9 anchors for a 1000 x 600 image."""
    generator = AnchorGenerator(sizes=[(128.0, 256.0, 512.0)], ratios=RATIOS, strides=(16,))
    assert len(generator([torch.zeros(1, 1, 38, 63)], (600, 1000))[0]) == 38 * 63 * 9


def test_anchors_are_float32_whatever_the_features_are_and_leave_no_trace_in_a_checkpoint():
    generator = AnchorGenerator(sizes=[(32.0,)], ratios=RATIOS, strides=(16,))
    assert (
        generator([torch.zeros(1, 1, 2, 2, dtype=torch.bfloat16)], (32, 32))[0].dtype
        == torch.float32
    )
    assert not generator.state_dict()


SIZES = (32.0, 64.0, 128.0, 256.0, 512.0)
STRIDES = (4, 8, 16, 32, 64)


def test_detectrons_anchors_of_a_level():
    """Detectron's generate_anchors(stride=4, sizes=(32,), aspect_ratios=(.5, 1, 2)): -22 -10 25 13,
    -14 -14 17 17,
    -10 -22 13 25, inclusive."""
    inclusive = cell_anchors((32.0,), RATIOS, 4) - torch.tensor([0.0, 0, 1, 1])
    assert inclusive.tolist() == [[-22, -10, 25, 13], [-14, -14, 17, 17], [-10, -22, 13, 25]]


def test_detectron2s_anchors_have_the_area_that_names_them_and_their_center_at_the_corner():
    boxes = corner_anchors((32.0, 64.0), RATIOS, 4)
    sides = boxes[:, 2:] - boxes[:, :2]
    torch.testing.assert_close(sides.prod(1), torch.tensor([32.0, 64.0]).repeat(3) ** 2)
    torch.testing.assert_close(sides[:, 1] / sides[:, 0], torch.tensor(RATIOS).repeat_interleave(2))
    assert (boxes[:, 2:] + boxes[:, :2] == 0).all()


@pytest.mark.parametrize("padded", [(128, 192), (800, 1344)])
def test_torchvisions_rule_is_torchvisions(padded):
    """A map of 800 / 64 cells has 13 rows: torchvision then spaces its anchors by 800 // 13 = 61
    px."""
    maps = [torch.zeros(1, 1, -(-padded[0] // s), -(-padded[1] // s)) for s in STRIDES]
    ours = AnchorGenerator(
        sizes=[(s,) for s in SIZES],
        ratios=RATIOS,
        strides=STRIDES,
        rule=rounded_corner_anchors,
        fit_strides=True,
    )(maps, padded)
    theirs = TorchvisionAnchors(tuple((int(s),) for s in SIZES), (RATIOS,) * 5)
    (expected,) = theirs(ImageList(torch.zeros(1, 3, *padded), [padded]), maps)
    torch.testing.assert_close(torch.cat(ours), expected)
    assert [len(level) for level in ours] == [3 * m[0, 0].numel() for m in maps]
