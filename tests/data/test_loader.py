import itertools
import os
import re
from collections import Counter
from dataclasses import replace

import pytest
import torch
from PIL import Image

from data.boxes import flip_horizontal
from data.errors import DataError
from data.formats.saved_proposals import load_proposals, save_proposals
from data.loader import (
    DataConfig,
    EndlessSampler,
    _next,
    build_dataset,
    check_unreadable,
    drawn_short_side,
    test_batches,
    train_batches,
    training_target,
)
from data.mini.ambiguous import write_dataset
from data.records import Proposals, Sample, Target
from tests.data.test_coco import GOOD, SEGMENTED, write_images_only
from tests.data.test_coco import write as write_coco
from tests.data.test_voc import thing
from tests.data.test_voc import write as write_voc

CONFIG = DataConfig(layout="coco", train=("a",), test="b", short_side=16, long_side=32, pixels="tf")
MANY_SIZES = replace(CONFIG, train_short_sides=(8, 16, 32))


class Synthetic:
    """n images in which the color tells the index; every third is tall; index i is unreadable if in ``broken``."""

    classes = ("thing",)

    def __init__(self, n, broken=(), empty=(), kill=None):
        self.image_ids = tuple(range(n))
        self.sizes = tuple((24, 16) if i % 3 == 0 else (16, 24) for i in range(n))
        self.broken, self.empty, self.kill = broken, empty, kill

    def __len__(self):
        return len(self.sizes)

    def target(self, index):
        boxes = torch.tensor([[1.0, 2.0, 9.0, 12.0], [2.0, 2.0, 8.0, 8.0]])[: 0 if index in self.empty else 2]
        labels = torch.ones(len(boxes), dtype=torch.long)
        return Target(boxes=boxes, labels=labels, difficult=torch.tensor([False, True])[: len(boxes)])

    def __getitem__(self, index):
        if index in self.broken:
            raise DataError(f"image {index} is broken.")
        if index == self.kill:
            os._exit(9)
        image = torch.full((3, *self.sizes[index]), index, dtype=torch.uint8)
        image[:, :, 0] = 255  # the left edge, so that a mirrored image differs
        return Sample(image_id=index, image=image, target=self.target(index))


def take(dataset, count, *, config=CONFIG, batch_size=4, seed=0, start=0, workers=0):
    stream = train_batches(dataset, config, batch_size=batch_size, seed=seed, start=start, workers=workers)
    batches = list(itertools.islice(stream, count))
    stream.close()
    return batches


def assert_same(first, second):
    assert first.image_ids == second.image_ids
    assert first.image_sizes == second.image_sizes
    assert first.original_sizes == second.original_sizes
    assert first.skipped == second.skipped
    assert torch.equal(first.images, second.images)
    for a, b in zip(first.targets, second.targets, strict=True):
        assert torch.equal(a.boxes, b.boxes)
        assert torch.equal(a.labels, b.labels)


@pytest.mark.parametrize(("workers", "config"), [(1, CONFIG), (2, CONFIG), (2, MANY_SIZES)])
def test_workers_change_nothing(workers, config):
    data = Synthetic(11, broken=(3,))
    for first, second in zip(take(data, 8, config=config), take(data, 8, config=config, workers=workers), strict=True):
        assert_same(first, second)


@pytest.mark.parametrize("config", [CONFIG, MANY_SIZES])
@pytest.mark.parametrize("start", [1, 2, 3, 7])
def test_resuming_goes_on_exactly(start, config):
    """2 batches per epoch: the starts lie inside, at and after an epoch boundary."""
    data = Synthetic(11)
    straight, resumed = take(data, 10, config=config)[start:], take(data, 10 - start, start=start, config=config)
    for first, second in zip(straight, resumed, strict=True):
        assert_same(first, second)


def test_all_images_of_a_batch_share_a_drawn_short_side():
    """And nothing else changes: the same images, mirrored or not, with the boxes at another scale."""
    data = Synthetic(40)
    drawn = []
    for k, (plain, scaled) in enumerate(zip(take(data, 60), take(data, 60, config=MANY_SIZES), strict=True)):
        sides = {min(size) for size in scaled.image_sizes}
        assert sides == {drawn_short_side(MANY_SIZES, 0, k)}
        drawn += sides
        assert scaled.image_ids == plain.image_ids
        for one, other in zip(plain.targets, scaled.targets, strict=True):
            torch.testing.assert_close(other.boxes, one.boxes * drawn[-1] / 16)
        assert drawn[-1] != 16 or torch.equal(scaled.images, plain.images)
    assert min(Counter(drawn).values()) >= 10  # 60 fair dice with three sides: 20 +- 3.7 sd
    assert set(drawn) == {8, 16, 32}


