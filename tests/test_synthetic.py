import torch

from data.boxes import area
from scripts.synthetic import dense_candidates, random_batch, random_boxes, trained_candidates


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def inside(boxes, size):
    height, width = size
    limit = torch.tensor([width, height, width, height])
    return bool(((boxes >= 0) & (boxes <= limit)).all())


def test_random_batch_is_a_function_of_the_generator_and_fits_the_image():
    batch = random_batch(images=2, size=(60, 80), pixels="torchvision", num_classes=3, generator=seeded())
    again = random_batch(images=2, size=(60, 80), pixels="torchvision", num_classes=3, generator=seeded())
    assert torch.equal(batch.images, again.images)
    assert batch.images.shape == (2, 3, 60, 80)
    for target in batch.targets:
        assert inside(target.boxes, (60, 80))
        assert area(target.boxes).min() >= 0.1 * 60 * 0.1 * 80 - 1e-3
        assert set(target.labels.tolist()) <= {1, 2, 3}


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
