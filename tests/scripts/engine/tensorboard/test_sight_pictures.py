"""The panels of an image: one for each stage that a network has, in one size."""

import numpy as np
import pytest
import torch

from data.records import Detections, Sample, Target
from scripts.engine.tensorboard.panels import GAP, TITLE_HEIGHT, fitting_font
from scripts.engine.tensorboard.sight_pictures import (
    GREEN,
    LONGER_SIDE,
    ORANGE,
    WHITE,
    picture_of_sight,
)
from scripts.engine.tensorboard.sights import Sight

CLASSES = ("cat", "dog")
BOX = torch.tensor([[40.0, 30.0, 100.0, 80.0]])


def found(boxes, sigma=None):
    return Detections(
        boxes=boxes, scores=torch.tensor([0.9]), labels=torch.tensor([2]), sigma=sigma
    )


def sight(**stages):
    image = torch.zeros(3, 120, 160, dtype=torch.uint8)
    target = Target(boxes=BOX, labels=torch.tensor([2]))
    sample = Sample(image_id=1, image=image, target=target)
    return Sight(
        name="a.jpg", sample=sample, **{"proposals": BOX, "before": None, "after": None} | stages
    )


def panel(picture, row, column):
    """The pixels of one panel without its title."""
    width, height = LONGER_SIDE, LONGER_SIDE * 120 // 160
    left, top = column * (width + GAP), row * (height + TITLE_HEIGHT) + TITLE_HEIGHT
    return np.asarray(picture)[top : top + height, left : left + width]


def has(pixels, color):
    return bool((pixels == np.array(color)).all(-1).any())


def test_each_stage_has_a_panel():
    proposals = torch.cat([BOX, BOX + 55])
    picture = picture_of_sight(
        sight(proposals=proposals, before=found(BOX), after=found(BOX + 5)), CLASSES
    )
    assert picture.size == (2 * LONGER_SIDE + GAP, 2 * (432 + TITLE_HEIGHT))
    first, second = panel(picture, 0, 0), panel(picture, 0, 1)
    assert has(second, GREEN)
    assert has(second, ORANGE)
    assert not has(first, GREEN)
    assert has(panel(picture, 1, 1), WHITE)  # where the box was before it moved
    assert not has(panel(picture, 1, 0), WHITE)


@pytest.mark.parametrize(("stages", "rows"), [({}, 1), ({"after": found(BOX)}, 2)])
def test_a_network_without_a_second_stage_has_no_panel_of_it(stages, rows):
    picture = picture_of_sight(sight(**stages), CLASSES)
    assert picture.size == (2 * LONGER_SIDE + GAP, rows * (432 + TITLE_HEIGHT))


def test_what_is_large_is_drawn_as_large_as_what_is_small():
    """The box is at the same place of the panel in an image of ten times the size."""
    small = sight(after=found(BOX, sigma=torch.full((1, 4), 2.0)))
    image = torch.zeros(3, 1200, 1600, dtype=torch.uint8)
    target = Target(boxes=10 * BOX, labels=torch.tensor([2]))
    large = Sight(
        name="b.jpg",
        sample=Sample(image_id=2, image=image, target=target),
        proposals=10 * BOX,
        before=None,
        after=found(10 * BOX, sigma=torch.full((1, 4), 20.0)),
    )
    pictures = [np.asarray(picture_of_sight(each, CLASSES)) for each in (small, large)]
    assert np.array_equal(*pictures)


def test_a_long_title_gets_a_smaller_font():
    assert fitting_font("short", 300).size == 16
    font = fitting_font("a title of many words " * 3, 300)
    assert font.size < 16
    assert font.size == 9 or font.getlength("a title of many words " * 3) <= 300
