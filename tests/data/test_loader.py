"""Batches: which images they hold, what is done to these, and what stops them."""

import math
from collections import Counter
from dataclasses import replace

import pytest
import torch
from PIL import Image

from data.build import build_dataset
from data.errors import DataError
from data.loader import check_unreadable, network_size, test_batches, used_images
from data.mini.ambiguous import write_dataset
from data.reader import training_target
from data.records import Target
from data.sampler import batch_short_side, in_order
from models.build import build_detector
from tests.data.synthetic import CONFIG, MANY_SIZES, Synthetic, take
from tests.data.test_coco import GOOD, SEGMENTED
from tests.data.test_coco import write as write_coco
from tests.data.test_workers import assert_same
from tests.tiny import TINY


@pytest.mark.fault("R12")
@pytest.mark.parametrize("config", [CONFIG, MANY_SIZES])
@pytest.mark.parametrize("start", [1, 2, 3, 7])
def test_resuming_goes_on_exactly(start, config):
    """2 batches per epoch: the starts lie inside, at and after an epoch boundary."""
    data = Synthetic(11)
    straight, resumed = (
        take(data, 10, config=config)[start:],
        take(data, 10 - start, start=start, config=config),
    )
    for first, second in zip(straight, resumed, strict=True):
        assert_same(first, second)


def test_all_images_of_a_batch_share_a_short_side():
    """And nothing else changes: the same images, mirrored or not, with the boxes at another
    scale.
    """
    data = Synthetic(40)
    drawn = []
    for k, (plain, scaled) in enumerate(
        zip(take(data, 60), take(data, 60, config=MANY_SIZES), strict=True)
    ):
        sides = {min(size) for size in scaled.image_sizes}
        assert sides == {batch_short_side(MANY_SIZES, 0, k)}
        drawn += sides
        assert scaled.image_ids == plain.image_ids
        for one, other in zip(plain.targets, scaled.targets, strict=True):
            torch.testing.assert_close(other.boxes, one.boxes * drawn[-1] / 16)
        assert drawn[-1] != 16 or torch.equal(scaled.images, plain.images)
    assert min(Counter(drawn).values()) >= 10  # 60 fair dice with three sides: 20 +- 3.7 sd
    assert set(drawn) == {8, 16, 32}


def test_the_limit_in_training_is_its_own():
    """16 x 24 px images without a limit: whole in testing, at most 18 px long in training, in
    proportion at each scale.
    """
    config = replace(MANY_SIZES, long_side=None, train_long_side=18, aspect_grouping=False)
    seen = {
        max(size) for batch in take(Synthetic(8), 30, config=config) for size in batch.image_sizes
    }
    assert seen == {9, 18, 36}
    whole = next(iter(test_batches(Synthetic(4), config, batch_size=4, workers=0)))
    assert {max(size) for size in whole.image_sizes} == {24}


def test_the_limit_of_the_long_side_keeps_its_proportion():
    """16 x 24 px images: the limit 20 at short side 16 is 10 at 8 and 40 at 32, so the shape is the
    same at each.
    """
    config = replace(MANY_SIZES, long_side=20, aspect_grouping=False)
    for batch in take(Synthetic(8), 20, config=config):
        assert {max(size) for size in batch.image_sizes} in ({10}, {20}, {40})
        assert {min(size) for size in batch.image_sizes} in ({7}, {13}, {27})  # 20 / 24 * 16 = 13.3
    whole = replace(MANY_SIZES, long_side=None)
    assert {max(size) for b in take(Synthetic(8), 20, config=whole) for size in b.image_sizes} == {
        12,
        24,
        48,
    }


def test_testing_is_always_at_the_short_side():
    for batch in test_batches(Synthetic(10), MANY_SIZES, batch_size=4, workers=0):
        assert {min(size) for size in batch.image_sizes} == {16}


def test_seeds_and_epochs_differ():
    data = Synthetic(40)
    orders = {
        tuple(b.image_ids for b in take(data, 10, seed=seed, start=start))
        for seed in (0, 1)
        for start in (0, 10)
    }
    assert len(orders) == 4


def test_fewer_images_than_the_batch_wrap_around():
    (batch,) = take(Synthetic(3), 1, batch_size=8)
    assert len(batch.image_ids) == 8
    assert set(batch.image_ids) == {0, 1, 2}


def test_half_of_the_images_are_mirrored_with_their_boxes():
    mirrored = plain = 0
    for batch in take(Synthetic(40), 50):
        for image, size, found in zip(batch.images, batch.image_sizes, batch.targets, strict=True):
            width = size[1]
            if image[0, 0, 0] == 1:  # 255 in the "tf" convention
                plain += 1
                assert found.boxes[0].tolist() == [1, 2, 9, 12]
            else:
                mirrored += 1
                assert found.boxes[0].tolist() == [width - 9, 2, width - 1, 12]
    assert 60 < mirrored < 140  # 200 fair coins: 100 +- 5.7 sd
    assert mirrored + plain == 200
    assert all(
        b.images[:, 0, 0, 0].eq(1).all()
        for b in take(Synthetic(40), 5, config=replace(CONFIG, flip=False))
    )


