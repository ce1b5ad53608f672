"""MobileNetV2 at stride 16: torchvision's network in eval mode, batch norm folded, one stride
less."""

import pytest
import torch
from torch import nn
from torchvision import models

from models.backbones.mobilenet import (
    DepthwiseConv2d,
    MobileNetV2,
    SamePadConv2d,
    folded_state,
)


@pytest.fixture(scope="module")
def trained():
    """torchvision's network with random batch norm statistics, as after training."""
    torch.manual_seed(0)
    network = models.mobilenet_v2(weights=None).eval()
    for layer in network.modules():
        if isinstance(layer, nn.BatchNorm2d):
            nn.init.normal_(layer.running_mean, std=0.3)
            nn.init.uniform_(layer.running_var, 0.5, 2.0)
            nn.init.uniform_(layer.weight, 0.5, 1.5)
            nn.init.normal_(layer.bias, std=0.3)
    return network


def loaded(state, **how):
    network = MobileNetV2(**how)
    own = network.state_dict()
    network.load_state_dict({name: value for name, value in state.items() if name in own})
    return network


def at_stride_16(network, blocks):
    """torchvision's own layers with the one stride changed."""
    features = network.features[:blocks]
    for layer in features[14].modules():
        if isinstance(layer, nn.Conv2d):
            layer.stride = (1, 1)
    return features


@pytest.mark.parametrize("blocks", [18, 19])
def test_folded_network_is_torchvisions_in_eval_mode(trained, blocks):
    images = torch.randn(2, 3, 64, 96)
    ours = loaded(
        folded_state(trained.state_dict()), blocks=blocks
    ).train()  # nothing in it depends on the mode
    theirs = at_stride_16(trained, blocks)
    with torch.no_grad():
        torch.testing.assert_close(ours(images)[0], theirs(images), atol=1e-4, rtol=1e-4)
    assert ours(images)[0].shape == (2, ours.out_channels, 4, 6)


def test_folded_state_has_exactly_our_names(trained):
    assert folded_state(trained.state_dict()).keys() == MobileNetV2(blocks=19).state_dict().keys()
    assert MobileNetV2(tf_padding=True).state_dict().keys() == MobileNetV2().state_dict().keys()
    assert not [layer for layer in MobileNetV2().modules() if isinstance(layer, nn.BatchNorm2d)]


@pytest.mark.parametrize("tf_padding", [False, True])
def test_every_depthwise_convolution_is_one_that_leaves_cudnn_out(tf_padding):
    found = [m for m in MobileNetV2(tf_padding=tf_padding).modules() if isinstance(m, nn.Conv2d)]
    kinds = {type(layer) for layer in found if layer.groups > 1}
    assert kinds == {DepthwiseConv2d, *([SamePadConv2d] if tf_padding else [])}
    assert all(layer.groups in (1, layer.in_channels) for layer in found)


def test_nothing_is_drawn_for_depthwise_convolutions():
    """What is built after them begins with the weights that a seed has always given."""
    torch.manual_seed(0)
    models.mobilenet_v2(weights=None)
    expected = torch.rand(3)
    torch.manual_seed(0)
    MobileNetV2()
    torch.testing.assert_close(torch.rand(3), expected, rtol=0, atol=0)


def test_weights_of_another_width_are_a_sentence():
    with pytest.raises(ValueError, match=r"not those of torchvision's mobilenet_v2 \(width 1\)"):
        folded_state(models.mobilenet_v2(weights=None, width_mult=0.5).state_dict())
    with pytest.raises(ValueError, match="not those of torchvision's mobilenet_v2") as error:
        folded_state({})
    assert len(str(error.value)) < 250


def tensorflow_same(image, kernel, stride):
    """tf.nn.conv2d(padding="SAME") for one channel, by its definition, in plain Python."""
    size = image.shape[-1]
    out = -(-size // stride)
    before = max((out - 1) * stride + kernel.shape[-1] - size, 0) // 2
    result = torch.zeros(out, out)
    for i in range(out):
        for j in range(out):
            for a in range(kernel.shape[0]):
                for b in range(kernel.shape[1]):
                    y, x = i * stride + a - before, j * stride + b - before
                    if 0 <= y < size and 0 <= x < size:
                        result[i, j] += image[y, x] * kernel[a, b]
    return result


@pytest.mark.parametrize("size", [6, 7])
def test_same_padding_is_tensorflows(size):
    convolution = SamePadConv2d(1, 1, 3, stride=(2, 2), bias=False)
    image = torch.randn(size, size)
    with torch.no_grad():
        found = convolution(image[None, None])[0, 0]
        torch.testing.assert_close(
            found, tensorflow_same(image, convolution.weight[0, 0], 2), atol=1e-5, rtol=1e-5
        )


def test_tf_padding_changes_the_strided_convolutions_only(trained):
    strided = [
        layer
        for layer in MobileNetV2(tf_padding=True).modules()
        if isinstance(layer, SamePadConv2d)
    ]
    assert [layer.stride for layer in strided] == [(2, 2)] * 4
    odd = torch.randn(1, 3, 65, 97)  # on odd sizes both paddings are the same: one pixel each side
    state = folded_state(trained.state_dict())
    with torch.no_grad():
        same, plain = loaded(state, tf_padding=True)(odd), loaded(state)(odd)
    torch.testing.assert_close(same, plain, atol=1e-4, rtol=1e-4)


def test_freeze_counts_blocks():
    backbone = MobileNetV2(blocks=18)
    backbone.freeze(11)
    learning = [
        i
        for i, block in enumerate(backbone.features)
        if any(p.requires_grad for p in block.parameters())
    ]
    assert learning == list(range(11, 18))
