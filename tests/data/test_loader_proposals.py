"""Saved proposals travel with their image through the loader."""

import itertools
from dataclasses import replace

import pytest
import torch

from data.boxes import flip_horizontal
from data.errors import DataError
from data.formats.saved_proposals import load_proposals, save_proposals
from data.loader import test_batches, train_batches
from data.records import Proposals, Target
from tests.data.synthetic import CONFIG, MANY_SIZES, Synthetic, take


def saved(folder, data, ids=None):
    """Proposals of each image in original px: its whole left half, the whole of its first object,
    and one box of its own.
    """
    found = []
    for i, size in enumerate(data.sizes):
        boxes = torch.tensor([[0.0, 0, size[1] / 2, size[0]], [1, 2, 9, 12], [3, 3, 7 + i / 10, 9]])
        found.append(Proposals(boxes=boxes, objectness=torch.tensor([3.0, 2, 1])))
    save_proposals(folder / "p.npz", data.image_ids if ids is None else ids, found)
    return load_proposals(folder / "p.npz")


@pytest.mark.parametrize("workers", [0, 1])
def test_proposals_go_the_way_of_the_image(tmp_path, workers):
    """Mirrored and resized as the objects are: the second proposal is the first object, at every
    scale.
    """
    data = Synthetic(11, broken=(3,))
    proposals = saved(tmp_path, data)
    stream = train_batches(
        data, MANY_SIZES, batch_size=4, seed=0, start=0, workers=workers, proposals=proposals
    )
    mirrored = 0
    for batch in itertools.islice(stream, 12):
        # an unreadable image has taken its proposals with it
        assert len(batch.proposals) == len(batch.image_ids)
        rows = zip(
            batch.image_ids,
            batch.image_sizes,
            batch.original_sizes,
            batch.targets,
            batch.proposals,
            strict=True,
        )
        for image_id, size, original, target, boxes in rows:
            torch.testing.assert_close(boxes[1], target.boxes[0])
            scale = size[0] / original[0]
            own = boxes.new_tensor([3, 3, 7 + image_id / 10, 9]) * scale
            half = boxes.new_tensor([0, 0, size[1] / 2, size[0]])
            if boxes[0, 0] > 0:
                own, half, mirrored = (
                    flip_horizontal(own, size[1]),
                    flip_horizontal(half, size[1]),
                    mirrored + 1,
                )
            torch.testing.assert_close(boxes[[0, 2]], torch.stack([half, own]))
        pieces = batch.split(3)
        for first, second in zip(
            batch.proposals, [boxes for piece in pieces for boxes in piece.proposals], strict=True
        ):
            assert first is second
        assert all(len(piece.proposals) == len(piece.images) for piece in pieces)
    stream.close()
    assert 10 < mirrored < 38  # of 48 less the unreadable
    for batch in test_batches(
        Synthetic(5), CONFIG, batch_size=2, workers=workers, proposals=proposals
    ):
        for i, boxes in zip(batch.image_ids, batch.proposals, strict=True):
            torch.testing.assert_close(boxes[2], torch.tensor([3, 3, 7 + i / 10, 9]))


def test_without_saved_proposals_there_are_none():
    assert all(batch.proposals is None for batch in take(Synthetic(4), 2))
    assert next(test_batches(Synthetic(4), CONFIG, batch_size=2, workers=0)).proposals is None


def test_training_and_testing_keep_their_own_number_of_proposals(tmp_path):
    data = Synthetic(4)
    proposals = saved(tmp_path, data)
    for config, train, test in (
        (CONFIG, 3, 3),
        (replace(CONFIG, proposals_train=2, proposals_test=1), 2, 1),
    ):
        stream = train_batches(
            data, config, batch_size=4, seed=0, start=0, workers=0, proposals=proposals
        )
        assert [len(boxes) for boxes in next(stream).proposals] == [train] * 4
        stream = test_batches(data, config, batch_size=4, workers=0, proposals=proposals)
        assert [len(boxes) for batch in stream for boxes in batch.proposals] == [test] * 4


def test_an_image_without_a_usable_proposal_has_an_empty_one(tmp_path):
    save_proposals(
        tmp_path / "p.npz",
        (0, 1),
        [
            Proposals(boxes=torch.tensor([[1.0, 1, 2, 2]]), objectness=torch.zeros(1)),
            Proposals(boxes=torch.zeros(0, 4), objectness=torch.zeros(0)),
        ],
    )
    proposals = load_proposals(tmp_path / "p.npz")
    batch = next(
        train_batches(
            Synthetic(2), CONFIG, batch_size=2, seed=0, start=0, workers=0, proposals=proposals
        )
    )
    assert [boxes.shape for boxes in batch.to("cpu").proposals] == [(0, 4), (0, 4)]


class Crowded(Synthetic):
    """The second object is a crowd region."""

    def target(self, index):
        boxes = torch.tensor([[1.0, 2.0, 9.0, 12.0], [2.0, 3.0, 6.0, 9.0]])
        return Target(
            boxes=boxes, labels=torch.ones(2, dtype=torch.long), crowd=torch.tensor([False, True])
        )


@pytest.mark.parametrize(("limit", "train"), [(0.7, 2), (0.8, 3)])
def test_proposals_inside_a_crowd_are_left_out_of_training_only(tmp_path, limit, train):
    """[3, 3, 7, 9] lies in the crowd to 3/4; the first object, of 80 px^2, to 24/80."""
    data, config = Crowded(1), replace(CONFIG, proposals_crowd_iou=limit)
    proposals = saved(tmp_path, data)
    batch = next(
        train_batches(data, config, batch_size=1, seed=0, start=0, workers=0, proposals=proposals)
    )
    assert len(batch.proposals[0]) == train
    assert len(batch.targets[0].labels) == 1
    batch = next(test_batches(data, config, batch_size=1, workers=0, proposals=proposals))
    assert len(batch.proposals[0]) == 3


@pytest.mark.parametrize("workers", [0, 1])
def test_images_without_saved_proposals_stop_at_the_start(tmp_path, workers):
    data = Synthetic(4, empty=(2,))
    for ids, says in (
        ((0, 1, 2, 30), "no proposals of image 3;"),
        (tuple("abcd"), "of none of the 3 images"),
    ):
        with pytest.raises(DataError, match=says):
            next(
                train_batches(
                    data,
                    CONFIG,
                    batch_size=2,
                    seed=0,
                    start=0,
                    workers=workers,
                    proposals=saved(tmp_path, data, ids),
                )
            )
        with pytest.raises(DataError, match=says.replace("none of the 3", "none of the 4")):
            next(
                test_batches(
                    data,
                    CONFIG,
                    batch_size=2,
                    workers=workers,
                    proposals=saved(tmp_path, data, ids),
                )
            )
    unused = saved(tmp_path, data, (0, 1, 20, 3))  # image 2 has no object and is not trained on
    next(
        train_batches(
            data, CONFIG, batch_size=2, seed=0, start=0, workers=workers, proposals=unused
        )
    )