def test_difficult_and_crowd_are_no_targets_unless_kept():
    target = Target(
        boxes=torch.rand(3, 4),
        labels=torch.tensor([1, 2, 3]),
        crowd=torch.tensor([False, True, False]),
        difficult=torch.tensor([False, False, True]),
    )
    for config, labels in (
        (CONFIG, [1]),
        (replace(CONFIG, train_crowd=True), [1, 2]),
        (replace(CONFIG, train_difficult=True), [1, 3]),
    ):
        assert training_target(target, config).labels.tolist() == labels


def test_removed_crowds_take_their_masks_along(tmp_path):
    config = replace(CONFIG, masks=True, flip=False, short_side=40, long_side=60)
    (batch,) = take(
        build_dataset(config, write_coco(tmp_path, SEGMENTED), "train2014"),
        1,
        config=config,
        batch_size=2,
    )
    (seven,) = (
        found for name, found in zip(batch.image_ids, batch.targets, strict=True) if name == 7
    )
    whole = build_dataset(config, tmp_path, "train2014")[0].target
    assert whole.crowd.tolist() == [True, False]
    assert torch.equal(seven.masks, whole.masks[1:])


def test_images_without_objects_are_left_out_unless_kept():
    data = Synthetic(8, empty=(0, 5))
    shown = {i for b in take(data, 12, batch_size=2) for i in b.image_ids}
    assert shown == {1, 2, 3, 4, 6, 7}
    shown = {
        i
        for b in take(data, 12, batch_size=2, config=replace(CONFIG, train_empty=True))
        for i in b.image_ids
    }
    assert shown == set(range(8))
    with pytest.raises(DataError, match="none with an object"):
        take(Synthetic(2, empty=(0, 1)), 1)
    # there is nothing to learn from empty images alone
    with pytest.raises(DataError, match="none with an object"):
        take(Synthetic(2, empty=(0, 1)), 1, config=replace(CONFIG, train_empty=True))


def test_how_many_images_are_used_is_said():
    """Of 6 images 2 have no object; a config that keeps them uses all."""
    dataset = Synthetic(6, empty=(1, 4))
    assert used_images(Synthetic(6), CONFIG) == "6 training images"
    assert used_images(dataset, CONFIG) == (
        "4 of 6 training images, the other 2 are without objects and not used"
    )
    keeping = replace(CONFIG, train_empty=True)
    assert used_images(dataset, keeping) == "6 training images, 2 of them without objects"


def test_unreadable_image_is_left_out_and_named():
    batches = take(Synthetic(8, broken=(5,)), 4)
    assert all(5 not in b.image_ids for b in batches)
    # once in each epoch
    assert [text for b in batches for text in b.skipped] == ["image 5 is broken."] * 2
    assert [len(b.image_ids) + len(b.skipped) for b in batches] == [4] * 4


def test_batch_without_any_readable_image_takes_thenext_batch():
    batches = take(Synthetic(4, broken=(2,)), 4, batch_size=1)
    assert all(len(b.image_ids) == 1 and 2 not in b.image_ids for b in batches)
    assert sum(len(b.skipped) for b in batches) == 1


@pytest.mark.fault("R38")
@pytest.mark.parametrize("workers", [0, 1])
def test_too_many_unreadable_images_stop_training(workers):
    with pytest.raises(DataError, match=r"^2 of 8 training images .* image \d is broken.$"):
        take(Synthetic(8, broken=(1, 5)), 4, workers=workers)
    with pytest.raises(DataError, match="no training image can be read"):
        take(Synthetic(1, broken=(0,)), 1, workers=workers)


def test_images_that_training_does_not_use_hide_no_unreadable_ones():
    """2 of the 8 images with objects are too many, however many have none."""
    with pytest.raises(DataError, match=r"^2 of 8 training images could not be read"):
        take(Synthetic(300, broken=(1, 5), empty=range(8, 300)), 4)


def test_one_percent_rule():
    check_unreadable(set(range(10)), 1000, "reason")
    check_unreadable({1}, 5, "reason")
    with pytest.raises(DataError, match="11 of 1000"):
        check_unreadable(set(range(11)), 1000, "reason")


