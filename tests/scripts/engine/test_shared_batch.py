"""Processes with different numbers of images make the same number of forward passes."""

import pytest
import torch

from data.errors import DataError
from data.records import Batch
from scripts.engine.shared_batch import SharedBatch, agreed


def batch_of(images):
    sizes = ((8, 8),) * images
    return Batch(
        images=torch.zeros(images, 3, 8, 8),
        image_sizes=sizes,
        original_sizes=sizes,
        image_ids=tuple(range(images)),
    )


@pytest.mark.parametrize("most", range(1, 9))
def test_the_number_of_parts_does_not_depend_on_a_processes_own_images(most):
    for parts in range(1, most + 1):
        splits = [
            SharedBatch(own=batch_of(own), of_images=9, most_images=most).split(parts)
            for own in range(1, most + 1)
        ]
        assert len({len(pieces) for pieces in splits}) == 1
        assert len(splits[0]) <= parts
        for own, pieces in enumerate(splits, start=1):
            counted = [
                image for piece in pieces if not piece.is_stand_in for image in piece.image_ids
            ]
            assert counted == list(range(own))


def test_alone_a_batch_is_what_it_is():
    batch = batch_of(3)
    shared = agreed(batch, None, wants_stop=False)
    assert shared.own is batch
    assert (shared.of_images, shared.most_images, shared.skipped) == (3, 3, 0)
    assert [len(part.images) for part in shared.split(2)] == [2, 1]


def test_a_stop_is_no_batch_and_a_fault_is_raised():
    assert agreed(None, None, wants_stop=True) is None
    assert agreed(batch_of(1), None, wants_stop=True) is None
    with pytest.raises(DataError, match="gone"):
        agreed(None, DataError("gone"), wants_stop=True)
