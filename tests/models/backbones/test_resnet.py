"""ResNet: torchvision's function on torchvision's weights, Caffe's strides, and norms that stay
frozen."""

from copy import deepcopy

import pytest
import torch
from torch import nn
from torchvision.models import resnet

from models.backbones.base import Norm, freeze_norms
from models.backbones.resnet import RESNET50, RESNET101, Bottleneck, Conv5Head, ResNet, conv5

BLOCKS = (1, 2, 2, 3)
THIN = {"width": 1 / 16, "blocks": BLOCKS}


def with_random_norms(network):
    """Norms as after training: a wrong name or a forgotten statistic shows."""
    for layer in network.modules():
        if isinstance(layer, nn.BatchNorm2d):
            nn.init.normal_(layer.running_mean, std=0.3)
            nn.init.uniform_(layer.running_var, 0.5, 2.0)
            nn.init.uniform_(layer.weight, 0.3, 0.9)
            nn.init.normal_(layer.bias, std=0.3)
    return network.eval()


@pytest.fixture(scope="module")
def theirs():
    torch.manual_seed(0)
    return with_random_norms(resnet.ResNet(resnet.Bottleneck, list(BLOCKS)))


@pytest.fixture(scope="module")
def dilated():
    torch.manual_seed(1)
    return with_random_norms(
        resnet.ResNet(
            resnet.Bottleneck, list(BLOCKS), replace_stride_with_dilation=[False, False, True]
        )
    )


def body_of(theirs):
    """torchvision's layers conv1 .. layer3 in the order of ours."""
    return nn.Sequential(
        theirs.conv1,
        theirs.bn1,
        theirs.relu,
        theirs.maxpool,
        theirs.layer1,
        theirs.layer2,
        theirs.layer3,
    )


