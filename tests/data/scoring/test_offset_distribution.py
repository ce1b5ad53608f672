"""Which proposals Figure 3 of KL-RPN looks at, their offsets, and distances of distributions
against closed forms.
"""

import math

import numpy as np
import pytest
import torch

from data.errors import DataError
from data.records import Proposals
from data.scoring.offset_distribution import (
    image_offsets,
    kolmogorov_smirnov,
    median,
    offset_distribution,
    separation,
    wasserstein,
)
from tests.data.scoring.targets import target

OBJECT = [0.0, 0.0, 20.0, 10.0]


def proposals(boxes, objectness=None):
    values = list(range(len(boxes), 0, -1)) if objectness is None else objectness
    return Proposals(
        boxes=torch.tensor(boxes).reshape(-1, 4).float(), objectness=torch.tensor(values).float()
    )


def moved(steps):
    """The object moved right by each step: |x offset| is step / 20."""
    return [[step, 0.0, 20.0 + step, 10.0] for step in steps]


def test_offsets_by_hand():
    """Proposal center (12, 4), size 20 x 8; object center (10, 5), size 20 x 10: 2/20, 1/8, ln 1,
    ln(10/8).
    """
    high, low = image_offsets(proposals([[2.0, 0, 22, 8], OBJECT]), target([OBJECT]))
    assert high.tolist()[0] == pytest.approx([0.1, 0.125, 0.0, math.log(1.25)])
    assert low.tolist() == [[0.0] * 4]


def test_five_from_each_end_for_each_object():
    high, low = image_offsets(proposals(moved(range(14))), target([OBJECT]))
    assert (high[:, 0] * 20).tolist() == pytest.approx([0, 1, 2, 3, 4])
    assert (low[:, 0] * 20).tolist() == pytest.approx([9, 10, 11, 12, 13])


def test_objectness_decides_and_ties_keep_their_order():
    high, low = image_offsets(
        proposals(moved([1, 2, 3, 4]), objectness=[0.0, 5.0, 0.0, 0.0]), target([OBJECT])
    )
    assert (high[:, 0] * 20).tolist() == pytest.approx([2, 1])
    assert (low[:, 0] * 20).tolist() == pytest.approx([3, 4])


@pytest.mark.parametrize(
    ("count", "each"), [(0, 0), (1, 0), (2, 1), (7, 3), (9, 4), (10, 5), (11, 5)]
)
def test_none_is_taken_twice(count, each):
    high, low = image_offsets(proposals(moved(range(count))), target([OBJECT]))
    assert len(high) == len(low) == each
    assert not set(high[:, 0].tolist()) & set(low[:, 0].tolist())


def test_only_proposals_that_overlap_an_object_count():
    """Touching edges, boxes without area and boxes elsewhere have IoU 0; their offsets could be
    infinite.
    """
    elsewhere = [[20.0, 0, 40, 10], [5.0, 5, 5, 5], [200.0, 0, 220, 10]]
    high, low = image_offsets(proposals([*elsewhere, *moved([1, 2])]), target([OBJECT]))
    assert torch.cat([high, low])[:, 0].tolist() == pytest.approx([0.05, 0.1])


def test_a_proposal_belongs_to_the_object_it_overlaps_most():
    objects = target([OBJECT, [10.0, 0, 30, 10]])
    high, low = image_offsets(proposals([[8.0, 0, 28, 10], [4.0, 0, 24, 10]]), objects)
    # 2 px from the second, 4 from the first
    assert (high[0, 0], low[0, 0]) == (pytest.approx(0.1), pytest.approx(0.2))
    high, _ = image_offsets(proposals([[5.0, 0, 25, 10], OBJECT]), objects)
    assert high[0, 0] == 0.25  # as far from both: the first


def test_crowds_and_difficult_objects_are_left_out():
    for flag in ("crowd", "difficult"):
        known = target([OBJECT, [100.0, 0, 120, 10]], **{flag: [False, True]})
        high, low = image_offsets(proposals([[101.0, 0, 121, 10], *moved(range(12))]), known)
        assert len(high) == len(low) == 5  # of one object
        assert high[0, 0] == 0.0
    assert len(image_offsets(proposals([OBJECT] * 4), target([OBJECT], crowd=[True]))[0]) == 0


