"""Which network is the best so far, and when patience ends."""

import math

import pytest
import torch

from data.errors import DataError
from data.records import Target
from scripts.engine.training.validation import (
    Validation,
    best_line,
    check_has_objects,
    is_out_of_patience,
    metric_lines,
    write_lines,
)


def lines(*aps):
    return [{"updates": 10 * (k + 1), "AP": ap} for k, ap in enumerate(aps)]


@pytest.mark.parametrize(
    ("aps", "best"),
    [
        ((), None),
        ((1.0, 3.0, 2.0), 20),
        ((3.0, 3.0), 10),
        ((None, 1.0), 20),
        ((math.nan, 1.0), 20),
        ((math.nan,), None),
    ],
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


def test_an_ap_that_is_no_number_is_as_in_the_file_of_a_training_that_goes_on(tmp_path):
    """There it is null."""
    now = lines(math.nan, 3.0, 2.0, 1.0)
    write_lines(tmp_path / "metrics.jsonl", now)
    for known in (now, metric_lines(tmp_path / "metrics.jsonl", 100)):
        assert best_line(known)["updates"] == 20
        assert [is_out_of_patience(known[:count], 2) for count in (2, 3, 4)] == [False, False, True]


@pytest.mark.parametrize("ignored", ["crowd", "difficult"])
def test_objects_that_no_score_counts_are_nothing_to_validate_on(ignored):
    boxes = torch.tensor([[0.0, 0, 9, 9], [5, 5, 20, 20]])
    labels = torch.ones(2).long()

    class Labeled:
        def __init__(self, flags):
            self.flags = torch.tensor(flags)

        def __len__(self):
            return 1

        def target(self, index):
            return Target(boxes=boxes, labels=labels, **{ignored: self.flags})

    check_has_objects(Labeled([True, False]), "val")
    with pytest.raises(DataError, match=r"None of the 1 images to validate on \(val\) has a"):
        check_has_objects(Labeled([True, True]), "val")


def test_lines_after_the_last_checkpoint_are_made_again(tmp_path):
    path = tmp_path / "metrics.jsonl"
    assert metric_lines(path, 100) == []
    write_lines(path, [*lines(1.0, 2.0), {"updates": 30, "AP": float("nan")}])
    assert metric_lines(path, 20) == lines(1.0, 2.0)
    assert metric_lines(path, 30)[-1]["AP"] is None


def test_a_validation_is_due_at_its_interval_and_at_the_end():
    validation = Validation(dataset=None, every=4, epoch=4)
    assert [done for done in range(1, 11) if validation.is_due(done, 10)] == [4, 8, 10]
