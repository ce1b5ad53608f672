"""What a DataConfig refuses, and what it says then."""

from dataclasses import replace

import pytest

from tests.data.synthetic import CONFIG


@pytest.mark.parametrize(
    ("field", "value", "says"),
    [
        ("layout", "pascal", "'coco', 'voc', 'yolo'"),
        ("pixels", "bgr", "'torchvision', 'caffe', 'tf'"),
        ("on_bad_box", "ignore", "'error', 'skip'"),
        ("train", (), "at least one split"),
        ("train", "train2014", "as a tuple"),
        ("short_side", 0, "short_side"),
        ("long_side", 10, "long_side"),
        ("train", ("train2017", "test-dev2017"), "'test-dev2017', whose labels are not published"),
        ("train_short_sides", (), "train_short_sides"),
        ("train_long_side", 10, "train_long_side is 10 px, less than short_side 16"),
        ("train_short_sides", (400, 0), r"\(400, 0\); give at least one positive integer"),
        ("train_short_sides", (400.5,), "train_short_sides"),
        ("train_short_sides", [400], "as a tuple"),
        ("train_short_sides", 400, "as a tuple"),
        ("size_divisor", 0, "size_divisor"),
        ("proposals_train", 0, "proposals_train is 0 and proposals_test 1000"),
        ("proposals_test", 0, "proposals_test 0"),
        ("proposals_crowd_iou", 1.5, "proposals_crowd_iou is 1.5"),
    ],
)
def test_config_lists_the_choices(field, value, says):
    with pytest.raises(ValueError, match=says):
        replace(CONFIG, **{field: value})
