"""What a network is, by the names of its weights."""

import pytest

from models.weights.conventions import residual_network


def test_a_backbone_that_is_no_resnet_is_named():
    with pytest.raises(ValueError, match=r"is no ResNet, as of torchvision's MobileNetV3"):
        residual_network({"backbone.0.0.weight": None}, pyramid=True)


def test_a_resnet_without_a_stage_is_refused():
    with pytest.raises(ValueError, match=r"\(1, 0, 0, 0\) blocks in its four stages"):
        residual_network({"backbone.bottom_up.features.4.0.conv1.weight": None}, pyramid=True)
