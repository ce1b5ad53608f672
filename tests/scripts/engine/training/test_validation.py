"""Which network is the best so far, and when patience ends."""

import pytest

from scripts.engine.training.validation import (
    Validation,
    best_line,
    is_out_of_patience,
    metric_lines,
    write_lines,
)


def lines(*aps):
    return [{"updates": 10 * (k + 1), "AP": ap} for k, ap in enumerate(aps)]


@pytest.mark.parametrize(
    ("aps", "best"), [((), None), ((1.0, 3.0, 2.0), 20), ((3.0, 3.0), 10), ((None, 1.0), 20)]
)
def test_the_first_of_the_best(aps, best):
    line = best_line(lines(*aps))
    assert (line and line["updates"]) == best


def test_patience_counts_validations_since_the_best():
    assert not is_out_of_patience(lines(1.0, 3.0, 2.0), 2)
    assert is_out_of_patience(lines(1.0, 3.0, 2.0, 2.9), 2)
    assert not is_out_of_patience(lines(1.0, 3.0, 2.0, 3.1), 2)
    assert not is_out_of_patience(lines(3.0, 2.0, 2.0), None)
    assert not is_out_of_patience([], 1)


def test_lines_after_the_last_checkpoint_are_made_again(tmp_path):
    path = tmp_path / "metrics.jsonl"
    assert metric_lines(path, 100) == []
    write_lines(path, [*lines(1.0, 2.0), {"updates": 30, "AP": float("nan")}])
    assert metric_lines(path, 20) == lines(1.0, 2.0)
    assert metric_lines(path, 30)[-1]["AP"] is None


def test_a_validation_is_due_at_its_interval_and_at_the_end():
    validation = Validation(dataset=None, every=4, epoch=4)
    assert [done for done in range(1, 11) if validation.is_due(done, 10)] == [4, 8, 10]
