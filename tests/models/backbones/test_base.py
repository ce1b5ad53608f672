"""What backbones share: the config, which names its choices, and norms that stay as they are."""

from dataclasses import replace

import pytest
import torch
from torch import nn

from models.backbones.base import BackboneConfig, Norm, freeze_norms, scaled


def test_a_wrong_layout_is_named_with_the_choices():
    config = BackboneConfig(name="resnet50")
    choices = r"\('torchvision', 'caffe', 'detectron'\)"
    sentence = rf"BackboneConfig\.resnet_layout is 'msra'; choose one of {choices}"
    with pytest.raises(ValueError, match=sentence):
        replace(config, resnet_layout="msra")
    assert [
        replace(config, resnet_layout=name).caffe_strides
        for name in ("torchvision", "caffe", "detectron")
    ] == [False, True, True]


def test_scaled_channels_are_at_least_eight():
    assert [scaled(64, 1.0), scaled(64, 0.25), scaled(64, 1 / 16)] == [64, 16, 8]


def test_frozen_norms_do_not_follow_the_batch():
    module = nn.Sequential(Norm(2), Norm(2))
    freeze_norms(module)
    module.train()
    module(torch.randn(4, 2, 3, 3) + 5)
    assert not any(norm.running_mean.any() for norm in module)
    assert not any(parameter.requires_grad for parameter in module.parameters())
