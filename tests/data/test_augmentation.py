"""Windows, sizes and colors of training images: boxes and masks follow, and nothing is drawn
without a field that asks for it.
"""

import itertools
from dataclasses import replace

import pytest
import torch

from data.augmentation import (
    ColorFactors,
    Window,
    change_colors,
    crop_image,
    crop_target,
    draw_colors,
    draw_interval,
    draw_scale,
    draw_window,
)
from data.config import DataConfig
from data.errors import DataError
from data.formats.saved_proposals import SavedProposals
from data.loader import train_batches
from data.records import Target
from tests.data.synthetic import CONFIG, Synthetic, take


def fixed(*numbers):
    """Random numbers that are known."""
    stream = iter(numbers)
    return lambda: next(stream)


def target():
    """A 20 x 20 px object at (10, 5), and a 4 x 4 px one in the lower right corner of 60 x 40."""
    masks = torch.zeros(2, 40, 60, dtype=torch.uint8)
    masks[0, 5:25, 10:30] = 1
    masks[1, 36:40, 56:60] = 1
    return Target(
        boxes=torch.tensor([[10.0, 5, 30, 25], [56.0, 36, 60, 40]]),
        labels=torch.tensor([1, 2]),
        clean_boxes=torch.tensor([[11.0, 5, 30, 25], [56.0, 36, 60, 40]]),
        masks=masks,
    )


def test_boxes_and_masks_follow_the_window():
    """The window begins at (15, 10): the object's center (20, 15) is 5 px inside it."""
    window = Window(left=15, top=10, width=40, height=12)
    cropped = crop_target(target(), window)
    assert cropped.labels.tolist() == [1]
    assert cropped.boxes.tolist() == [[0, 0, 15, 12]]  # x 15..30, y 10..22 of 10..25
    assert cropped.clean_boxes.tolist() == [[0, 0, 15, 12]]
    assert cropped.masks.shape == (1, 12, 40)
    assert cropped.masks.sum() == 15 * 12  # the mask fills the box
    image = torch.arange(60 * 40).reshape(1, 40, 60).expand(3, -1, -1)
    assert crop_image(image, window)[0, 0, 0] == 10 * 60 + 15


def test_an_object_whose_center_is_outside_is_left_out():
    right = crop_target(target(), Window(left=21, top=0, width=39, height=40))
    assert right.labels.tolist() == [2]
    assert right.boxes.tolist() == [[35, 36, 39, 40]]
    none = crop_target(target(), Window(left=31, top=0, width=10, height=10))
    assert none.boxes.shape == (0, 4)
    assert none.masks.shape == (0, 10, 10)


@pytest.mark.parametrize(("side", "share"), [(50, 0.25), (30, 0.09)])
def test_what_stays_of_an_object_in_a_window(side, share):
    """A quarter or more in windows of half of each side; smaller windows can leave less."""
    whole = Target(boxes=torch.tensor([[0.0, 0, 100, 100]]), labels=torch.tensor([1]))
    (box,) = crop_target(whole, Window(left=40, top=40, width=side, height=side)).boxes.tolist()
    assert box[2] * box[3] / 100**2 == pytest.approx(share)


def test_a_window_holds_the_center_of_the_drawn_object():
    config = replace(CONFIG, crop=0.5)
    image = torch.zeros(3, 40, 60)
    for k, draws in enumerate(itertools.product((0.0, 0.5, 0.999), repeat=4)):
        index = k % 2
        draw = fixed(0.0, index / 2, *draws)  # cropped; which object; length, place of each axis
        window = draw_window(config, image, target(), draw)
        assert 30 <= window.width <= 60
        assert 20 <= window.height <= 40
        assert 0 <= window.left <= 60 - window.width
        assert 0 <= window.top <= 40 - window.height
        assert index + 1 in crop_target(target(), window).labels


def test_half_of_the_images_have_a_window():
    config = replace(CONFIG, crop=0.5)
    image = torch.zeros(3, 40, 60)
    assert draw_window(config, image, target(), fixed(0.5)) is None
    assert draw_window(config, image, target(), fixed(0.49, 0, 0, 0, 0, 0)) is not None
    assert draw_window(CONFIG, image, target(), fixed()) is None  # nothing is drawn