def test_the_short_side_is_a_function_of_seed_and_batch_only():
    one, other = ([drawn_short_side(MANY_SIZES, seed, k) for k in range(300)] for seed in (0, 1))
    assert one[::-1] == [drawn_short_side(MANY_SIZES, 0, k) for k in reversed(range(300))]
    assert 60 < sum(a == b for a, b in zip(one, other, strict=True)) < 140  # independent: 100 +- 8.2 sd
    assert {drawn_short_side(CONFIG, 0, k) for k in range(9)} == {16}


def test_the_limit_in_training_is_its_own():
    """16 x 24 px images without a limit: whole in testing, at most 18 px long in training, in proportion at each scale."""
    config = replace(MANY_SIZES, long_side=None, train_long_side=18, aspect_grouping=False)
    seen = {max(size) for batch in take(Synthetic(8), 30, config=config) for size in batch.image_sizes}
    assert seen == {9, 18, 36}
    whole = next(iter(test_batches(Synthetic(4), config, batch_size=4, workers=0)))
    assert {max(size) for size in whole.image_sizes} == {24}


def test_the_limit_of_the_long_side_keeps_its_proportion():
    """16 x 24 px images: the limit 20 at short side 16 is 10 at 8 and 40 at 32, so the shape is the same at each."""
    config = replace(MANY_SIZES, long_side=20, aspect_grouping=False)
    for batch in take(Synthetic(8), 20, config=config):
        assert {max(size) for size in batch.image_sizes} in ({10}, {20}, {40})
        assert {min(size) for size in batch.image_sizes} in ({7}, {13}, {27})  # 20 / 24 * 16 = 13.3
    whole = replace(MANY_SIZES, long_side=None)
    assert {max(size) for b in take(Synthetic(8), 20, config=whole) for size in b.image_sizes} == {12, 24, 48}


def test_testing_is_always_at_the_short_side():
    for batch in test_batches(Synthetic(10), MANY_SIZES, batch_size=4, workers=0):
        assert {min(size) for size in batch.image_sizes} == {16}


def test_seeds_and_epochs_differ():
    data = Synthetic(40)
    orders = {tuple(b.image_ids for b in take(data, 10, seed=seed, start=start)) for seed in (0, 1) for start in (0, 10)}
    assert len(orders) == 4


def test_global_random_generators_are_not_touched():
    torch.manual_seed(5)
    before = torch.get_rng_state()
    take(Synthetic(8), 3)
    take(Synthetic(8), 3, workers=1)
    assert torch.equal(before, torch.get_rng_state())


def test_an_epoch_shows_each_image_once():
    sampler = EndlessSampler(range(100, 124), [i % 3 > 0 for i in range(24)], batch_size=4, seed=1)
    assert sampler.batches_per_epoch == 6
    for epoch in range(3):
        shown = [pair for k in range(6 * epoch, 6 * epoch + 6) for pair in sampler.batch(k)]
        assert sorted(shown) == [(epoch, i) for i in range(100, 124)]


def test_groups_mix_in_at_most_one_batch():
    wide = [i % 3 > 0 for i in range(23)]
    sampler = EndlessSampler(range(23), wide, batch_size=4, seed=1)
    for epoch in range(5):
        batches = [sampler.batch(k) for k in range(5 * epoch, 5 * epoch + 5)]
        assert sum(len({wide[i] for _, i in batch}) == 2 for batch in batches) <= 1
        assert max(Counter(i for batch in batches for _, i in batch).values()) == 1


def test_batches_in_any_order_are_the_same():
    first, second = (EndlessSampler(range(10), [True] * 10, batch_size=3, seed=2) for _ in range(2))
    backwards = {k: second.batch(k) for k in reversed(range(12))}
    assert all(first.batch(k) == backwards[k] for k in range(12))


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
    assert all(b.images[:, 0, 0, 0].eq(1).all() for b in take(Synthetic(40), 5, config=replace(CONFIG, flip=False)))


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