@pytest.mark.parametrize("workers", [0, 2])
def test_testing_shows_each_image_once_without_targets(workers):
    """Every third image is tall: six wide ones and four tall ones."""
    batches = list(test_batches(Synthetic(10), CONFIG, batch_size=4, workers=workers))
    assert [b.image_ids for b in batches] == [(1, 2, 4, 5), (0, 3, 6, 9), (7, 8)]
    assert [b.indices for b in batches] == [b.image_ids for b in batches]
    assert all(b.targets is None for b in batches)
    assert [set(b.original_sizes) for b in batches] == [{(16, 24)}, {(24, 16)}, {(16, 24)}]
    ids = [i for b in batches for i in b.image_ids]
    assert in_order(ids, ids) == list(range(10))


@pytest.mark.parametrize("divisor", [1, 10, 16])
@pytest.mark.parametrize("batch_size", [1, 2, 3, 20])
def test_a_test_image_has_its_own_padding_whatever_the_batch_size(batch_size, divisor):
    """To a multiple of the divisor, and no further: what the network sees of an image does not
    depend on the others.
    """
    config, data = replace(CONFIG, size_divisor=divisor), Synthetic(11)
    shown = []
    for batch in test_batches(data, config, batch_size=batch_size, workers=0):
        assert len(batch.images) <= batch_size
        for index, image, size in zip(batch.indices, batch.images, batch.image_sizes, strict=True):
            height, width = (math.ceil(side / divisor) * divisor for side in size)
            assert image.shape == (3, height, width)
            (alone,) = test_batches(data, config, batch_size=1, workers=0, indices=[index])
            assert torch.equal(image, alone.images[0])
            shown.append(index)
    assert sorted(shown) == list(range(11))


def test_only_the_images_asked_for_are_read():
    batches = list(
        test_batches(
            Synthetic(10, broken=(1, 9)), CONFIG, batch_size=4, workers=0, indices=range(2, 6)
        )
    )
    assert [b.indices for b in batches] == [(2, 4, 5), (3,)]
    with pytest.raises(DataError, match="no image"):
        next(test_batches(Synthetic(10), CONFIG, batch_size=4, workers=0, indices=()))


def test_candidates_do_not_depend_on_the_batch_size(tmp_path):
    """A network with convolutions sees the border of its padding: here images of several sizes,
    one, two or all at a time.
    """
    data = build_dataset(TINY.data, write_dataset(tmp_path / "set", train=1, val=9) / "coco", "val")
    assert len({network_size(size, TINY.data) for size in data.sizes}) > 2
    torch.manual_seed(0)
    detector = build_detector(TINY.model).eval()

    def candidates(batch_size):
        values, indices = [], []
        for batch in test_batches(data, TINY.data, batch_size=batch_size, workers=0):
            values += detector.candidates(batch, 0.1)
            indices += batch.indices
        return in_order(values, indices)

    alone = candidates(1)
    assert all(len(image.scores) for image in alone)
    for batch_size in (2, 9):
        for image, expected in zip(candidates(batch_size), alone, strict=True):
            torch.testing.assert_close(image.boxes, expected.boxes)
            torch.testing.assert_close(image.scores, expected.scores)
            assert torch.equal(image.labels, expected.labels)


@pytest.mark.fault("R33")
@pytest.mark.parametrize("workers", [0, 1])
def test_unreadable_image_stops_testing_with_its_own_sentence(workers):
    with pytest.raises(DataError, match=r"^image 5 is broken.$"):
        list(test_batches(Synthetic(10, broken=(5,)), CONFIG, batch_size=4, workers=workers))
    with pytest.raises(DataError, match="no image"):
        list(test_batches(Synthetic(0), CONFIG, batch_size=4, workers=workers))


def test_sizes_and_padding():
    config = replace(CONFIG, size_divisor=10, aspect_grouping=False)
    (batch,) = take(Synthetic(2), 1, config=config, batch_size=2)
    assert set(batch.image_sizes) == {(24, 16), (16, 24)}  # short side 16 already
    assert batch.images.shape == (2, 3, 30, 30)
    tall, wide = test_batches(Synthetic(2), config, batch_size=2, workers=0)
    assert (tall.images.shape, wide.images.shape) == ((1, 3, 30, 20), (1, 3, 20, 30))


def test_truncated_file_is_skipped_in_training(tmp_path):
    write_coco(tmp_path, [dict(GOOD[0]), dict(GOOD[1], iscrowd=0)], split="train2014")
    Image.effect_noise((30, 50), 50).save(tmp_path / "train2014" / "five.png")
    content = (tmp_path / "train2014" / "five.png").read_bytes()
    (tmp_path / "train2014" / "five.png").write_bytes(content[:200])
    (batch,) = take(build_dataset(CONFIG, tmp_path, "train2014"), 1, batch_size=2)
    assert batch.image_ids == (7,)
    assert "five.png" in batch.skipped[0]
