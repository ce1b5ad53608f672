"""Coverage, likelihood and rank correlation on numbers that can be checked by hand, and on
Gaussians.
"""

import math

import pytest
import torch

from data.records import Detections, Target
from data.scoring.calibration import (
    EXPECTED_COVERAGE,
    average_ranks,
    calibration,
    ence,
    evaluate_calibration,
    gaussian_nll,
    match_detections,
    spearman,
)


def test_average_ranks_share_ties():
    assert average_ranks(torch.tensor([30.0, 10.0, 20.0, 20.0])).tolist() == [4.0, 1.0, 2.5, 2.5]
    assert average_ranks(torch.tensor([5.0, 5.0, 5.0])).tolist() == [2.0, 2.0, 2.0]


def test_spearman_by_hand():
    # Without ties it is 1 - 6 sum d^2 / (n (n^2 - 1)): ranks 1 2 3 4 5 against 2 1 4 3 5 give 1 - 6
    # * 4 / 120 = .8.
    first = torch.tensor([1.0, 2.0, 3.0, 4.0, 5.0])
    assert spearman(first, torch.tensor([20.0, 10.0, 40.0, 30.0, 50.0])) == pytest.approx(0.8)
    assert spearman(first, first**3) == pytest.approx(1.0)
    assert spearman(first, -first) == pytest.approx(-1.0)
    # Ties: ranks 1 2.5 2.5 4 and 1 2 3 4: sum of products of deviations 4.5, norms sqrt(4.5) and
    # sqrt(5).
    ties = spearman(torch.tensor([1.0, 2.0, 2.0, 3.0]), torch.tensor([1.0, 2.0, 3.0, 4.0]))
    assert ties == pytest.approx(4.5 / math.sqrt(4.5 * 5))


def test_spearman_of_a_constant_or_of_too_little_is_nan():
    assert math.isnan(spearman(torch.ones(5), torch.arange(5.0)))
    assert math.isnan(spearman(torch.zeros(1), torch.zeros(1)))
    assert math.isnan(spearman(torch.zeros(0), torch.zeros(0)))


def test_spearman_of_a_nan_is_nan():
    """Sorting takes it for the largest, which would make a rank of it."""
    assert math.isnan(spearman(torch.tensor([1.0, 2.0, math.nan]), torch.arange(3.0)))
    assert math.isnan(spearman(torch.arange(3.0), torch.tensor([1.0, 2.0, math.nan])))


def test_coverage_and_likelihood_by_hand():
    # |error| / sigma = .5 1 1.5 3: two within one sigma, three within two.
    errors, sigma = torch.tensor([[0.5, -2.0, 4.5, -12.0]]), torch.tensor([[1.0, 2.0, 3.0, 4.0]])
    scores = calibration(errors, sigma)
    assert scores["coverage1"] == 50.0
    assert scores["coverage2"] == 75.0
    assert scores["spearman_error"] == pytest.approx(1.0)
    squares = (0.5**2 + 1 + 1.5**2 + 9) / 8
    assert scores["nll"] == pytest.approx(squares + math.log(24) / 4 + 0.5 * math.log(2 * math.pi))
    assert scores["n"] == 1


def test_likelihood_is_that_of_torch():
    torch.manual_seed(0)
    errors, sigma = torch.randn(6, 4), torch.rand(6, 4) + 0.1
    torch.testing.assert_close(
        gaussian_nll(errors, sigma), -torch.distributions.Normal(0.0, sigma).log_prob(errors)
    )


def test_a_gaussian_is_calibrated():
    generator = torch.Generator().manual_seed(0)
    sigma = 0.5 + 5 * torch.rand(20000, 4, generator=generator)
    errors = sigma * torch.randn(20000, 4, generator=generator)
    scores = calibration(errors, sigma)
    for key, expected in EXPECTED_COVERAGE.items():
        assert scores[key] == pytest.approx(expected, abs=0.7)
    assert scores["spearman_error"] > 0.3
    # The right sigma has the best likelihood; a common factor moves it by its logarithm and nothing
    # else.
    assert scores["nll"] < min(calibration(errors, factor * sigma)["nll"] for factor in (0.8, 1.25))
    scaled = calibration(10 * errors, 10 * sigma)
    assert scaled["nll"] == pytest.approx(scores["nll"] + math.log(10), abs=1e-5)
    assert scaled["spearman_error"] == pytest.approx(scores["spearman_error"], abs=1e-5)


def test_no_matches_are_nan_and_bad_sigmas_are_refused():
    empty = calibration(torch.zeros(0, 4), torch.zeros(0, 4))
    assert empty.pop("n") == 0
    assert all(math.isnan(value) for value in empty.values())
    with pytest.raises(ValueError, match="4 of 4 box sides"):
        calibration(torch.zeros(1, 4), torch.zeros(1, 4))
    with pytest.raises(ValueError, match="1 of 4 box sides"):
        calibration(torch.tensor([[0.0, float("nan"), 0.0, 0.0]]), torch.ones(1, 4))


A, B = [0.0, 0, 10, 10], [20.0, 0, 30, 10]


def found(boxes, scores, labels, sigma=None):
    return Detections(
        boxes=torch.tensor(boxes).reshape(-1, 4),
        scores=torch.tensor(scores),
        labels=torch.tensor(labels, dtype=torch.int64),
        sigma=sigma,
    )