@pytest.mark.parametrize("workers", [0, 2])
def test_masks_stay_with_their_boxes_through_the_workers(tmp_path, workers):
    """Mirrored, resized and packed, no mask leaves the clean box of its object by more than a pixel; none is lost."""
    config = replace(CONFIG, train=("train",), short_side=100, long_side=200, masks=True)
    data = build_dataset(config, write_dataset(tmp_path / "set", train=3, val=1) / "coco", "train")
    for batch in take(data, 3, config=config, batch_size=3, workers=workers):
        for size, found in zip(batch.image_sizes, batch.targets, strict=True):
            assert found.masks.dtype == torch.uint8
            assert found.masks.shape == (len(found.labels), *size)
            for mask, (x1, y1, x2, y2) in zip(found.masks, found.clean_boxes.tolist(), strict=True):
                rows, columns = mask.nonzero().unbind(1)
                assert len(rows)
                assert y1 - 1 <= rows.min() <= rows.max() <= y2
                assert x1 - 1 <= columns.min() <= columns.max() <= x2
    plain = take(build_dataset(replace(config, masks=False), tmp_path / "set" / "coco", "train"), 1, workers=workers)
    assert all(found.masks is None for found in plain[0].targets)


def test_removed_crowds_take_their_masks_along(tmp_path):
    config = replace(CONFIG, masks=True, flip=False, short_side=40, long_side=60)
    (batch,) = take(build_dataset(config, write_coco(tmp_path, SEGMENTED), "train2014"), 1, config=config, batch_size=2)
    (seven,) = (found for name, found in zip(batch.image_ids, batch.targets, strict=True) if name == 7)
    whole = build_dataset(config, tmp_path, "train2014")[0].target
    assert whole.crowd.tolist() == [True, False]
    assert torch.equal(seven.masks, whole.masks[1:])


def test_voc_boxes_have_no_masks(tmp_path):
    write_voc(tmp_path / "VOC2007", {"a": thing()})
    with pytest.raises(DataError, match="'2007_trainval' is in the VOC layout, whose annotations have boxes but no masks"):
        build_dataset(replace(CONFIG, layout="voc", masks=True), tmp_path, "2007_trainval")
    with pytest.raises(DataError, match="opened without them"):
        build_dataset(replace(CONFIG, layout="voc"), tmp_path, ("2007_trainval",)).segments(0)


def test_images_without_objects_are_left_out_unless_kept():
    data = Synthetic(8, empty=(0, 5))
    shown = {i for b in take(data, 12, batch_size=2) for i in b.image_ids}
    assert shown == {1, 2, 3, 4, 6, 7}
    shown = {i for b in take(data, 12, batch_size=2, config=replace(CONFIG, train_empty=True)) for i in b.image_ids}
    assert shown == set(range(8))
    with pytest.raises(DataError, match="none with an object"):
        take(Synthetic(2, empty=(0, 1)), 1)
    with pytest.raises(DataError, match="none with an object"):  # there is nothing to learn from empty images alone
        take(Synthetic(2, empty=(0, 1)), 1, config=replace(CONFIG, train_empty=True))


def test_unreadable_image_is_left_out_and_named():
    batches = take(Synthetic(8, broken=(5,)), 4)
    assert all(5 not in b.image_ids for b in batches)
    assert [text for b in batches for text in b.skipped] == ["image 5 is broken."] * 2  # once in each epoch
    assert [len(b.image_ids) + len(b.skipped) for b in batches] == [4] * 4


def test_batch_without_any_readable_image_takes_the_next():
    batches = take(Synthetic(4, broken=(2,)), 4, batch_size=1)
    assert all(len(b.image_ids) == 1 and 2 not in b.image_ids for b in batches)
    assert sum(len(b.skipped) for b in batches) == 1


@pytest.mark.parametrize("workers", [0, 1])
def test_too_many_unreadable_images_stop_training(workers):
    with pytest.raises(DataError, match=r"^2 of 8 training images .* image \d is broken.$"):
        take(Synthetic(8, broken=(1, 5)), 4, workers=workers)
    with pytest.raises(DataError, match="no training image can be read"):
        take(Synthetic(1, broken=(0,)), 1, workers=workers)