@pytest.mark.parametrize("size", [(64, 96), (65, 83)])
def test_body_is_torchvisions(theirs, size):
    ours = ResNet(blocks=BLOCKS).eval()
    ours.features.load_state_dict(body_of(theirs).state_dict())
    images = torch.randn(2, 3, *size)
    with torch.no_grad():
        (found,) = ours(images)
        torch.testing.assert_close(found, body_of(theirs)(images), atol=1e-5, rtol=1e-5)
    assert found.shape == (2, 1024, -(-size[0] // 16), -(-size[1] // 16))
    assert ours.out_channels == 1024
    assert ours.strides == (16,)


def test_head_is_torchvisions_layer4_and_pooling(theirs):
    head = Conv5Head(in_channels=1024, blocks=BLOCKS[3], width=1.0, caffe=False).eval()
    head.layer4.load_state_dict(theirs.layer4.state_dict())
    pooled = torch.randn(3, 1024, 7, 7)
    with torch.no_grad():
        inner = theirs.layer4(pooled)
        torch.testing.assert_close(head.layer4(pooled), inner, atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(
            head(pooled), theirs.avgpool(inner).flatten(1), atol=1e-5, rtol=1e-5
        )
    assert inner.shape == (3, 2048, 4, 4)
    assert head.out_features == 2048


def test_dilated_conv5_is_torchvisions(dilated):
    ours = conv5(1024, blocks=BLOCKS[3], width=1.0, caffe=False, dilated=True).eval()
    ours.load_state_dict(dilated.layer4.state_dict())
    features = torch.randn(1, 1024, 9, 6)
    with torch.no_grad():
        found = ours(features)
        torch.testing.assert_close(found, dilated.layer4(features), atol=1e-5, rtol=1e-5)
    assert found.shape == (1, 2048, 9, 6)


@pytest.mark.parametrize("caffe", [False, True])
@pytest.mark.parametrize(("first", "dilations"), [(False, [1, 2, 2]), (True, [2, 2, 2])])
def test_dilation_of_conv5_block_by_block(first, dilations, caffe):
    layers = conv5(16, blocks=3, width=1 / 16, caffe=caffe, dilated=True, dilate_first_block=first)
    assert [block.conv2.dilation for block in layers] == [
        (dilation, dilation) for dilation in dilations
    ]
    assert {conv.stride for conv in layers.modules() if isinstance(conv, nn.Conv2d)} == {(1, 1)}
    assert layers(torch.zeros(1, 16, 5, 8)).shape == (1, 128, 5, 8)


def test_first_block_is_dilated_only_with_dilation():
    layers = conv5(16, blocks=3, width=1 / 16, caffe=True, dilated=False, dilate_first_block=True)
    assert [block.conv2.dilation for block in layers] == [(1, 1)] * 3


@pytest.mark.parametrize(
    ("blocks", "ours", "named"),
    [(RESNET101, 42_500_160, resnet.resnet101), (RESNET50, 23_508_032, resnet.resnet50)],
)
@pytest.mark.parametrize("caffe", [False, True])
def test_full_size_tensors_are_torchvisions_without_fc(blocks, ours, named, caffe):
    """42,500,160 = ResNet-101's 44,549,160 less fc, 2048 * 1000 + 1000; ResNet-50: 25,557,032 less
    the same."""
    with torch.device("meta"):
        body = ResNet(blocks=blocks, caffe=caffe)
        head = Conv5Head(in_channels=body.out_channels, blocks=blocks[3], width=1.0, caffe=caffe)
        whole = named(weights=None)
    assert sum(p.numel() for part in (body, head) for p in part.parameters()) == ours
    for mine, other in ((body.features, body_of(whole)), (head.layer4, whole.layer4)):
        assert {name: value.shape for name, value in mine.state_dict().items()} == {
            name: value.shape for name, value in other.state_dict().items()
        }


def strides(layer):
    return [
        (block.conv1.stride[0], block.conv2.stride[0], block.downsample[0].stride[0])
        for block in layer
        if len(block.downsample)
    ]


@pytest.mark.parametrize(("caffe", "strided"), [(False, (1, 2, 2)), (True, (2, 1, 2))])
def test_where_the_stride_is(caffe, strided):
    body = ResNet(**THIN, caffe=caffe).features
    assert [strides(layer) for layer in body[4:]] == [[(1, 1, 1)], [strided], [strided]]
    assert strides(conv5(64, blocks=2, width=1 / 16, caffe=caffe, dilated=False)) == [strided]


@pytest.mark.parametrize(
    ("side", "cells"),
    [
        # conv1 (n - 1) // 2 + 1; pooling ceil((n - 3) / 2) + 1;
        # two 1x1 convolutions with stride 2, (n - 1) // 2 + 1 each
        (600, [300, 150, 75, 38]),
        (601, [301, 150, 75, 38]),
        (225, [113, 56, 28, 14]),
        (37, [19, 9, 5, 3]),
    ],
)
def test_caffe_sizes(side, cells):
    body = ResNet(blocks=(1, 1, 1, 1), width=1 / 32, caffe=True).features
    image = torch.zeros(1, 3, 32, side)
    assert [body[:end](image).shape[-1] for end in (1, 4, 6, 7)] == cells
    assert body[:4](torch.zeros(1, 3, side, side)).shape[-2:] == (cells[1], cells[1])


def test_caffe_pooling_takes_the_cells_from_the_corner():
    """Without padding the first window is cells 0..2; with it, a cell of padding and 0..1; the last
    one is cut off."""
    row = torch.arange(8.0).expand(1, 1, 8, 8)
    pools = [
        ResNet(blocks=(1, 1, 1, 1), width=1 / 32, caffe=caffe).features[3]
        for caffe in (True, False)
    ]
    assert [pool(row)[0, 0, 0].tolist() for pool in pools] == [[2, 4, 6, 7], [1, 3, 5, 7]]


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("caffe", [False, True])
def test_head_without_rois(training, caffe):
    head = Conv5Head(in_channels=64, blocks=2, width=1 / 16, caffe=caffe).train(training)
    before = {name: value.clone() for name, value in head.state_dict().items()}
    pooled = torch.zeros(0, 64, 7, 7, requires_grad=True)
    vectors = head(pooled)
    assert vectors.shape == (0, 128)
    vectors.sum().backward()
    assert pooled.grad.shape == pooled.shape
    assert all(
        p.grad is None or torch.equal(p.grad, torch.zeros_like(p)) for p in head.parameters()
    )
    assert all(
        torch.equal(value, before[name])
        for name, value in head.state_dict().items()
        if "num_batches" not in name
    )


def test_thin_networks_fit_together():
    body = ResNet(**THIN)
    head = Conv5Head(in_channels=body.out_channels, blocks=3, width=1 / 16, caffe=False)
    assert body.out_channels == 64
    assert head(body(torch.zeros(1, 3, 112, 112))[0]).shape == (1, head.out_features) == (1, 128)


@pytest.mark.parametrize(
    ("stages", "frozen"),
    [(0, set()), (1, {0, 1}), (2, {0, 1, 4}), (3, {0, 1, 4, 5}), (4, {0, 1, 4, 5, 6})],
)
def test_freeze_stops_weights_and_statistics_of_the_same_stages(stages, frozen):
    """Some ports stop the weights of later stages but leave their norms collecting statistics."""
    torch.manual_seed(0)
    body = ResNet(**THIN)
    body.freeze(stages)
    body.train()
    before = {name: value.clone() for name, value in body.features.state_dict().items()}
    body(torch.randn(2, 3, 48, 48, requires_grad=True))[0].sum().backward()
    learning = {
        int(name.split(".")[0])
        for name, p in body.features.named_parameters()
        if p.grad is not None
    }
    moving = {
        int(name.split(".")[0])
        for name, value in body.features.state_dict().items()
        if not torch.equal(value, before[name])
    }
    assert learning == {0, 1, 4, 5, 6} - frozen
    assert moving == {1, 4, 5, 6} - frozen
    assert {
        i
        for i in (0, 1, 4, 5, 6)
        if not any(p.requires_grad for p in body.features[i].parameters())
    } == frozen


def detector_like():
    body = ResNet(**THIN)
    return nn.ModuleDict(
        {"backbone": body, "head": Conv5Head(in_channels=64, blocks=2, width=1 / 16, caffe=False)}
    )


@pytest.mark.parametrize(
    "handled",
    [
        lambda network: network.train(),
        lambda network: network.eval().train(),
        lambda network: deepcopy(network).train(),
        lambda network: deepcopy(network.train()),
        lambda network: network.to(torch.float64).float().train(),
    ],
)
def test_frozen_norms_never_move(handled):
    torch.manual_seed(0)
    network = with_random_norms(detector_like())
    freeze_norms(network)
    network = handled(network)
    assert network.training
    norms = [layer for layer in network.modules() if isinstance(layer, Norm)]
    assert len(norms) == 1 + 5 * 3 + 3 + 2 * 3 + 1  # bn1, three a block, one for each projection
    before = [{name: value.clone() for name, value in norm.state_dict().items()} for norm in norms]
    optimizer = torch.optim.SGD(
        [p for p in network.parameters() if p.requires_grad], lr=0.1, weight_decay=0.1
    )
    (features,) = network["backbone"](torch.randn(2, 3, 112, 112))
    network["head"](features).sum().backward()
    optimizer.step()
    assert not any(norm.training for norm in norms)
    assert all(
        torch.equal(value, old[name])
        for norm, old in zip(norms, before, strict=True)
        for name, value in norm.state_dict().items()
    )
    assert all(p.grad is not None for p in network.parameters() if p.ndim == 4)


def test_one_list_decides_what_is_frozen():
    network = detector_like()
    freeze_norms(network["backbone"].features[:5])
    network.train()
    for norm in [layer for layer in network.modules() if isinstance(layer, Norm)]:
        assert (
            norm.frozen
            == (not norm.training)
            == (not norm.weight.requires_grad)
            == (not norm.bias.requires_grad)
        )
    assert sum(norm.frozen for norm in network.modules() if isinstance(norm, Norm)) == 1 + 3 + 1


def test_frozen_norm_is_a_fixed_affine_map():
    """(x - 1) / sqrt(4) * 3 + 5: x = 3 gives 8."""
    norm = Norm(1, eps=0.0)
    for value, number in (
        (norm.running_mean, 1.0),
        (norm.running_var, 4.0),
        (norm.weight, 3.0),
        (norm.bias, 5.0),
    ):
        nn.init.constant_(value, number)
    freeze_norms(norm)
    assert norm.train()(torch.full((1, 1, 1, 1), 3.0)).item() == pytest.approx(
        8.0
    )  # one value: no batch statistics


def test_norms_train_until_they_are_frozen():
    norm = Norm(2)
    norm.train()(torch.randn(4, 2, 3, 3) + 5)
    assert norm.running_mean.min() > 0.2  # 0.1 of the batch's mean
    assert norm.weight.requires_grad


def test_initialization_from_scratch():
    """He: std sqrt(2 / fan in); norms 1 and 0."""
    torch.manual_seed(0)
    body = ResNet(blocks=(1, 1, 1, 1))
    conv = body.features[6][0].conv2.weight
    assert conv.std().item() == pytest.approx((2 / (256 * 9)) ** 0.5, rel=0.01)
    head = Conv5Head(in_channels=1024, blocks=1, width=1.0, caffe=True)
    assert head.layer4[0].conv1.weight.std().item() == pytest.approx((2 / 1024) ** 0.5, rel=0.01)
    for norm in [
        layer for part in (body, head) for layer in part.modules() if isinstance(layer, Norm)
    ]:
        assert norm.weight.unique().tolist() == [1]
        assert norm.bias.unique().tolist() == [0]


@pytest.mark.parametrize("caffe", [False, True])
@pytest.mark.parametrize(("stride", "channels"), [(1, 8), (1, 4), (2, 8)])
def test_gradients_of_a_block(stride, channels, caffe):
    torch.manual_seed(0)
    block = Bottleneck(
        in_channels=channels, planes=3, out_channels=8, stride=stride, dilation=1, caffe=caffe
    ).double()
    with_random_norms(block)
    inputs = torch.randn(2, channels, 4, 4, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(block, inputs)
