"""What a first stage is trained on, counted by hand on one image and printed for tiny scenes."""

from dataclasses import replace

import pytest
import torch

from data.errors import DataError
from data.records import Target
from scripts.engine.explore.shares import (
    FeatureShapes,
    ImageCounts,
    image_counts,
    summarized,
    training_targets,
)
from scripts.shares import main, print_shares
from tests.networks import change
from tests.tiny import TINY, environment, know_tiny, tiny_dataset, tiny_options

# one anchor of 16 px a position, (0, 0, 16, 16) + 16 i
ONE = replace(
    TINY,
    model=change(TINY.model, rpn_anchor_sizes=(16.0,), rpn_anchor_ratios=(1.0,)),
)


def test_the_anchors_of_an_image_by_hand():
    """64 x 64 px: 4 x 4 anchors cover the image and do not overlap; a box on one is positive."""
    boxes = torch.tensor([[16.0, 16, 32, 32]])
    counts = image_counts(FeatureShapes(ONE), boxes, (64, 64), 1)
    assert counts.positives == (1,)
    assert counts.negatives == 15
    assert counts.sides == (16.0,)


def test_means_over_images():
    counts = [
        ImageCounts(positives=(3, 1), negatives=100, sides=(10.0, 30.0)),
        ImageCounts(positives=(0, 0), negatives=10, sides=()),
        ImageCounts(positives=(30, 0), negatives=100, sides=(20.0,)),
    ]
    shares = summarized(counts, TINY)  # 32 anchors an image, at most 16 of them positive
    assert shares.images == 3
    assert shares.objects == 1
    assert shares.positive == pytest.approx((4 + 0 + 16) / 3)
    assert shares.sampled == pytest.approx((32 + 10 + 32) / 3)
    assert shares.positive_share == pytest.approx(100 * 20 / 74)
    assert shares.without == pytest.approx(100 / 3)
    assert shares.levels == (11.0, pytest.approx(1 / 3))
    assert shares.side_quartiles == (10.0, 20.0, 30.0)


def test_images_without_an_object_are_said():
    """Five images of a run that trains on empty ones may all be empty."""
    empty = ImageCounts(positives=(0, 0), negatives=10, sides=())
    with pytest.raises(DataError, match="The 5 counted training images of tiny have no objects"):
        summarized([empty] * 5, TINY)


def test_counted_images_are_spread_evenly():
    """Of 8 images, each of another width, 5 are not the first 5."""

    class Images:
        sizes = tuple((64, 64 + 32 * k) for k in range(8))

        def __len__(self):
            return len(self.sizes)

        def target(self, index):
            return Target(boxes=torch.tensor([[0.0, 0, 32, 32]]), labels=torch.tensor([1]))

    images = Images()
    config = replace(TINY.data, long_side=None)
    for count, expected in ((5, [0, 1, 3, 4, 6]), (4, [0, 2, 4, 6]), (9, [*range(8)])):
        widths = [size[1] for _, size in training_targets(images, config, count)]
        assert widths == [64 + 32 * k for k in expected]


def test_the_command_prints_what_it_counts(tmp_path, monkeypatch, capsys):
    data = tiny_dataset(tmp_path)
    know_tiny(monkeypatch, {"kl_loss/tiny": TINY})
    assert main(["kl_loss/tiny", "--images", "5", *tiny_options(data, tmp_path)]) == 0
    printed = capsys.readouterr().out
    assert printed.startswith("kl_loss/tiny: 5 images, ")
    assert "of 32 sampled an image" in printed
    assert "anchors 16, 32 px" in printed


def test_what_cannot_be_counted_is_refused(tmp_path, monkeypatch):
    data = tiny_dataset(tmp_path)
    saved = replace(TINY, model=change(TINY.model, rpn_kind="saved"))
    know_tiny(monkeypatch, {"kl_loss/saved": saved})
    with pytest.raises(ValueError, match="kl_loss/saved learns from saved proposals"):
        print_shares(["kl_loss/saved"], environment(data, tmp_path), None)