def test_one_percent_rule():
    check_unreadable(set(range(10)), 1000, "reason")
    check_unreadable({1}, 5, "reason")
    with pytest.raises(DataError, match="11 of 1000"):
        check_unreadable(set(range(11)), 1000, "reason")


@pytest.mark.parametrize("workers", [0, 2])
def test_testing_shows_each_image_once_in_order_without_targets(workers):
    batches = list(test_batches(Synthetic(10), CONFIG, batch_size=4, workers=workers))
    assert [i for b in batches for i in b.image_ids] == list(range(10))
    assert [len(b.images) for b in batches] == [4, 4, 2]
    assert all(b.targets is None for b in batches)
    assert batches[0].original_sizes[:2] == ((24, 16), (16, 24))


@pytest.mark.parametrize("workers", [0, 1])
def test_unreadable_image_stops_testing_with_its_own_sentence(workers):
    with pytest.raises(DataError, match=r"^image 5 is broken.$"):
        list(test_batches(Synthetic(10, broken=(5,)), CONFIG, batch_size=4, workers=workers))
    with pytest.raises(DataError, match="no image"):
        list(test_batches(Synthetic(0), CONFIG, batch_size=4, workers=workers))


def test_dead_worker_is_reported_with_advice():
    with pytest.raises(DataError, match=r"worker process .*--workers"):
        list(test_batches(Synthetic(10, kill=5), CONFIG, batch_size=4, workers=1))


@pytest.mark.parametrize("error", [ConnectionResetError(104, "Connection reset by peer"), FileNotFoundError(2, "No such file"),
                                   EOFError(), RuntimeError("DataLoader worker (pid 7) exited unexpectedly")])
def test_worker_that_dies_while_its_batch_is_fetched_is_reported_too(error):
    """Which of these arrives depends on the moment of its death."""
    def broken():
        raise error
        yield

    assert re.search(r"worker process .*--workers", str(_next(broken(), workers=1)))
    if not isinstance(error, RuntimeError):  # without workers it is something else, and is not hidden
        with pytest.raises(type(error)):
            _next(broken(), workers=0)


def test_sizes_and_padding():
    batch = next(iter(test_batches(Synthetic(2), replace(CONFIG, size_divisor=10), batch_size=2, workers=0)))
    assert batch.image_sizes == ((24, 16), (16, 24))  # short side 16 already
    assert batch.images.shape == (2, 3, 30, 30)


@pytest.mark.parametrize(
    ("field", "value", "says"),
    [
        ("layout", "yolo", "'coco', 'voc'"),
        ("pixels", "bgr", "'torchvision', 'caffe', 'tf'"),
        ("on_bad_box", "ignore", "'error', 'skip'"),
        ("train", (), "at least one split"),
        ("train", "train2014", "as a tuple"),
        ("short_side", 0, "short_side"),
        ("long_side", 10, "long_side"),
        ("train", ("train2017", "test-dev2017"), "'test-dev2017', whose labels are not published"),
        ("train_short_sides", (), "train_short_sides"),
        ("train_long_side", 10, "train_long_side is 10 px, less than short_side 16"),
        ("train_short_sides", (400, 0), r"\(400, 0\); give at least one positive integer"),
        ("train_short_sides", (400.5,), "train_short_sides"),
        ("train_short_sides", [400], "as a tuple"),
        ("train_short_sides", 400, "as a tuple"),
        ("size_divisor", 0, "size_divisor"),
        ("proposals_train", 0, "proposals_train is 0 and proposals_test 1000"),
        ("proposals_test", 0, "proposals_test 0"),
        ("proposals_crowd_iou", 1.5, "proposals_crowd_iou is 1.5"),
    ],
)
def test_config_lists_the_choices(field, value, says):
    with pytest.raises(ValueError, match=says):
        replace(CONFIG, **{field: value})


