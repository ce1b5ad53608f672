"""Laws of the mini data set's drawing: a shape fills its box and nothing beside it, a soft side
fades over its ramp.
"""

import numpy as np

from data.mini.appearance import CLASSES, coverage, fade, window


def test_clean_box_is_the_extent_of_the_drawn_shape():
    """On a black ground without noise, every touched pixel lies in the box, and the shape reaches
    all four sides.
    """
    box = np.array([10.3, 20.6, 71.2, 61.9])
    rows, columns = window(box)
    assert (rows, columns) == (slice(20, 62), slice(10, 72))
    for look in CLASSES:
        for t in (0.0, 0.5, 1.0):
            covered = coverage(box, look.shape, t)
            assert covered.shape == (42, 62)
            assert covered.max() <= 1
            near_the_sides = (covered[1], covered[-2], covered[:, 1], covered[:, -2])
            assert min(line.max() for line in near_the_sides) > 0.3
            assert covered[0].max() <= 0.67  # 20.6: two of three sample rows lie outside


def test_soft_side_fades_and_the_hard_sides_do_not():
    box = np.array([10.0, 10, 50, 30])
    opacity = np.broadcast_to(fade(box, np.array([8.0, 0, 0, 0])), (20, 40))
    np.testing.assert_allclose(opacity[0, :8], (np.arange(8) + 0.5) / 8)
    assert (opacity[:, 8:] == 1).all()
