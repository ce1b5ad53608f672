"""Detections that choose in turn, against the loop that says what it means."""

import pytest
import torch

from data.scoring.turns import NOTHING, take_in_turn


def one_after_the_other(preference):
    """The definition: each detection takes the free object that it prefers most."""
    preference = preference.clone()
    taken = []
    for row in preference:
        liked, wanted = row.max(dim=0) if len(row) else (-1, NOTHING)
        taken.append(int(wanted) if liked >= 0 else NOTHING)
        if liked >= 0:
            preference[:, wanted] = -1
    return taken


@pytest.mark.parametrize("seed", range(30))
def test_rounds_give_what_turns_give(seed):
    generator = torch.Generator().manual_seed(seed)
    shape = torch.randint(1, 12, (2,), generator=generator).tolist()
    preference = torch.rand(shape, generator=generator)
    if seed % 2:
        preference = (4 * preference).round() / 4  # ties
    preference[torch.rand(shape, generator=generator) < 0.4] = -1
    before = preference.clone()
    assert take_in_turn(preference).tolist() == one_after_the_other(preference)
    assert torch.equal(preference, before)


def test_a_chain_of_refusals_is_followed_to_its_end():
    """All want the first object most, then the second, and so on: n rounds."""
    preference = torch.linspace(1, 0, 20).repeat(25, 1)
    assert take_in_turn(preference).tolist() == [*range(20), *[NOTHING] * 5]


def test_nothing_takes_nothing():
    assert take_in_turn(torch.zeros(0, 3)).shape == (0,)
    assert take_in_turn(torch.zeros(2, 0)).tolist() == [NOTHING] * 2
    assert take_in_turn(torch.zeros(0, 0)).shape == (0,)
    assert take_in_turn(-torch.ones(2, 3)).tolist() == [NOTHING] * 2