def test_build_dataset_reads_both_layouts(tmp_path):
    write_coco(tmp_path, GOOD, split="train2014")
    assert build_dataset(CONFIG, tmp_path, "train2014").image_ids == (7, 5)
    voc = replace(CONFIG, layout="voc")
    write_voc(tmp_path / "VOCdevkit" / "VOC2007", {"a": thing()})
    write_voc(tmp_path / "VOCdevkit" / "VOC2012", {"a": thing(), "b": thing()})
    assert build_dataset(voc, tmp_path, "2007_trainval").image_ids == ("a",)
    both = build_dataset(voc, tmp_path, ("2007_trainval", "2012_trainval"))
    assert both.image_ids == ("2007_trainval/a", "2012_trainval/a", "b")
    write_voc(tmp_path / "cells", {"c": thing("cell")}, split="train")
    assert build_dataset(voc, tmp_path / "cells", "train").classes == ("cell",)


def test_build_dataset_resolves_the_names_of_papers(tmp_path):
    """The halves of val2014 have images of their own in one folder; here both parts hold the same two ids."""
    write_coco(tmp_path, GOOD, split="train2014")
    write_coco(tmp_path, GOOD, split="valminusminival2014", info={"image_folder": "val2014"})
    both = build_dataset(CONFIG, tmp_path, ("trainval35k",))
    assert both.image_ids == ("train2014/7", "train2014/5", "valminusminival2014/7", "valminusminival2014/5")
    assert both[3].image.shape == (3, 50, 30)
    write_images_only(tmp_path, split="test-dev2017", folder="test2017")
    assert build_dataset(CONFIG, tmp_path, "test-dev").image_ids == (7, 5)
    with pytest.raises(DataError, match="'minival' is minival2014 or val2017"):
        build_dataset(CONFIG, tmp_path, "minival")
    with pytest.raises(DataError, match="none with an object to train on"):
        take(build_dataset(CONFIG, tmp_path, "test-dev2017"), 1, config=replace(CONFIG, train_empty=True))


def test_truncated_file_is_skipped_in_training(tmp_path):
    write_coco(tmp_path, [dict(GOOD[0]), dict(GOOD[1], iscrowd=0)], split="train2014")
    Image.effect_noise((30, 50), 50).save(tmp_path / "train2014" / "five.png")
    content = (tmp_path / "train2014" / "five.png").read_bytes()
    (tmp_path / "train2014" / "five.png").write_bytes(content[:200])
    (batch,) = take(build_dataset(CONFIG, tmp_path, "train2014"), 1, batch_size=2)
    assert batch.image_ids == (7,)
    assert "five.png" in batch.skipped[0]


def saved(folder, data, ids=None):
    """Proposals of each image in original px: its whole left half, the whole of its first object, and one box of its own."""
    found = []
    for i, size in enumerate(data.sizes):
        boxes = torch.tensor([[0.0, 0, size[1] / 2, size[0]], [1, 2, 9, 12], [3, 3, 7 + i / 10, 9]])
        found.append(Proposals(boxes=boxes, objectness=torch.tensor([3.0, 2, 1])))
    save_proposals(folder / "p.npz", data.image_ids if ids is None else ids, found)
    return load_proposals(folder / "p.npz")


@pytest.mark.parametrize("workers", [0, 1])
def test_proposals_go_the_way_of_the_image(tmp_path, workers):
    """Mirrored and resized as the objects are: the second proposal is the first object, at every scale."""
    data = Synthetic(11, broken=(3,))
    proposals = saved(tmp_path, data)
    stream = train_batches(data, MANY_SIZES, batch_size=4, seed=0, start=0, workers=workers, proposals=proposals)
    mirrored = 0
    for batch in itertools.islice(stream, 12):
        assert len(batch.proposals) == len(batch.image_ids)  # an unreadable image has taken its proposals with it
        rows = zip(batch.image_ids, batch.image_sizes, batch.original_sizes, batch.targets, batch.proposals, strict=True)
        for image_id, size, original, target, boxes in rows:
            torch.testing.assert_close(boxes[1], target.boxes[0])
            scale = size[0] / original[0]
            own = boxes.new_tensor([3, 3, 7 + image_id / 10, 9]) * scale
            half = boxes.new_tensor([0, 0, size[1] / 2, size[0]])
            if boxes[0, 0] > 0:
                own, half, mirrored = flip_horizontal(own, size[1]), flip_horizontal(half, size[1]), mirrored + 1
            torch.testing.assert_close(boxes[[0, 2]], torch.stack([half, own]))
        pieces = batch.split(3)
        for (first, second) in zip(batch.proposals, [boxes for piece in pieces for boxes in piece.proposals], strict=True):
            assert first is second
        assert all(len(piece.proposals) == len(piece.images) for piece in pieces)
    stream.close()
    assert 10 < mirrored < 38  # of 48 less the unreadable
    for batch in test_batches(Synthetic(5), CONFIG, batch_size=2, workers=workers, proposals=proposals):
        for i, boxes in zip(batch.image_ids, batch.proposals, strict=True):
            torch.testing.assert_close(boxes[2], torch.tensor([3, 3, 7 + i / 10, 9]))


