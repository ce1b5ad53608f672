"""Processes share the images of each training batch, and together they see what one would."""

import pytest
import torch

from data.config import DataConfig
from data.loader import test_batches as batches_to_test
from data.loader import train_batches
from data.sampler import Share, draw_seeds
from tests.data.synthetic import CONFIG, Synthetic


def first_batches(data, share, *, size=4, count=5, config: DataConfig = CONFIG):
    stream = train_batches(data, config, batch_size=size, seed=0, start=0, workers=0, share=share)
    return [next(stream) for _ in range(count)]


def images(batch):
    """What the network sees of each image, by the seed of its draws."""
    return {
        seed: (index, batch.image_sizes[i], batch.targets[i].boxes.tolist())
        for i, (seed, index) in enumerate(zip(batch.draw_seeds, batch.indices, strict=True))
    }


@pytest.mark.parametrize(("processes", "size"), [(2, 4), (3, 4), (4, 4)])
def test_shares_together_are_the_batch_of_one_process(processes, size):
    data = Synthetic(11)
    whole = first_batches(data, Share(rank=0, of=1), size=size)
    shares = [first_batches(data, Share(rank=r, of=processes), size=size) for r in range(processes)]
    for k, batch in enumerate(whole):
        parts = [images(share[k]) for share in shares]
        assert images(batch) == {key: value for part in parts for key, value in part.items()}
        assert sum(map(len, parts)) == size
        assert not any(share[k].is_stand_in for share in shares)


def test_an_unreadable_image_leaves_the_others_their_draws():
    good = first_batches(Synthetic(11), Share(rank=0, of=1))
    bad = first_batches(Synthetic(11, broken=(5,)), Share(rank=0, of=1))
    for whole, rest in zip(good, bad, strict=True):
        assert images(rest).items() <= images(whole).items()


def test_a_process_without_a_readable_image_gets_one_that_does_not_count():
    data = Synthetic(11, broken=(5,))
    shares = [first_batches(data, Share(rank=r, of=4)) for r in range(4)]
    stand_ins = [(r, k) for r in range(4) for k in range(5) if shares[r][k].is_stand_in]
    assert stand_ins
    for r, k in stand_ins:
        assert images(shares[r][k]).items() <= images(shares[0 if r else 1][k]).items()
        assert shares[r][k].skipped


def test_more_processes_than_images_are_refused():
    with pytest.raises(ValueError, match="8 processes cannot share batches of 4 images"):
        first_batches(Synthetic(11), Share(rank=0, of=8))


def test_draws_differ_between_images_batches_and_seeds():
    seeds = {draw_seeds(seed, k, (place,)) for seed in (0, 1) for k in (0, 1) for place in (0, 1)}
    assert len(seeds) == 8
    assert draw_seeds(3, 5, (1, 2)) == (*draw_seeds(3, 5, (1,)), *draw_seeds(3, 5, (2,)))
    assert all(0 <= seed < 2**62 for group in seeds for seed in group)


@pytest.mark.parametrize("processes", [1, 2, 5])
def test_each_test_image_comes_once_in_the_batches_of_one_process(processes):
    data = Synthetic(10)
    shares = [
        list(
            batches_to_test(
                data, CONFIG, batch_size=3, workers=0, share=Share(rank=r, of=processes)
            )
        )
        for r in range(processes)
    ]
    indices = [batch.indices for share in shares for batch in share]
    assert sorted(indices) == sorted(
        batch.indices for batch in batches_to_test(data, CONFIG, batch_size=3, workers=0)
    )
    assert sorted(index for batch in indices for index in batch) == list(range(10))
    assert all(torch.is_tensor(batch.images) for share in shares for batch in share)
