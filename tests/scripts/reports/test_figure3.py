"""The histograms of Figure 3."""

import numpy as np
import pytest

from scripts.reports import figure3


def test_a_density_has_the_area_of_what_lies_inside():
    values = np.concatenate([np.linspace(0, 1, 90), np.full(10, 5.0)])
    edges = np.linspace(0, 1, 21)
    assert (figure3.density(values, edges) * np.diff(edges)).sum() == pytest.approx(0.9)
    assert figure3.outside(values, edges) == pytest.approx(10.0)
    assert figure3.outside(values[:0], edges) == 0.0
    offsets = [
        (np.full((50, 4), 1.0), np.full((49, 4), 2.0)),
        (np.full((1, 4), 1000.0), np.zeros((0, 4))),
    ]
    edges = figure3.shared_bins(offsets, 0)
    assert edges[0] == 0
    assert 2 <= edges[-1] < 1000  # the outlier does not stretch the axis
    assert figure3.shared_bins([], 0)[-1] == 1.0
