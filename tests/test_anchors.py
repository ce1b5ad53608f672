"""Anchors against the list that py-faster-rcnn's generate_anchors.py prints."""

import torch

from models.anchors import AnchorGenerator, cell_anchors

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
    torch.testing.assert_close(with_64[:, 1:].reshape(9, 4), cell_anchors((128.0, 256.0, 512.0), RATIOS))


def test_grid_of_two_rows_and_three_columns():
    anchors = AnchorGenerator(sizes=(128.0, 256.0, 512.0), ratios=RATIOS, stride=16)(torch.zeros(1, 1, 2, 3))
    assert len(anchors) == 54
    inclusive = (anchors - torch.tensor([0.0, 0, 1, 1]))[[0, 9, 27, 53]]
    assert inclusive.tolist() == [[-84, -40, 99, 55], [-68, -40, 115, 55], [-84, -24, 99, 71], [-136, -328, 215, 375]]


def test_square_anchors_have_the_size_that_names_them():
    boxes = cell_anchors((16.0, 64.0), (1.0,))
    assert boxes.tolist() == [[0, 0, 16, 16], [-24, -24, 40, 40]]


def test_order_is_row_then_column_then_ratio_then_size():
    generator = AnchorGenerator(sizes=(128.0, 256.0, 512.0), ratios=RATIOS, stride=16)
    anchors = generator(torch.zeros(2, 8, 3, 5))
    assert generator.per_position == 9
    assert anchors.shape == (3 * 5 * 9, 4)
    grid = anchors.reshape(3, 5, 9, 4)
    torch.testing.assert_close(grid[0, 0], generator.cell)
    torch.testing.assert_close(grid[2, 3], generator.cell + torch.tensor([48.0, 32, 48, 32]))


def test_count_of_a_600_by_1000_image():
    """Faster R-CNN section 3.3: about 60 x 40 x 9 anchors for a 1000 x 600 image."""
    generator = AnchorGenerator(sizes=(128.0, 256.0, 512.0), ratios=RATIOS, stride=16)
    assert len(generator(torch.zeros(1, 1, 38, 63))) == 38 * 63 * 9


def test_anchors_are_float32_whatever_the_features_are_and_leave_no_trace_in_a_checkpoint():
    generator = AnchorGenerator(sizes=(32.0,), ratios=RATIOS, stride=16)
    assert generator(torch.zeros(1, 1, 2, 2, dtype=torch.bfloat16)).dtype == torch.float32
    assert not generator.state_dict()
