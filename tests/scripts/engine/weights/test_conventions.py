"""Weights of a MobileNetV2 by torchvision and by TensorFlow: each gets the pixels it expects."""

from dataclasses import replace

import pytest
import torch

from experiments.kl_loss import runs
from experiments.own.recipes import RECIPES
from experiments.scales import at_scale
from scripts.engine.environment import Environment
from scripts.engine.training.recipe import TrainOptions, configured_run, keeps_start
from scripts.engine.weights.conventions import are_from_tensorflow, with_conventions_of

LITE = at_scale(runs.vgg16_voc, "lite")
FOLDED = {"features.0.1.running_mean": torch.zeros(3)}
LEARNED = {"features.0.1.running_mean": torch.ones(3)}


def conventions(run):
    return run.data.pixels, run.model.backbone.tf_padding


def saved(folder, state):
    path = folder / "weights.pth"
    torch.save(state, path)
    return path


def test_folded_norms_tell_weights_from_tensorflow():
    assert are_from_tensorflow(FOLDED)
    assert not are_from_tensorflow(LEARNED)
    assert not are_from_tensorflow({})


@pytest.mark.parametrize(
    ("state", "expected"), [(FOLDED, ("tf", True)), (LEARNED, ("torchvision", False))]
)
def test_a_file_of_a_papers_run_decides_what_pixels_it_sees(tmp_path, state, expected, capsys):
    """The file that a machine without network fetches elsewhere is torchvision's."""
    environment = Environment(scale="lite", out=tmp_path / "runs", device="cpu")
    options = TrainOptions(weights=str(saved(tmp_path, state)))
    assert conventions(configured_run("kl_loss/vgg16_voc", environment, options)) == expected
    assert "pixels and padding" in capsys.readouterr().out


def test_without_a_file_the_weights_are_torchvisions():
    assert conventions(LITE) == ("tf", True)
    assert conventions(with_conventions_of(LITE, "auto")) == ("torchvision", False)
    standard = RECIPES["standard"].run  # has another backbone, and opens no file
    assert with_conventions_of(standard, "missing.pth") is standard


def test_a_file_that_is_not_there_is_a_sentence():
    with pytest.raises(ValueError, match=r"missing\.pth"):
        with_conventions_of(LITE, "missing.pth")


def test_a_training_that_goes_on_keeps_its_start_although_the_file_is_gone():
    for before, weights, kept in (
        ("imagenet", "gone.pth", True),
        ("imagenet", "auto", True),
        ("scratch", "auto", True),
        ("checkpoint", "auto", True),
        ("scratch", "file.pth", False),
        ("imagenet", "none", False),
    ):
        assert keeps_start(LITE, before, weights) == kept, (before, weights)
    assert not keeps_start(replace(LITE, start="scratch"), "imagenet", "auto")
