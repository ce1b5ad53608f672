"""Laws of the scenes: what is drawn where, and that the label noise is what sigma_true says."""

import numpy as np
import pytest

from data.mini.appearance import CLASSES, window
from data.mini.layout import BORDER_SIGMAS, OBJECTS, SHORTEST_SIDE, SOFT_SIGMA
from data.mini.scenes import (
    OCCLUSION_SIGMA,
    SHORTEST_NOISY_SIDE,
    hidden_fractions,
    label_sigma,
    scene,
    visible_pixels,
)

BRICK, BALL = 1, 2  # a careless and a careful class


def lengths(boxes):
    return np.tile(boxes[..., 2:] - boxes[..., :2], 2)


@pytest.fixture(scope="module")
def scenes():
    return [scene(0, "train", index) for index in range(200)]


@pytest.fixture(scope="module")
def stacked(scenes):
    """All objects of the scenes: labels (N,), boxes, clean, sigma, hidden, ramps (N, 4), room (N,
    4).
    """
    names = ("labels", "boxes", "clean_boxes", "sigma_true", "hidden", "ramps")
    table = {name: np.concatenate([getattr(s, name) for s in scenes]) for name in names}
    table["room"] = np.concatenate(
        [
            np.hstack([s.clean_boxes[:, :2], np.array(s.image.shape[1::-1]) - s.clean_boxes[:, 2:]])
            for s in scenes
        ]
    )
    return table


def test_scene_is_a_pure_function_of_seed_split_and_index():
    first, again = scene(5, "val", 7), scene(5, "val", 7)
    for name in ("image", "labels", "boxes", "clean_boxes", "sigma_true", "hidden", "ramps"):
        np.testing.assert_array_equal(getattr(first, name), getattr(again, name))
    others = [scene(6, "val", 7), scene(5, "train", 7), scene(5, "val", 8)]
    assert all(not np.array_equal(first.clean_boxes, other.clean_boxes) for other in others)


def test_objects_are_valid_and_inside_the_image(scenes, stacked):
    for s in scenes:
        height, width = s.image.shape[:2]
        assert s.image.dtype == np.uint8
        assert s.image.shape[2] == 3
        assert OBJECTS[0] <= len(s.labels) <= OBJECTS[1]
        for boxes in (s.boxes, s.clean_boxes):
            assert (boxes[:, :2] >= 0).all()
            assert (boxes[:, 2:] <= [width, height]).all()
    assert set(stacked["labels"]) == set(range(1, len(CLASSES) + 1))
    # corners are rounded to 0.01
    assert lengths(stacked["clean_boxes"]).min() >= SHORTEST_SIDE - 0.011
    assert lengths(stacked["boxes"]).min() >= SHORTEST_NOISY_SIDE - 1e-6
    assert (stacked["sigma_true"] > 0).all()


def test_all_three_coco_sizes_and_both_orientations_occur(scenes, stacked):
    side = np.sqrt(lengths(stacked["clean_boxes"])[:, :2].prod(axis=1))
    shares = [np.mean(side < 32), np.mean((side >= 32) & (side < 96)), np.mean(side >= 96)]
    np.testing.assert_allclose(shares, [0.24, 0.54, 0.22], atol=0.07)
    assert {s.image.shape[0] > s.image.shape[1] for s in scenes} == {True, False}


def test_noise_over_sigma_is_standard_normal(stacked):
    """About 3000 sides: the standard errors are 0.018 (mean), 0.013 (std), 0.009 and 0.004
    (coverage).
    """
    z = (stacked["boxes"] - stacked["clean_boxes"]) / stacked["sigma_true"]
    assert abs(z.mean()) < 0.06
    assert abs((z * [-1, -1, 1, 1]).mean()) < 0.06  # labels neither shrink nor grow
    assert abs(z.std() - 1) < 0.05
    assert abs(np.mean(abs(z) < 1) - 0.683) < 0.03
    assert abs(np.mean(abs(z) < 2) - 0.954) < 0.015
    correlation = np.corrcoef(z.T)
    # standard error 0.036: the sides are independent
    assert abs(correlation - np.eye(4)).max() < 0.12


def test_sigma_is_the_root_of_the_sum_of_squares_of_the_causes():
    """Box 100 x 50: brick 8 %, one side half hidden, a ramp of 20 px; the ball is the same but
    careful (1 %).
    """
    box = np.array([[10.0, 10, 110, 60]] * 2)
    hidden, ramps = np.array([[0.5, 0, 0, 0]] * 2), np.array([[0.0, 0, 20, 0]] * 2)
    sigma = label_sigma(np.array([BRICK, BALL]), box, hidden, ramps)
    occluded, soft = OCCLUSION_SIGMA * 0.5 * 100, SOFT_SIGMA * 20
    expected = [
        [np.hypot(8, occluded), 4, np.hypot(8, soft), 4],
        [np.hypot(1, occluded), 0.5, np.hypot(1, soft), 0.5],
    ]
    np.testing.assert_allclose(sigma, expected)


