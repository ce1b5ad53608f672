"""Actions that are compared are called in turn."""

import torch

from scripts.engine import timing
from scripts.engine.timing import interleaved


def test_actions_are_called_in_turn(monkeypatch):
    monkeypatch.setattr(timing, "WARM_UP", {"cpu": 1})
    calls = []
    actions = [lambda: calls.append("A"), lambda: calls.append("B")]
    times = interleaved(actions, 3, torch.device("cpu"))
    assert "".join(calls) == "AB" + "ABABAB"
    assert len(times) == 2
    assert all(0 <= t.q1 <= t.median <= t.q3 for t in times)