def test_an_interval_without_a_point_may_lie_anywhere():
    assert draw_interval(100, 0.5, None, fixed(0.0, 0.0)) == (0, 50)
    assert draw_interval(100, 0.5, None, fixed(0.0, 0.999)) == (50, 50)
    assert draw_interval(100, 0.5, 10.0, fixed(0.0, 0.999)) == (10, 50)
    assert draw_interval(100, 0.5, 90.5, fixed(0.0, 0.0)) == (41, 50)  # 41 + 50 >= 90.5
    assert draw_interval(1, 0.5, 1.0, fixed(0.0, 0.0)) == (0, 1)


def test_factors_lie_between_the_limits():
    config = replace(CONFIG, scale_jitter=(0.8, 1.2), color=0.25)
    assert draw_scale(config, fixed(0.0)) == 0.8
    assert draw_scale(config, fixed(0.5)) == pytest.approx(1.0)
    assert draw_colors(config, fixed(0.0, 0.5, 1.0)) == ColorFactors(
        brightness=0.75, contrast=1.0, saturation=1.25
    )
    assert draw_scale(CONFIG, fixed()) == 1
    assert draw_colors(CONFIG, fixed()) is None


def test_colors_of_one_pixel_by_hand():
    """(100, 50, 0) has the gray 0.299 * 100 + 0.587 * 50 = 59.25, which is the mean of the
    image too.
    """
    pixel = torch.tensor([100.0, 50, 0])[:, None, None]

    def changed(**factors):
        neutral = {"brightness": 1.0, "contrast": 1.0, "saturation": 1.0}
        return change_colors(pixel, ColorFactors(**neutral | factors)).flatten()

    for factors, expected in (
        ({}, [100, 50, 0]),
        ({"brightness": 1.5}, [150, 75, 0]),
        ({"brightness": 3.0}, [255, 150, 0]),  # not above white
        ({"contrast": 0.0}, [59.25, 59.25, 59.25]),
        ({"saturation": 0.0}, [59.25, 59.25, 59.25]),
        ({"saturation": 0.5}, [79.625, 54.625, 29.625]),
    ):
        torch.testing.assert_close(changed(**factors), torch.tensor(expected).float())


def test_the_batches_are_a_function_of_seed_and_number():
    config = replace(CONFIG, crop=0.6, scale_jitter=(0.75, 1.25), color=0.3)
    first, again = take(Synthetic(12), 6, config=config), take(Synthetic(12), 6, config=config)
    resumed = take(Synthetic(12), 2, config=config, start=4)
    for one, other in zip([*first, *first[4:]], [*again, *resumed], strict=True):
        assert torch.equal(one.images, other.images)
    assert len({size for batch in first for size in batch.image_sizes}) > 5
    assert all(len(target.boxes) for batch in first for target in batch.targets)
    plain = take(Synthetic(12), 6)
    assert [batch.image_ids for batch in first] == [batch.image_ids for batch in plain]


def test_a_window_and_saved_proposals_exclude_each_other():
    proposals = SavedProposals.__new__(SavedProposals)
    with pytest.raises(DataError, match="saved proposals are boxes of whole images"):
        train_batches(
            Synthetic(4),
            replace(CONFIG, crop=0.5),
            batch_size=2,
            seed=0,
            start=0,
            workers=0,
            proposals=proposals,
        )


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("scale_jitter", (1.2, 0.8)),
        ("scale_jitter", (0.0, 1.0)),
        ("crop", 0.0),
        ("crop", 1.5),
        ("color", 1.0),
        ("color", -0.1),
    ],
)
def test_impossible_fields_are_refused(field, value):
    with pytest.raises(ValueError, match=field):
        replace(CONFIG, **{field: value})


def test_the_papers_runs_have_none_of_it():
    fields = {field.name: field.default for field in DataConfig.__dataclass_fields__.values()}
    assert (fields["scale_jitter"], fields["crop"], fields["color"]) == (None, 1.0, 0.0)