def test_every_cause_raises_sigma(stacked):
    relative = stacked["sigma_true"] / lengths(stacked["clean_boxes"])
    careless = np.array([look.careless > 0.02 for look in CLASSES])[stacked["labels"] - 1][:, None]
    hidden, soft = stacked["hidden"] > 0.5, stacked["ramps"] > 0
    plain = (stacked["hidden"] < 0.01) & ~soft
    assert relative[careless & plain].mean() > 4 * relative[~careless & plain].mean()
    assert relative[~careless & hidden & ~soft].mean() > 4 * relative[~careless & plain].mean()
    assert relative[~careless & soft].mean() > 4 * relative[~careless & plain].mean()
    bound = label_sigma(
        stacked["labels"], stacked["clean_boxes"], stacked["hidden"], stacked["ramps"]
    )
    np.testing.assert_allclose(
        stacked["sigma_true"], np.minimum(bound, stacked["room"] / BORDER_SIGMAS), atol=1e-4
    )


def test_hidden_fraction_is_the_covered_part_of_the_side():
    """A solid 80 x 40 box: the later one covers the upper half of its right side, and nothing of
    the left one.
    """
    boxes = np.array([[0.0, 0, 80, 40], [60, 0, 100, 20]])
    solid = [np.ones((40, 80)), np.ones((20, 40))]
    hidden = hidden_fractions(boxes, solid, solid)
    np.testing.assert_allclose(hidden, [[0, 20 / 80, 0.5, 0], [0, 0, 0, 0]])


def test_visible_pixels_are_the_shape_without_what_later_objects_hide_by_half():
    """Three 4 x 4 boxes: the second hides two columns of the first by 0.6; the third hides row 0 of
    the second by 0.4.
    """
    boxes = np.array([[0.0, 0, 4, 4], [2, 0, 6, 4], [2, 0, 6, 1]])
    coverages = [np.ones((4, 4)), np.ones((4, 4)), np.full((1, 4), 0.4)]
    coverages[1][3] = 0.4  # less than half of these pixels is shape
    first, second, third = visible_pixels(
        boxes, coverages, [coverages[0], np.full((4, 4), 0.6), np.full((1, 4), 0.4)]
    )
    np.testing.assert_array_equal(first, np.repeat([[True, True, False, False]], 4, axis=0))
    np.testing.assert_array_equal(second, np.repeat([[True], [True], [True], [False]], 4, axis=1))
    assert not third.any()


def test_picture_shows_the_objects_in_their_clean_boxes_and_fades_soft_sides(monkeypatch):
    """White objects on black: nothing outside the boxes; a lone solid object is white, but for its
    soft side.
    """
    monkeypatch.setattr("data.mini.scenes.background", lambda rng, size: np.zeros((*size, 3)))
    monkeypatch.setattr("data.mini.scenes.surface", lambda rng, box, kind: np.ones(3))
    hard, soft = 0, 0
    for index in range(150):
        s = scene(0, "train", index)
        white = s.image.mean(axis=2) / 255
        outside = np.ones(white.shape, dtype=bool)
        for box in s.clean_boxes:
            outside[window(box)] = False
        assert white[outside].max(initial=0) < 0.1  # the grain of the picture is 0.02
        for i in np.flatnonzero(s.labels == BRICK):
            x1, y1, x2, y2 = s.clean_boxes[i]
            others = np.delete(s.clean_boxes, i, axis=0)
            if ((others[:, :2] < [x2, y2]) & (others[:, 2:] > [x1, y1])).all(axis=1).any():
                continue  # not alone
            inner = white[int(y1) + 1 : int(y2), int(x1) + 1 : int(x2)]
            edges = (inner[:, 0], inner[0], inner[:, -1], inner[-1])  # in the order x1, y1, x2, y2
            for edge, ramp in zip(edges, s.ramps[i], strict=True):
                if ramp > 6:
                    soft += 1
                    assert edge.max() < 0.4  # about 1.5 px from the side
                elif not s.ramps[i].any():
                    hard += 1
                    assert edge.min() > 0.9
    assert soft >= 3
    assert hard >= 60


def test_large_objects_lie_above_and_below_small_ones(scenes):
    steps = np.concatenate([np.diff(lengths(s.clean_boxes)[:, :2].prod(axis=1)) for s in scenes])
    assert 0.3 < np.mean(steps > 0) < 0.7
