"""Moved sides on numbers that a person can check, and that they add up."""

import math

import pytest
import torch

from data.scoring.box_moves import find_moves, percent_closer
from data.scoring.side_moves import QUANTILES, moves_as_json, moves_by_sigma
from tests.data.scoring.test_box_moves import AFTER, BEFORE, OBJECT


def test_one_box_by_hand():
    """x1 comes 2 px nearer to the label, y2 goes 1 px away from it, and comes 1 px nearer to the
    clean box."""
    moves = find_moves([BEFORE], [AFTER], [OBJECT])
    parts = moves_as_json(moves, torch.tensor([[3.0, 1.0, 2.0, 4.0]]))
    labels, clean = parts["labels"][0], parts["clean"][0]
    assert (labels["sides"], labels["nearer"], labels["farther"], labels["still"]) == (4, 1, 1, 2)
    assert (labels["nearer_mean"], labels["farther_mean"]) == (2.0, 1.0)
    assert (clean["nearer"], clean["farther"]) == (2, 0)
    assert clean["nearer_mean"] == 1.5
    assert math.isnan(clean["farther_median"])
    assert [part["sigma"] for part in parts["labels"]] == [(1, 4), (1, 1), (2, 2), (3, 3), (4, 4)]
    assert [part["nearer"] for part in parts["labels"]] == [1, 0, 0, 1, 0]  # x1 has sigma 3


def test_all_sides_are_those_of_the_quantiles():
    torch.manual_seed(0)
    n = 37
    moves = find_moves([BEFORE], [AFTER], [OBJECT])
    columns = {name: 50 * torch.rand(n, 4) for name in ("before", "labeled")}
    step = torch.randn(n, 4) * torch.randint(0, 2, (n, 4))
    after = columns["before"] + step
    moves = type(moves)(**{**vars(moves), **columns, "after": after, "clean": None})
    everything, *parts = moves_by_sigma(moves, moves.labeled, torch.rand(n, 4))
    assert len(parts) == QUANTILES
    for part in (everything, *parts):
        assert part.sides == part.nearer + part.farther + part.still
    for name in ("sides", "nearer", "farther", "still"):
        assert sum(getattr(part, name) for part in parts) == getattr(everything, name)
    assert everything.still == int((step.abs() <= 0.01).sum())
    closer = percent_closer(moves.before, moves.after, moves.labeled)
    assert closer == pytest.approx(
        100 * everything.nearer / (everything.nearer + everything.farther)
    )
    assert parts[0].sigma[1] <= parts[1].sigma[0]


def test_without_a_move_there_is_nothing_to_average():
    moves = find_moves([], [], [])
    parts = moves_as_json(moves, torch.zeros(0, 4))
    assert parts["labels"][0]["sides"] == 0
    assert math.isnan(parts["labels"][0]["nearer_mean"])
