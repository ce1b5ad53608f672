from dataclasses import replace

import pytest
import torch
from torch.nn import functional as F

from data.records import Target
from data.transforms import (
    PIXELS,
    mirror_target,
    normalize,
    pad,
    resize,
    resize_masks,
    resized_size,
    scale_target,
    to_network,
    visible,
)


def target():
    masks = torch.zeros(1, 40, 60, dtype=torch.uint8)
    masks[:, 5:25, 10:30] = 1
    return Target(
        boxes=torch.tensor([[10.0, 5.0, 30.0, 25.0]]),
        labels=torch.tensor([1]),
        area=torch.tensor([77.0]),
        clean_boxes=torch.tensor([[11.0, 5.0, 30.0, 25.0]]),
        sigma_true=torch.tensor([[1.0, 2.0, 3.0, 4.0]]),
        masks=masks,
    )


@pytest.mark.parametrize(
    ("size", "short", "long", "expected"),
    [
        ((375, 500), 600, 1000, (600, 800)),  # the short side rules: 600 / 375 = 1.6
        ((333, 500), 800, 1333, (800, 1201)),  # 800 / 333 * 500 = 1201.2
        ((200, 500), 600, 1000, (400, 1000)),  # the long side rules: 1000 / 500 = 2
        ((500, 200), 600, 1000, (1000, 400)),
        ((1, 1000), 300, 500, (1, 500)),  # never below 1 px
        ((375, 500), 600, None, (600, 800)),
        ((200, 500), 600, None, (600, 1500)),  # no limit: 600 / 200 = 3
        ((480, 640), 800, 1200, (800, 1067)),  # 640 * 800 / 480 = 1066.67
        ((333, 500), 400, None, (400, 601)),  # 500 * 400 / 333 = 600.6
        ((200, 500), 400, 1000 * 400 / 600, (267, 667)),  # a limit need not be an integer: 666.67
    ],
)
def test_size_rule(size, short, long, expected):
    assert resized_size(size, short, long) == expected


def test_boxes_scale_with_each_axis_and_area_stays():
    new = scale_target(target(), (40, 60), (81, 119))
    ratio = torch.tensor([119 / 60, 81 / 40, 119 / 60, 81 / 40])
    torch.testing.assert_close(new.boxes, target().boxes * ratio)
    torch.testing.assert_close(new.clean_boxes, target().clean_boxes * ratio)
    torch.testing.assert_close(new.sigma_true, target().sigma_true * ratio)
    assert new.area.tolist() == [77.0]


def test_mirror_is_its_own_inverse_and_swaps_left_and_right():
    once = mirror_target(target(), 60)
    assert once.boxes.tolist() == [[30, 5, 50, 25]]
    assert once.sigma_true.tolist() == [[3, 2, 1, 4]]
    twice = mirror_target(once, 60)
    for name in ("boxes", "clean_boxes", "sigma_true", "area", "masks"):
        assert torch.equal(getattr(twice, name), getattr(target(), name))


def test_box_stays_on_its_object():
    """A white rectangle fills its box before and after mirror and resize: inside bright, outside
    dark.
    """
    image = torch.zeros(3, 40, 60, dtype=torch.uint8)
    image[:, 5:25, 10:30] = 255
    for mirror in (False, True):
        result, moved = to_network(
            image, target(), short_side=80, long_side=200, pixels="tf", mirror=mirror
        )
        assert result.shape == (3, 80, 120)
        x1, y1, x2, y2 = (round(v) for v in moved.boxes[0].tolist())
        bright = result[0] > 0
        assert bright[y1:y2, x1:x2].all()
        assert bright.sum() == (y2 - y1) * (x2 - x1)
        assert moved.masks.dtype == torch.uint8
        assert torch.equal(moved.masks[0].bool(), bright)


def test_masks_have_the_size_of_the_image_at_any_ratio():
    """3 columns become 5 with centers at .3 .9 1.5 2.1 2.7; 5 become 3 with centers at .83 2.5
    4.17.
    """
    row = torch.arange(5, dtype=torch.uint8).expand(2, 1, 5)
    assert resize_masks(row[:, :, :3], (1, 5))[1].tolist() == [[0, 0, 1, 2, 2]]
    assert resize_masks(row, (2, 3))[0].tolist() == [[0, 2, 4]] * 2
    assert scale_target(target(), (40, 60), (81, 119)).masks.shape == (1, 81, 119)
    assert resize_masks(row[:0], (7, 9)).shape == (0, 7, 9)


