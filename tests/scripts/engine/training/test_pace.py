"""How fast a training is, by a clock that the test moves."""

import pytest

from scripts.engine.training import pace as module
from scripts.engine.training.pace import RECENT, Pace


@pytest.fixture
def clock(monkeypatch):
    now = [1000.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: now[0])
    return now


def make_updates(pace, clock, count, seconds, waited=0.0):
    for _ in range(count):
        clock[0] += seconds
        pace.waited += waited
        pace.updated(images=4)


def pause(pace, clock, seconds):
    clock[0] += seconds
    pace.pause_ended()


def test_the_first_updates_count_from_the_beginning(clock):
    pace = Pace()
    make_updates(pace, clock, 1, seconds=10.0, waited=2.0)
    assert pace.lately() == (0.4, 0.2)
    assert pace.seconds_for(3) == 30.0
    make_updates(pace, clock, 1, seconds=30.0, waited=2.0)
    assert pace.lately() == (8 / 40, 4 / 40)
    assert pace.seconds_for(3) == 60.0
    assert pace.seconds_for(0) == 0.0


def test_slow_first_updates_are_forgotten(clock):
    """A GPU prepares each new size of images once; the time that is left must not be that of the
    mean of all updates."""
    pace = Pace()
    make_updates(pace, clock, 10, seconds=64.0, waited=1.0)
    make_updates(pace, clock, RECENT - 1, seconds=0.5)
    assert pace.seconds_for(RECENT) == 64.0 + 0.5 * (RECENT - 1)
    make_updates(pace, clock, 1, seconds=0.5)
    assert pace.lately() == (8.0, 0.0)
    assert pace.seconds_for(10) == 5.0
    assert pace.images == 4 * (10 + RECENT)


def test_validations_and_checkpoints_belong_to_no_update(clock):
    """They count as often as until now, whether or not there was one lately."""
    pace = Pace()
    make_updates(pace, clock, 500, seconds=0.5)
    pause(pace, clock, seconds=300.0)
    make_updates(pace, clock, 1, seconds=0.5)
    assert pace.lately() == (8.0, 0.0)
    assert pace.seconds_for(501) == pytest.approx(501 * 0.5 + 300.0)
    make_updates(pace, clock, 499, seconds=0.5)
    assert pace.seconds_for(1000) == pytest.approx(500.0 + 300.0)


def test_waiting_in_a_pause_is_not_that_of_the_next_update(clock):
    pace = Pace()
    make_updates(pace, clock, 1, seconds=1.0)
    pace.waited += 5.0
    pause(pace, clock, seconds=5.0)
    make_updates(pace, clock, 1, seconds=1.0, waited=0.5)
    assert pace.lately() == (4.0, 0.25)


def test_the_numbers_since_the_last_call_are_another_window(clock):
    pace = Pace()
    make_updates(pace, clock, 2, seconds=2.0)
    assert pace.since_last()["speed/images_per_second"] == 2.0
    make_updates(pace, clock, 1, seconds=1.0, waited=0.5)
    numbers = pace.since_last()
    assert (numbers["speed/images_per_second"], numbers["speed/waiting_for_data"]) == (4.0, 0.5)