def test_without_saved_proposals_there_are_none():
    assert all(batch.proposals is None for batch in take(Synthetic(4), 2))
    assert next(test_batches(Synthetic(4), CONFIG, batch_size=2, workers=0)).proposals is None


def test_training_and_testing_keep_their_own_number_of_proposals(tmp_path):
    data = Synthetic(4)
    proposals = saved(tmp_path, data)
    for config, train, test in ((CONFIG, 3, 3), (replace(CONFIG, proposals_train=2, proposals_test=1), 2, 1)):
        stream = train_batches(data, config, batch_size=4, seed=0, start=0, workers=0, proposals=proposals)
        assert [len(boxes) for boxes in next(stream).proposals] == [train] * 4
        stream = test_batches(data, config, batch_size=4, workers=0, proposals=proposals)
        assert [len(boxes) for boxes in next(stream).proposals] == [test] * 4


def test_an_image_without_a_usable_proposal_has_an_empty_one(tmp_path):
    save_proposals(tmp_path / "p.npz", (0, 1), [Proposals(boxes=torch.tensor([[1.0, 1, 2, 2]]), objectness=torch.zeros(1)),
                                                Proposals(boxes=torch.zeros(0, 4), objectness=torch.zeros(0))])
    proposals = load_proposals(tmp_path / "p.npz")
    batch = next(train_batches(Synthetic(2), CONFIG, batch_size=2, seed=0, start=0, workers=0, proposals=proposals))
    assert [boxes.shape for boxes in batch.to("cpu").proposals] == [(0, 4), (0, 4)]


class Crowded(Synthetic):
    """The second object is a crowd region."""

    def target(self, index):
        boxes = torch.tensor([[1.0, 2.0, 9.0, 12.0], [2.0, 3.0, 6.0, 9.0]])
        return Target(boxes=boxes, labels=torch.ones(2, dtype=torch.long), crowd=torch.tensor([False, True]))


@pytest.mark.parametrize(("limit", "train"), [(0.7, 2), (0.8, 3)])
def test_proposals_inside_a_crowd_are_left_out_of_training_only(tmp_path, limit, train):
    """[3, 3, 7, 9] lies in the crowd to 3/4; the first object, of 80 px^2, to 24/80."""
    data, config = Crowded(1), replace(CONFIG, proposals_crowd_iou=limit)
    proposals = saved(tmp_path, data)
    batch = next(train_batches(data, config, batch_size=1, seed=0, start=0, workers=0, proposals=proposals))
    assert len(batch.proposals[0]) == train
    assert len(batch.targets[0].labels) == 1
    batch = next(test_batches(data, config, batch_size=1, workers=0, proposals=proposals))
    assert len(batch.proposals[0]) == 3


@pytest.mark.parametrize("workers", [0, 1])
def test_images_without_saved_proposals_stop_at_the_start(tmp_path, workers):
    data = Synthetic(4, empty=(2,))
    for ids, says in (((0, 1, 2, 30), "no proposals of image 3;"), (tuple("abcd"), "of none of the 3 images")):
        with pytest.raises(DataError, match=says):
            next(train_batches(data, CONFIG, batch_size=2, seed=0, start=0, workers=workers, proposals=saved(tmp_path, data, ids)))
        with pytest.raises(DataError, match=says.replace("none of the 3", "none of the 4")):
            next(test_batches(data, CONFIG, batch_size=2, workers=workers, proposals=saved(tmp_path, data, ids)))
    unused = saved(tmp_path, data, (0, 1, 20, 3))  # image 2 has no object and is not trained on
    next(train_batches(data, CONFIG, batch_size=2, seed=0, start=0, workers=workers, proposals=unused))
