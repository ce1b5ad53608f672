"""The records: neutral values, selection, moving; none of them can be changed."""

from dataclasses import FrozenInstanceError, fields

import pytest
import torch

from data.records import Batch, Candidates, Detections, Target

TARGET = Target(boxes=torch.tensor([[0.0, 0, 4, 3], [1.0, 1, 2, 5]]), labels=torch.tensor([2, 1]))


def test_what_is_not_given_is_neutral():
    assert TARGET.crowd.tolist() == TARGET.difficult.tolist() == [False, False]
    assert TARGET.area.tolist() == [12.0, 4.0]
    assert TARGET.clean_boxes is None
    given = Target(boxes=TARGET.boxes, labels=TARGET.labels, area=torch.tensor([7.0, 8.0]))
    assert given.area.tolist() == [7.0, 8.0]


@pytest.mark.parametrize("keep", [torch.tensor([False, True]), torch.tensor([1])])
def test_select_takes_every_field(keep):
    full = Target(
        boxes=TARGET.boxes,
        labels=TARGET.labels,
        crowd=torch.tensor([True, False]),
        difficult=torch.tensor([False, True]),
        area=torch.tensor([7.0, 8.0]),
        clean_boxes=TARGET.boxes + 1,
        sigma_true=TARGET.boxes + 2,
        masks=torch.arange(24, dtype=torch.uint8).reshape(2, 3, 4),
    )
    found = full.select(keep)
    for field in fields(full):
        assert torch.equal(getattr(found, field.name), getattr(full, field.name)[1:])
    assert len(TARGET.select(torch.zeros(2, dtype=torch.bool)).labels) == 0
    assert TARGET.select(keep).clean_boxes is TARGET.select(keep).masks is None


@pytest.mark.parametrize("keep", [torch.tensor([False, True]), torch.tensor([1])])
def test_select_takes_every_field_of_candidates(keep):
    full = Candidates(
        boxes=TARGET.boxes,
        scores=torch.tensor([0.1, 0.2]),
        labels=TARGET.labels,
        variances=TARGET.boxes + 1,
        pixel_variances=TARGET.boxes + 2,
        localization=torch.tensor([0.3, 0.4]),
        probabilities=torch.tensor([[0.9, 0.1], [0.8, 0.2]]),
    )
    found = full.select(keep)
    for field in fields(full):
        assert torch.equal(getattr(found, field.name), getattr(full, field.name)[1:])
    bare = Candidates(boxes=TARGET.boxes, scores=torch.ones(2), labels=TARGET.labels).select(keep)
    assert bare.variances is bare.pixel_variances is bare.localization is None
    assert bare.probabilities is None


def test_to_moves_every_tensor_and_nothing_else():
    """The meta device stands for a GPU."""
    batch = Batch(
        images=torch.zeros(1, 3, 4, 5),
        image_sizes=((4, 5),),
        original_sizes=((8, 10),),
        image_ids=("a",),
        targets=(TARGET,),
        skipped=("a sentence.",),
        proposals=(TARGET.boxes,),
    )
    moved = batch.to("meta")
    assert moved.proposals[0].device.type == "meta"
    assert (
        moved.images.device.type
        == moved.targets[0].boxes.device.type
        == moved.targets[0].crowd.device.type
        == "meta"
    )
    assert moved.targets[0].sigma_true is None
    assert (moved.image_sizes, moved.image_ids, moved.skipped) == (
        batch.image_sizes,
        batch.image_ids,
        batch.skipped,
    )
    assert batch.images.device.type == "cpu"
    none = Batch(
        images=batch.images, image_sizes=((4, 5),), original_sizes=((8, 10),), image_ids=(3,)
    ).to("meta")
    assert none.targets is none.proposals is None
    for record in (
        Candidates(
            boxes=TARGET.boxes, scores=torch.ones(2), labels=TARGET.labels, variances=TARGET.boxes
        ),
        Detections(
            boxes=TARGET.boxes,
            scores=torch.ones(2),
            labels=TARGET.labels,
            masks=torch.ones(2, 4, 4),
        ),
    ):
        assert {
            value.device.type for value in vars(record.to("meta")).values() if value is not None
        } == {"meta"}


def test_records_are_frozen():
    with pytest.raises(FrozenInstanceError):
        TARGET.boxes = torch.zeros(0, 4)


def test_splitting_a_batch_keeps_images_and_order():
    """5 images in 2 parts are 3 + 2; more parts than images are one image each; what was skipped is
    said once.
    """
    targets = tuple(
        Target(boxes=torch.zeros(i, 4), labels=torch.zeros(i, dtype=torch.long)) for i in range(5)
    )
    batch = Batch(
        images=torch.arange(5.0).reshape(5, 1, 1, 1).expand(5, 3, 2, 2),
        image_sizes=((2, 2),) * 5,
        original_sizes=((4, 4),) * 5,
        image_ids=tuple("abcde"),
        targets=targets,
        skipped=("one was broken",),
        proposals=tuple(target.boxes for target in targets),
    )
    assert [part.image_ids for part in batch.split(2)] == [("a", "b", "c"), ("d", "e")]
    parts = batch.split(9)
    assert [part.image_ids for part in parts] == [(name,) for name in "abcde"]
    assert torch.equal(torch.cat([part.images for part in parts]), batch.images)
    assert [len(part.targets[0].boxes) for part in parts] == [0, 1, 2, 3, 4]
    assert [[len(boxes) for boxes in part.proposals] for part in batch.split(2)] == [
        [0, 1, 2],
        [3, 4],
    ]
    assert [len(part.skipped) for part in parts] == [1, 0, 0, 0, 0]
