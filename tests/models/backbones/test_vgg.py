"""The VGG backbones: layer by layer what the published definitions say."""

import pytest
import torch
from torch import nn
from torchvision import models

from models.backbones.vgg import VGG16, VGGCNNM1024


def test_vgg16_is_torchvisions_without_the_last_pooling():
    with torch.device("meta"):
        theirs = models.vgg16(weights=None).features[:-1]
    ours = VGG16(width=1 / 16).features
    assert len(ours) == len(theirs) == 30
    for mine, other in zip(ours, theirs, strict=True):
        assert isinstance(mine, type(other))
        if isinstance(mine, nn.Conv2d):
            assert (mine.kernel_size, mine.padding, mine.stride) == (
                other.kernel_size,
                other.padding,
                other.stride,
            )
            assert mine.out_channels == max(8, other.out_channels // 16)


@pytest.mark.parametrize(("height", "width"), [(64, 96), (65, 97), (37, 50), (100, 63)])
def test_vgg16_rounds_up(height, width):
    """Caffe's pooling: every pixel is in some feature cell."""
    (features,) = VGG16(width=1 / 16)(torch.zeros(1, 3, height, width))
    assert features.shape == (1, 32, -(-height // 16), -(-width // 16))


@pytest.mark.parametrize("side", [224, 225, 300, 601])
def test_vgg_cnn_m_1024_has_caffes_map_size(side):
    # 224: conv 109, pool 54, conv 26, pool 13
    (features,) = VGGCNNM1024(width=1 / 16)(torch.zeros(1, 3, side, side))
    assert caffe_cells(224) == 13
    assert features.shape == (1, 32, caffe_cells(side), caffe_cells(side))


def caffe_cells(side):
    side = (side - 7) // 2 + 1
    side = -(-(side - 3) // 2) + 1
    side = (side + 2 - 5) // 2 + 1
    return -(-(side - 3) // 2) + 1


@pytest.mark.parametrize(
    ("network", "stages", "layers"),
    [
        (VGG16, 0, []),
        (VGG16, 1, [0, 2]),
        (VGG16, 2, [0, 2, 5, 7]),
        (VGG16, 5, [0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28]),
        (VGGCNNM1024, 1, [0]),
        (VGGCNNM1024, 3, [0, 4, 8]),
    ],
)
def test_freeze_stops_the_first_stages(network, stages, layers):
    backbone = network(width=1 / 16)
    backbone.freeze(stages)
    frozen = [
        i
        for i, layer in enumerate(backbone.features)
        if isinstance(layer, nn.Conv2d) and not layer.weight.requires_grad
    ]
    assert frozen == layers


@pytest.mark.parametrize("stages", [-1, 6])
def test_stages_that_are_not_there_are_refused(stages):
    """-1 froze four of five."""
    with pytest.raises(ValueError, match=rf"frozen_stages is {stages}; this network has 5 stages"):
        VGG16(width=1 / 16).freeze(stages)


def test_initial_activations_keep_their_size():
    torch.manual_seed(0)
    (deep,) = VGG16(width=0.25)(torch.randn(1, 3, 64, 64))
    assert 0.1 < deep.std() < 10
