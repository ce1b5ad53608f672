"""Factors and intervals of sigmas: numbers that a person can check, and laws on drawn errors."""

import math

import pytest
import torch

from postprocess.recalibration import (
    coverage_factor,
    fit_scale,
    likelihood_factor,
    size_edges,
)
from postprocess.sigma_scale import SigmaScale, box_sizes, scale_sigma

ONE = ((2.0, 2.0, 2.0, 2.0),)


def gaussian(count, seed=0):
    return torch.randn(count, 4, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def boxes_of_sizes(*sizes):
    return torch.tensor([[5.0, 7.0, 5.0 + size, 7.0 + size] for size in sizes])


def test_both_aims_find_the_width_of_a_gaussian():
    """Errors 1.5 times as large as sigma says: every factor is 1.5."""
    ratios = 1.5 * gaussian(50_000).abs().flatten()
    assert coverage_factor(ratios) == pytest.approx(1.5, rel=0.01)
    assert likelihood_factor(ratios) == pytest.approx(1.5, rel=0.01)


def test_what_one_sigma_covers_too_much_two_sigma_cover_too_little():
    """Of errors with heavier tails, whatever they are, the two coverages add up to a Gaussian's."""
    ratios = gaussian(20_000).abs().flatten() ** 1.5
    factor = coverage_factor(ratios)
    one, two = (float((ratios <= k * factor).double().mean()) for k in (1, 2))
    assert one + two == pytest.approx(0.6827 + 0.9545, abs=1e-3)
    assert one > 0.69
    assert two < 0.95


def test_the_likelihood_is_highest_at_its_factor():
    """The root mean square of 1, 2 and 2 is sqrt(3)."""
    assert likelihood_factor(torch.tensor([1.0, 2.0, 2.0])) == pytest.approx(math.sqrt(3))


def test_each_side_has_its_factor():
    errors = gaussian(40_000) * torch.tensor([1.0, 2.0, 3.0, 4.0])
    sigma, boxes = torch.ones_like(errors), torch.rand(len(errors), 4).cumsum(1)
    scale = fit_scale(errors, sigma, boxes, by="side")
    assert scale.edges == ()
    assert scale.factors[0] == pytest.approx((1.0, 2.0, 3.0, 4.0), rel=0.03)


def test_each_size_has_its_factor():
    """A third of the boxes 10 px, a third 20, a third 40, with errors 1, 2 and 3 times sigma."""
    boxes = boxes_of_sizes(10.0, 20.0, 40.0).repeat(10_000, 1)
    errors = gaussian(30_000) * torch.tensor([1.0, 2.0, 3.0]).repeat(10_000)[:, None]
    scale = fit_scale(errors, torch.ones_like(errors), boxes, by="size")
    assert 10 < scale.edges[0] <= 20 < scale.edges[1] <= 40
    for row, expected in zip(scale.factors, (1.0, 2.0, 3.0), strict=True):
        assert row == pytest.approx([expected] * 4, rel=0.03)


def test_boxes_of_one_size_have_one_factor():
    boxes = boxes_of_sizes(10.0).repeat(100, 1)
    scale = fit_scale(gaussian(100), torch.ones(100, 4), boxes, by="size")
    assert len(scale.factors) == len(scale.edges) + 1 <= 2


def test_fitting_again_changes_nothing():
    errors, sigma, boxes = (
        gaussian(5_000) ** 3,
        torch.ones(5_000, 4),
        boxes_of_sizes(9.0).repeat(5_000, 1),
    )
    once = scale_sigma(sigma, boxes, fit_scale(errors, sigma, boxes))
    (again,) = fit_scale(errors, once, boxes).factors
    assert again == pytest.approx([1.0] * 4)


@pytest.mark.parametrize(("by", "boxes"), [("one", 19), ("side", 19), ("size", 59)])
def test_too_few_detections_are_refused(by, boxes):
    errors = gaussian(boxes)
    with pytest.raises(ValueError, match=f"{boxes} matched detections .* too few .* {by!r}"):
        fit_scale(errors, torch.ones_like(errors), boxes_of_sizes(*range(1, boxes + 1)), by=by)


def test_no_size_bin_is_empty_where_sizes_tie():
    """Of 8 boxes of size 1 and 64 of size 10 both thirds end at 10."""
    boxes = boxes_of_sizes(*[1.0] * 8, *[10.0] * 64)
    assert size_edges(box_sizes(boxes)).tolist() == [10.0]
    scale = fit_scale(gaussian(72), torch.ones(72, 4), boxes, by="size")
    assert len(scale.factors) == 2
    assert size_edges(torch.full((9,), 4.0)).tolist() == []


@pytest.mark.parametrize("error", [0.0, math.inf, math.nan])
@pytest.mark.parametrize("aim", ["coverage", "likelihood"])
def test_errors_without_a_factor_are_refused(error, aim):
    errors = torch.full((40, 4), error)
    with pytest.raises(ValueError, match="Errors that are 0 or not finite have no factor"):
        fit_scale(errors, torch.ones(40, 4), boxes_of_sizes(*range(1, 41)), aim=aim)


def test_a_box_has_the_factor_of_its_size():
    """Sizes 9, 10 and 25 px with edges 10 and 20: an edge belongs to the bin above it."""
    scale = SigmaScale(edges=(10.0, 20.0), factors=((1, 1, 1, 1), (2, 2, 2, 2), (3, 4, 5, 6)))
    found = scale_sigma(torch.full((3, 4), 0.5), boxes_of_sizes(9.0, 10.0, 25.0), scale)
    assert found.tolist() == [[0.5] * 4, [1.0] * 4, [1.5, 2.0, 2.5, 3.0]]
    assert scale_sigma(torch.zeros(0, 4), torch.zeros(0, 4), scale).shape == (0, 4)


def test_the_size_is_the_root_of_the_area():
    assert box_sizes(torch.tensor([[0.0, 0.0, 4.0, 9.0], [3.0, 0.0, 1.0, 5.0]])).tolist() == [
        6.0,
        0.0,
    ]
    assert size_edges(torch.arange(1.0, 8.0)).tolist() == [3.0, 5.0]


@pytest.mark.parametrize(
    ("edges", "factors"),
    [
        ((), ()),
        ((5.0,), ONE),
        ((5.0, 5.0), ONE * 3),
        ((), ((1.0, 1.0, 0.0, 1.0),)),
        ((), ((1.0,),)),
    ],
)
def test_a_scale_that_is_none_is_refused(edges, factors):
    with pytest.raises(ValueError, match="rising edges and one row of four positive factors"):
        SigmaScale(edges=edges, factors=factors)
