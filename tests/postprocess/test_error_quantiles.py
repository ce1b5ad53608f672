"""Quantiles of errors in sigmas: order statistics, intervals, and the way back to probabilities."""

import pytest
import torch

from postprocess.error_quantiles import (
    ErrorQuantiles,
    conformal_factors,
    fit_quantiles,
    gaussian_interval,
    interval_at,
    share_within,
)
from postprocess.intervals import holding_boxes, intervals


def gaussian(n, seed):
    return torch.randn(n, 4, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_the_factor_of_a_percent_is_an_order_statistic():
    """Of nine scores 80 % needs the ceil(10 x 0.8) = 8th, 90 % the 9th, and 91 % one more."""
    scores = torch.tensor([9.0, 1.0, 8.0, 2.0, 7.0, 3.0, 6.0, 4.0, 5.0])
    factors = conformal_factors(scores)
    assert len(factors) == 90
    assert (factors[0], factors[79], factors[80], factors[89]) == (1.0, 8.0, 9.0, 9.0)
    assert len(conformal_factors(torch.zeros(0))) == 0
    assert conformal_factors(torch.rand(5, 4)).shape == (83, 4)  # 5 of 6 places
    assert len(conformal_factors(torch.rand(99))) == len(conformal_factors(torch.rand(500))) == 99


@pytest.mark.parametrize("level", [0.6827, 0.8, 0.9, 0.9545])
def test_new_sides_and_boxes_are_held_as_often_as_asked_for(level):
    """Whatever the errors' distribution: here the cube of a Gaussian."""
    fitted, new = gaussian(4_000, seed=1) ** 3, gaussian(4_000, seed=2) ** 3
    sigma, boxes = torch.full((4_000, 4), 0.7), torch.zeros(4_000, 4)
    interval = interval_at(fit_quantiles(fitted, sigma), level)
    ends = intervals(boxes, sigma, interval.sides)
    held = (ends[..., 0] <= new) & (new <= ends[..., 1])
    assert float(held.double().mean()) == pytest.approx(level, abs=0.01)
    outer = holding_boxes(boxes, sigma, interval.holding)
    inside = (outer[:, :2] <= new[:, :2]).all(1) & (new[:, 2:] <= outer[:, 2:]).all(1)
    assert float(inside.double().mean()) == pytest.approx(level, abs=0.02)


def test_a_holding_box_moves_every_side_outwards():
    """The label sticks out by 2 px at x1 (sigma 1) and 3 px at y2 (sigma 3): 2 sigmas hold it."""
    errors, sigma = torch.tensor([[-2.0, 1.0, -4.0, 3.0]]), torch.tensor([[1.0, 1.0, 2.0, 3.0]])
    assert interval_at(fit_quantiles(errors, sigma), 0.5).holding == 2.0
    assert holding_boxes(torch.zeros(1, 4), sigma, 2.0).tolist() == [[-2.0, -2.0, 4.0, 6.0]]
    assert intervals(torch.zeros(1, 4), sigma, (1.0, 2.0, 1.0, 2.0)).tolist() == [
        [[-1.0, 1.0], [-2.0, 2.0], [-2.0, 2.0], [-6.0, 6.0]]
    ]


QUANTILES = ErrorQuantiles(
    sides=tuple((0.01 * p, 0.02 * p, 0.03 * p, max(0.0, 0.1 * (p - 20))) for p in range(1, 91)),
    holding=tuple(p / 10 - 2 for p in range(1, 91)),
)


def test_levels_between_two_percents_are_linear():
    found = interval_at(QUANTILES, 0.505)
    assert found.sides == pytest.approx((0.505, 1.01, 1.515, 3.05))
    assert found.holding == pytest.approx(3.05)
    assert interval_at(QUANTILES, 0.01).sides == pytest.approx((0.01, 0.02, 0.03, 0.0))
    assert interval_at(QUANTILES, 0.9).sides == pytest.approx((0.9, 1.8, 2.7, 7.0))


@pytest.mark.parametrize("level", [0.005, 0.91, 0.999])
def test_levels_that_were_not_fitted_are_refused(level):
    with pytest.raises(ValueError, match=r"levels from 0\.01 to 0\.9, and not for"):
        interval_at(QUANTILES, level)


def test_a_distance_is_turned_back_into_a_share():
    """20 % of the labels of y2 are not off at all; beyond what was measured 90 % stays 90 %."""
    distance = torch.tensor([[0.4, 0.4, 0.4, 0.0], [0.005, 0.0, 99.0, 0.55]])
    found = share_within(QUANTILES, distance)
    expected = torch.tensor([[0.4, 0.2, 0.4 / 3, 0.2], [0.005, 0.0, 0.9, 0.255]])
    torch.testing.assert_close(found, expected)
    assert share_within(QUANTILES, torch.zeros(0, 4)).shape == (0, 4)


def test_levels_and_shares_are_each_others_inverse():
    quantiles = fit_quantiles(gaussian(500, seed=3), torch.ones(500, 4))
    for level in (0.1, 0.333, 0.6827, 0.99):
        reach = torch.tensor([interval_at(quantiles, level).sides], dtype=torch.float64)
        torch.testing.assert_close(share_within(quantiles, reach), torch.full_like(reach, level))


def test_gaussian_errors_have_a_gaussians_interval():
    fitted = interval_at(fit_quantiles(gaussian(40_000, seed=4), torch.ones(40_000, 4)), 0.9)
    expected = gaussian_interval(0.9)
    assert fitted.sides == pytest.approx(expected.sides, abs=0.03)
    assert fitted.holding == pytest.approx(expected.holding, abs=0.03)


def test_rows_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="2 rows and 1 factors"):
        ErrorQuantiles(sides=((1.0,) * 4,) * 2, holding=(1.0,))
