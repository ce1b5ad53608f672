"""What has a budget never takes more than its share of the time."""

from scripts.engine.tensorboard.budget import Budget


def test_all_of_it_takes_at_most_its_share():
    """Every second it is asked; each time it takes two seconds."""
    now = 0.0
    budget = Budget(0.1, first_s=1.0, clock=lambda: now)
    times = []
    while now < 200:
        if budget.allows:
            times.append(now)
            with budget.spending():
                now += 2.0
            assert budget.spent <= 0.1 * now + 1.0  # that the first one was expected to take less
        now += 1.0
    assert times[0] == 10.0
    assert times[1] >= 40.0
    assert 8 <= len(times) <= 10
