"""Which images a training batch holds, and at which size."""

from collections import Counter

import pytest

from data.sampler import EndlessSampler, batch_short_side, batches_of_one_size, in_order
from tests.data.synthetic import CONFIG, MANY_SIZES


def test_the_short_side_is_a_function_of_seed_and_batch_only():
    one, other = ([batch_short_side(MANY_SIZES, seed, k) for k in range(300)] for seed in (0, 1))
    assert one[::-1] == [batch_short_side(MANY_SIZES, 0, k) for k in reversed(range(300))]
    # independent: 100 +- 8.2 sd
    assert 60 < sum(a == b for a, b in zip(one, other, strict=True)) < 140
    assert {batch_short_side(CONFIG, 0, k) for k in range(9)} == {16}


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


def test_batches_of_one_size_hold_each_image_once():
    tall, wide, square = (3, 2), (2, 3), (2, 2)
    sizes = dict(enumerate([tall, wide, tall, tall, square, wide, tall, tall]))
    assert batches_of_one_size(sizes, 2) == [(0, 2), (1, 5), (3, 6), (4,), (7,)]
    # one at a time: the order of the data set
    assert batches_of_one_size(sizes, 1) == [(i,) for i in range(8)]
    assert batches_of_one_size(sizes, 9) == [(0, 2, 3, 6, 7), (1, 5), (4,)]
    assert batches_of_one_size({}, 2) == []


def test_what_was_computed_comes_back_in_order():
    assert in_order(["c", "a", "d", "b"], [7, 2, 9, 4]) == ["a", "b", "c", "d"]
    assert in_order([], []) == []
    with pytest.raises(ValueError, match="1 values of 2 images"):
        in_order(["a"], [0, 1])
