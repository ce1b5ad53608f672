"""What backbones share: the config, which names its choices, and norms that stay as they are."""

from dataclasses import replace

import pytest
import torch
from torch import nn

from models.backbones.base import (
    Backbone,
    BackboneConfig,
    Layers,
    Norm,
    freeze_norms,
    normalized,
    scaled,
)
from models.backbones.fpn import FPN
from models.build import build_backbone
from models.convolution import Conv2d


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


@pytest.mark.parametrize(
    ("how", "fewest"),
    [
        ({"mobilenet_blocks": 7}, 8),
        ({"mobilenet_blocks": 20}, 8),
        ({"mobilenet_blocks": 14, "pyramid": True}, 15),
    ],
)
def test_blocks_that_end_at_another_stride_are_refused(how, fewest):
    """On a map at stride 8 anchors 16 px apart would be in the wrong places."""
    config = BackboneConfig(name="mobilenet_v2")
    with pytest.raises(ValueError, match=rf"mobilenet_blocks is \d+; .* with {fewest} to 19"):
        replace(config, **how)
    fits = replace(config, **{**how, "mobilenet_blocks": fewest})
    maps = build_backbone(fits, conv5_head=False).eval()(torch.zeros(1, 3, 64, 64))
    sizes = [64 // stride for stride in (FPN if fits.pyramid else Backbone).strides]
    assert [level.shape[-1] for level in maps] == sizes


def test_scaled_channels_are_at_least_eight():
    assert [scaled(64, 1.0), scaled(64, 0.25), scaled(64, 1 / 16)] == [64, 16, 8]


def test_frozen_norms_do_not_follow_the_batch():
    module = nn.Sequential(Norm(2), Norm(2))
    freeze_norms(module)
    module.train()
    module(torch.randn(4, 2, 3, 3) + 5)
    assert not any(norm.running_mean.any() for norm in module)
    assert not any(parameter.requires_grad for parameter in module.parameters())


@pytest.fixture
def pair():
    """A convolution and a norm with numbers as after training, in float64."""
    torch.manual_seed(0)
    conv, norm = Conv2d(32, 40, 3, padding=1, bias=False), Norm(40)
    for values in (norm.weight, norm.bias, norm.running_mean):
        nn.init.normal_(values)
    nn.init.uniform_(norm.running_var, 0.5, 2.0)
    return conv.double(), norm.double()


def results(function, pair, maps):
    """Outputs, and the gradients of maps and parameters."""
    maps = maps.clone().requires_grad_()
    outputs = function(maps)
    parameters = [p for layer in pair for p in layer.parameters() if p.requires_grad]
    return outputs, torch.autograd.grad(outputs.square().sum(), [maps, *parameters])


@pytest.mark.parametrize("frozen", [False, True])
@pytest.mark.parametrize("channels_last", [False, True])
def test_a_norm_in_eval_mode_scales_the_weight(pair, frozen, channels_last):
    """The same outputs and gradients, of the norm's own parameters too if they are trained."""
    conv, norm = pair
    if frozen:
        freeze_norms(norm)
    norm.eval()
    maps = torch.randn(2, 32, 5, 6, dtype=torch.float64)
    if channels_last:
        maps = maps.contiguous(memory_format=torch.channels_last)
    together = results(lambda x: normalized(conv, norm, x), pair, maps)
    apart = results(lambda x: norm(conv(x)), pair, maps)
    assert len(together[1]) == (2 if frozen else 4)
    torch.testing.assert_close(together, apart, atol=1e-9, rtol=1e-9)


def test_a_norm_in_training_reads_its_batch(pair):
    conv, norm = pair
    maps = torch.randn(2, 32, 5, 6, dtype=torch.float64) + 3
    outputs = normalized(conv, norm.train(), maps)
    assert norm.num_batches_tracked == 1
    torch.testing.assert_close(
        outputs, nn.functional.batch_norm(conv(maps), None, None, norm.weight, norm.bias, True)
    )


def test_layers_are_those_of_a_sequential(pair):
    """In whole and in parts, also where a part begins with a norm."""
    layers = Layers(*pair, nn.ReLU(), Norm(40).double()).eval()
    plain = nn.Sequential(*layers)
    maps = torch.randn(2, 32, 5, 6, dtype=torch.float64)
    torch.testing.assert_close(layers(maps), plain(maps))
    hidden = layers[:1](maps)
    torch.testing.assert_close(hidden, pair[0](maps))
    torch.testing.assert_close(layers[1:](hidden), plain(maps))
    assert layers.state_dict().keys() == plain.state_dict().keys()