def test_masks_resize_like_torchs_nearest_exact_and_commute_with_the_mirror():
    masks = torch.randint(0, 2, (3, 20, 30), generator=torch.Generator().manual_seed(0)).to(
        torch.uint8
    )
    for size in ((33, 47), (40, 60), (11, 7)):
        found = resize_masks(masks, size)
        assert torch.equal(found, F.interpolate(masks[None], size=size, mode="nearest-exact")[0])
    assert torch.equal(
        resize_masks(masks.flip(-1), (40, 60)), resize_masks(masks, (40, 60)).flip(-1)
    )


def test_pixel_conventions_on_one_color():
    red = torch.zeros(3, 1, 1)
    red[0] = 255.0
    for name, expected in {
        "torchvision": [(1 - 0.485) / 0.229, -0.456 / 0.224, -0.406 / 0.225],
        "caffe": [-102.9801, -115.9465, 255 - 122.7717],  # BGR
        "tf": [1.0, -1.0, -1.0],
    }.items():
        torch.testing.assert_close(normalize(red, PIXELS[name]).flatten(), torch.tensor(expected))


def test_normalizing_and_resizing_commute():
    image = torch.rand(3, 20, 30, generator=torch.Generator().manual_seed(0)) * 255
    first = resize(normalize(image, PIXELS["caffe"]), (33, 47))
    second = normalize(resize(image, (33, 47)), PIXELS["caffe"])
    torch.testing.assert_close(first, second, atol=1e-3, rtol=0)


def test_resizing_and_mirroring_commute():
    image = torch.rand(3, 20, 30, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(resize(image.flip(-1), (33, 47)), resize(image, (33, 47)).flip(-1))


def test_resize_does_not_antialias():
    """Halving keeps the mean of the two middle columns only: cv2.INTER_LINEAR, not an average over
    all four.
    """
    row = torch.tensor([9.0, 1.0, 3.0, 9.0]).expand(1, 4, 4)
    assert resize(row, (1, 1)).item() == 2.0


def test_resizing_and_normalizing_give_the_plain_formula_and_leave_the_image():
    image = 255 * torch.rand(3, 37, 53, generator=torch.Generator().manual_seed(0))
    before = image.clone()
    plain = F.interpolate(image[None], size=(61, 40), mode="bilinear", align_corners=False)[0]
    assert torch.equal(resize(image, (61, 40)), plain)
    tf = (image - 127.5) / 127.5
    assert torch.equal(normalize(image, PIXELS["tf"]), tf)
    assert torch.equal(image, before)


def test_no_target_no_copy_needed():
    image = torch.zeros(3, 40, 60, dtype=torch.uint8)
    result, none = to_network(image, None, short_side=40, long_side=60, pixels="tf")
    assert none is None
    assert result.shape == (3, 40, 60)


def test_an_image_without_limit_on_its_long_side():
    image = torch.zeros(3, 10, 60, dtype=torch.uint8)
    assert to_network(image, None, short_side=40, long_side=None, pixels="tf")[0].shape == (
        3,
        40,
        240,
    )


def test_empty_target_passes_through():
    image = torch.zeros(3, 40, 60, dtype=torch.uint8)
    empty = target().select(torch.zeros(1, dtype=torch.bool))
    _, moved = to_network(image, empty, short_side=80, long_side=200, pixels="tf", mirror=True)
    assert moved.boxes.shape == (0, 4)
    assert moved.masks.shape == (0, 80, 120)
    assert (
        to_network(image, replace(empty, masks=None), short_side=80, long_side=200, pixels="tf")[
            1
        ].masks
        is None
    )


def test_padding_is_zero_right_and_below():
    batch = pad([torch.ones(3, 10, 20), torch.ones(3, 15, 5)], divisor=8)
    assert batch.shape == (2, 3, 16, 24)
    assert batch[0].sum() == 3 * 10 * 20
    assert batch[0, :, :10, :20].min() == 1
    assert batch[1, :, :15, :5].min() == 1


@pytest.mark.parametrize("pixels", PIXELS)
def test_what_the_network_sees_can_be_shown_again(pixels):
    image = torch.arange(3 * 8 * 11, dtype=torch.uint8).reshape(3, 8, 11)
    seen = normalize(image.float(), PIXELS[pixels])
    assert torch.equal(visible(seen, PIXELS[pixels]), image)


def test_the_number_of_threads_changes_no_bit():
    """Worker processes have one thread, the main process has several."""
    image = torch.randint(0, 256, (3, 75, 100), generator=torch.Generator().manual_seed(0)).byte()
    before = torch.get_num_threads()
    found = []
    try:
        for threads in (1, 2):
            torch.set_num_threads(threads)
            found.append(
                to_network(image, None, short_side=160, long_side=None, pixels="torchvision")[0]
            )
            assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(before)
    assert torch.equal(*found)
