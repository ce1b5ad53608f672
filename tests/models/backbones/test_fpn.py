"""The feature pyramid against torchvision's."""

import pytest
import torch
from torchvision.models.detection.backbone_utils import resnet_fpn_backbone

from models.backbones.fpn import FPN
from models.backbones.mobilenet import MobileNetV2
from models.backbones.resnet import RESNET50, ResNet


@pytest.fixture(scope="module")
def pair():
    torch.manual_seed(0)
    theirs = resnet_fpn_backbone(
        backbone_name="resnet50", weights=None, norm_layer=torch.nn.BatchNorm2d
    ).eval()
    ours = FPN(bottom_up=ResNet(blocks=RESNET50, whole=True), channels=256).eval()
    names = {"conv1": "0", "bn1": "1", "layer1": "4", "layer2": "5", "layer3": "6", "layer4": "7"}
    state = {}
    for name, value in theirs.state_dict().items():
        if name.startswith("body."):
            _, layer, rest = name.split(".", 2)
            state[f"bottom_up.features.{names[layer]}.{rest}"] = value
        else:
            _, kind, level, _, rest = name.split(".")
            state[f"{'lateral' if kind == 'inner_blocks' else 'output'}.{level}.{rest}"] = value
    ours.load_state_dict(state)
    return ours, theirs


@pytest.mark.parametrize("size", [(64, 96), (70, 101)])
def test_maps_are_torchvisions(pair, size):
    ours, theirs = pair
    images = torch.randn(2, 3, *size, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        found, expected = ours(images), list(theirs(images).values())
    assert len(found) == len(ours.strides) == 5
    for stride, level, other in zip(ours.strides, found, expected, strict=True):
        torch.testing.assert_close(level, other, atol=1e-3 * float(other.abs().max()), rtol=1e-4)
        assert level.shape == (2, 256, -(-size[0] // stride), -(-size[1] // stride))


def test_freezing_reaches_the_network_below_and_nothing_else():
    pyramid = FPN(bottom_up=ResNet(blocks=(1, 1, 1, 1), width=1 / 16, whole=True), channels=16)
    pyramid.freeze(2)
    stopped = {name for name, p in pyramid.named_parameters() if not p.requires_grad}
    assert stopped
    assert all(
        name.startswith(("bottom_up.features.0.", "bottom_up.features.1.", "bottom_up.features.4."))
        for name in stopped
    )


def test_a_pyramid_on_mobilenet_has_the_same_strides():
    pyramid = FPN(
        bottom_up=MobileNetV2(blocks=18, tf_padding=True, last_stride=2), channels=8
    ).eval()
    maps = pyramid(torch.zeros(1, 3, 100, 130))
    assert [m.shape[-2:] for m in maps] == [(-(-100 // s), -(-130 // s)) for s in pyramid.strides]


def test_weights_start_as_caffe2s_xavier_fill():
    pyramid = FPN(bottom_up=ResNet(blocks=(1, 1, 1, 1), width=1 / 4, whole=True), channels=64)
    for layer, fan_in in ((pyramid.lateral[3], 512), (pyramid.output[0], 64 * 9)):
        assert layer.weight.detach().abs().max() <= (3 / fan_in) ** 0.5
        assert layer.weight.std().item() == pytest.approx(fan_in**-0.5, rel=0.03)
        assert not layer.bias.any()