def test_images_are_pooled_and_empty_ones_are_fine():
    high, low = offset_distribution(
        [proposals(moved([1, 2])), proposals([]), proposals(moved([3]))],
        [target([OBJECT]), target([OBJECT]), target([])],
    )
    assert high == pytest.approx(np.array([[0.05, 0, 0, 0]]))
    assert low == pytest.approx(np.array([[0.1, 0, 0, 0]]))
    assert [part.shape for part in offset_distribution([], [])] == [(0, 4), (0, 4)]
    with pytest.raises(DataError, match="proposals of 1 images but targets of 0"):
        offset_distribution([proposals([])], [])


def test_scale_changes_nothing():
    generator = torch.Generator().manual_seed(0)
    corners = torch.rand(60, 2, generator=generator) * 60
    boxes = torch.cat([corners, corners + 10 + 30 * torch.rand(60, 2, generator=generator)], dim=1)
    small = offset_distribution([proposals(boxes[3:].tolist())], [target(boxes[:3].tolist())])
    large = offset_distribution(
        [proposals((4 * boxes[3:]).tolist())], [target((4 * boxes[:3]).tolist())]
    )
    assert len(small[0]) > 0
    for one, other in zip(small, large, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-7)


def array(*values):
    return np.array(values, dtype=np.float64)


def test_distances_by_hand():
    """F steps by 1/2 at 1, 3; G by 1/4 at 2, 2, 4, 6. |F - G| is 1/2 on [1, 2), 0 on [2, 3), 1/2 on
    [3, 4), 1/4 on [4, 6).
    """
    first, second = array(3, 1), array(2, 6, 2, 4)
    assert kolmogorov_smirnov(first, second) == 0.5
    assert wasserstein(first, second) == pytest.approx(0.5 + 0.5 + 2 * 0.25)
    assert kolmogorov_smirnov(second, first) == 0.5
    assert wasserstein(second, first) == pytest.approx(1.5)


def test_distances_of_equal_and_of_separate_samples():
    values = array(0, 1, 1, 5)
    assert (kolmogorov_smirnov(values, values), wasserstein(values, values)) == (0.0, 0.0)
    assert (kolmogorov_smirnov(values, values + 10), wasserstein(values, values + 10)) == (
        1.0,
        pytest.approx(10.0),
    )
    assert (
        kolmogorov_smirnov(values, np.repeat(values, 3)),
        wasserstein(values, np.repeat(values, 3)),
    ) == (pytest.approx(0.0), pytest.approx(0.0))


def test_wasserstein_is_the_mean_distance_in_sorted_order():
    rng = np.random.default_rng(0)
    first, second = rng.normal(size=501), rng.exponential(size=501)
    assert wasserstein(first, second) == pytest.approx(
        np.abs(np.sort(first) - np.sort(second)).mean()
    )


def test_distances_of_exponential_distributions():
    """Rates 1 and 1/2, at their quantiles. Means 1 and 2 and F >= G everywhere: Wasserstein 2 - 1.
    F - G = e^(-x/2) - e^(-x) is largest at x = 2 ln 2: 1/2 - 1/4."""
    levels = (np.arange(200_000) + 0.5) / 200_000
    narrow = -np.log1p(-levels)
    assert kolmogorov_smirnov(narrow, 2 * narrow) == pytest.approx(0.25, abs=1e-4)
    assert wasserstein(narrow, 2 * narrow) == pytest.approx(1.0, abs=1e-3)
    squared = kolmogorov_smirnov(narrow**2, (2 * narrow) ** 2)
    assert squared == kolmogorov_smirnov(narrow, 2 * narrow)  # only the order counts


def test_separation_and_nothing():
    high, low = np.zeros((3, 4)), np.tile(array(1, 2, 3, 4), (3, 1))
    found = separation(high, low)
    assert list(found) == ["x", "y", "w", "h"]
    assert found["w"] == {"median_high": 0.0, "median_low": 3.0, "ks": 1.0, "wasserstein": 3.0}
    empty = separation(np.zeros((0, 4)), np.zeros((0, 4)))
    assert all(math.isnan(value) for part in empty.values() for value in part.values())
    assert math.isnan(kolmogorov_smirnov(array(), array(1)))
    assert math.isnan(wasserstein(array(1), array()))
    assert median(array(1, 9, 2)) == 2.0
