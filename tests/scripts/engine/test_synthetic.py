import torch

from data.boxes import area, box_iou
from scripts.engine.synthetic import (
    dense_candidates,
    ellipses,
    random_batch,
    random_boxes,
    trained_candidates,
)


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def inside(boxes, size):
    height, width = size
    limit = torch.tensor([width, height, width, height])
    return bool(((boxes >= 0) & (boxes <= limit)).all())


def test_random_batch_is_a_function_of_the_generator_and_fits_the_image():
    batch = random_batch(
        images=2, size=(60, 80), pixels="torchvision", num_classes=3, generator=seeded()
    )
    again = random_batch(
        images=2, size=(60, 80), pixels="torchvision", num_classes=3, generator=seeded()
    )
    assert torch.equal(batch.images, again.images)
    assert batch.images.shape == (2, 3, 60, 80)
    for target in batch.targets:
        assert inside(target.boxes, (60, 80))
        assert area(target.boxes).min() >= 0.1 * 60 * 0.1 * 80 - 1e-3
        assert set(target.labels.tolist()) <= {1, 2, 3}
        assert target.masks is None
    assert batch.proposals is None


def test_random_batch_with_masks_proposals_and_padding():
    """The noise and the objects stay the same; half of the proposals overlap an object, as jitter
    leaves them.
    """
    given = {"images": 2, "size": (60, 80), "pixels": "torchvision", "num_classes": 3}
    bare = random_batch(**given, generator=seeded())
    batch = random_batch(**given, divisor=32, masks=True, proposals=100, generator=seeded())
    assert batch.images.shape == (2, 3, 64, 96)
    assert batch.image_sizes == ((60, 80), (60, 80))
    assert torch.equal(batch.images[:, :, :60, :80], bare.images)
    for target, plain, boxes in zip(batch.targets, bare.targets, batch.proposals, strict=True):
        assert torch.equal(target.boxes, plain.boxes)
        assert target.masks.shape == (5, 60, 80)
        assert boxes.shape == (100, 4)
        assert inside(boxes, (60, 80))
        assert (box_iou(boxes, target.boxes).amax(1) > 0.4).sum() >= 40


def test_an_ellipse_fills_its_box():
    """Semi-axes 20 and 10 px: pi * 20 * 10 = 628 px, and a row or column of pixels at each side of
    the box.
    """
    (bitmap,) = ellipses(torch.tensor([[10.0, 20, 50, 40]]), (60, 80))
    assert bitmap.dtype == torch.uint8
    rows, columns = bitmap.nonzero().unbind(1)
    assert (columns.min(), columns.max(), rows.min(), rows.max()) == (10, 49, 20, 39)
    assert abs(int(bitmap.sum()) - 628) < 10
    assert bitmap[30, 30] == 1
    assert bitmap[21, 11] == 0


def test_trained_candidates_are_as_many_as_a_trained_network_gives():
    for seed in range(5):
        found = trained_candidates(size=(600, 1000), num_classes=80, generator=seeded(seed))
        assert 250 < len(found.scores) < 400
        assert found.scores.min() > 0.05
        assert inside(found.boxes, (600, 1000))
        assert 1 <= found.labels.min() <= found.labels.max() <= 80
        assert found.variances.shape == found.pixel_variances.shape == found.boxes.shape
        assert found.variances.min() > 0


def test_dense_candidates_fill_every_class():
    found = dense_candidates(rois=40, num_classes=3, size=(60, 80), generator=seeded())
    assert found.labels.bincount().tolist() == [0, 40, 40, 40]
    assert inside(found.boxes, (60, 80))


def test_random_boxes_take_no_boxes_at_all():
    assert random_boxes(0, (60, 80), seeded()).shape == (0, 4)
