"""The area under the ROC curve against counts of pairs by hand, and its laws."""

import math

import numpy as np
import pytest

from data.scoring.ranking import ranking_auc


@pytest.mark.parametrize(
    ("positive", "negative", "expected"),
    [
        ([3.0, 4.0], [1.0, 2.0], 1.0),
        ([1.0, 2.0], [3.0, 4.0], 0.0),
        ([2.0], [1.0, 2.0, 3.0], 0.5),  # wins, ties, loses
        ([2.0, 5.0], [1.0, 2.0, 3.0, 4.0], (1.5 + 4) / 8),
        ([1.0, 1.0], [1.0, 1.0, 1.0], 0.5),
    ],
)
def test_pairs_by_hand(positive, negative, expected):
    assert ranking_auc(np.array(positive), np.array(negative)) == expected


def test_only_the_order_matters():
    generator = np.random.default_rng(0)
    positive, negative = generator.normal(1, 1, 50), generator.normal(0, 1, 70)
    pairs = positive[:, None] > negative[None]
    assert ranking_auc(positive, negative) == pytest.approx(pairs.mean())
    assert ranking_auc(np.exp(positive), np.exp(negative)) == ranking_auc(positive, negative)
    assert ranking_auc(-negative, -positive) == pytest.approx(ranking_auc(positive, negative))


def test_nothing_to_rank():
    assert math.isnan(ranking_auc(np.zeros(0), np.ones(2)))
    assert math.isnan(ranking_auc(np.ones(2), np.zeros(0)))