def test_matching_is_greedy_by_score_within_a_class():
    shifted = [1.0, 0, 11, 10]  # IoU with A: 9 / 11
    target = Target(boxes=torch.tensor([A, B, A]), labels=torch.tensor([1, 1, 2]))
    row, column = match_detections(
        found([shifted, A, B, A], [0.9, 0.8, 0.7, 0.6], [1, 1, 1, 2]), target
    )
    assert list(zip(row.tolist(), column.tolist(), strict=True)) == [(0, 0), (2, 1), (3, 2)]
    row, _ = match_detections(found([shifted], [0.9], [1]), target, iou=0.9)
    assert len(row) == 0


def test_crowds_are_not_matched_and_empty_is_fine():
    crowd = Target(boxes=torch.tensor([A]), labels=torch.tensor([1]), crowd=torch.tensor([True]))
    assert len(match_detections(found([A], [0.9], [1]), crowd)[0]) == 0
    nothing = Target(boxes=torch.zeros(0, 4), labels=torch.zeros(0, dtype=torch.int64))
    assert len(match_detections(found([A], [0.9], [1]), nothing)[0]) == 0
    assert len(match_detections(found([], [], []), crowd)[0]) == 0


def test_a_data_set_with_known_noise():
    # Labels are the clean boxes plus noise. Detection: clean box A moved by (1, 0, -1, 2): mean
    # distance 4 / 4 = 1 px.
    sigma_true = torch.tensor([[1.0, 2.0, 3.0, 4.0]])
    target = Target(
        boxes=torch.tensor([[0.0, 1.0, 10.0, 10.0]]),
        labels=torch.tensor([1]),
        clean_boxes=torch.tensor([A]),
        sigma_true=sigma_true,
    )
    detections = [
        found([[1.0, 0.0, 9.0, 12.0]], [0.9], [1], 2 * sigma_true),
        found([], [], [], torch.zeros(0, 4)),
    ]
    nothing = target.select(torch.zeros(0, dtype=torch.int64))
    scores = evaluate_calibration(detections, [target, nothing])
    assert scores["clean_distance"] == pytest.approx(1.0)
    assert scores["spearman_true"] == pytest.approx(1.0)
    assert scores["n"] == 1
    assert scores["coverage1"] == 100.0  # errors against the label: 1, -1, -1, 2; sigmas 2 4 6 8


def test_what_is_not_known_is_nan():
    target = Target(boxes=torch.tensor([A]), labels=torch.tensor([1]))
    scores = evaluate_calibration([found([A], [0.9], [1])], [target])
    assert scores.pop("n") == 1
    assert {"coverage1", "clean_distance", "spearman_true", "spearman_true_relative"} <= set(scores)
    assert all(math.isnan(value) for value in scores.values())
    assert evaluate_calibration([], [])["n"] == 0


def test_relative_rank_correlation_takes_the_size_of_the_box_out():
    """Sigma is 10 % of a side everywhere; the truth is 10 % for the small box and 5 % for the large
    one. In px both grow with the box (correlation 1); relative to the side the prediction is
    constant, which ranks nothing (nan)."""
    boxes = torch.tensor([[0.0, 0.0, 10.0, 10.0], [100.0, 100.0, 200.0, 200.0]])
    labels = torch.tensor([1, 2])
    sides = torch.tensor([[10.0] * 4, [100.0] * 4])
    found = Detections(
        boxes=boxes, scores=torch.tensor([0.9, 0.8]), labels=labels, sigma=0.1 * sides
    )
    truth = torch.tensor([[0.1], [0.05]]) * sides
    known = Target(boxes=boxes, labels=labels, clean_boxes=boxes, sigma_true=truth)
    scores = evaluate_calibration([found], [known])
    assert scores["spearman_true"] == pytest.approx(1.0)
    assert math.isnan(scores["spearman_true_relative"])


def test_ence_is_the_relative_miss_of_the_root_mean_squares():
    """Two bins: sigma 1 with errors of 2, and sigma 4 with errors of 3: (1/1 + 1/4) / 2."""
    sigma = torch.tensor([[1.0, 1.0, 4.0, 4.0]])
    errors = torch.tensor([[2.0, -2.0, 3.0, -3.0]])
    assert ence(errors, sigma, bins=2) == pytest.approx(0.625)
    assert ence(sigma, sigma, bins=2) == 0.0
    assert math.isnan(ence(torch.zeros(0, 4), torch.zeros(0, 4)))


def test_ence_keeps_equal_sigmas_in_their_order():
    """10 bins of 40 sides, one error a bin: 1, 2, ..., 10; every sigma is 1."""
    errors = torch.arange(1.0, 11.0).repeat_interleave(40).reshape(-1, 4)
    assert ence(errors, torch.ones_like(errors)) == pytest.approx(4.5)


def test_ence_of_a_gaussian_is_near_zero_and_half_if_sigma_is_twice_too_wide():
    sigma = torch.rand(20_000, 4, generator=torch.Generator().manual_seed(0)) + 0.5
    errors = sigma * torch.randn(20_000, 4, generator=torch.Generator().manual_seed(1))
    assert ence(errors, sigma) < 0.02
    assert ence(errors, 2 * sigma) == pytest.approx(0.5, abs=0.02)
