"""MobileNetV2 on images of sizes that it has not seen yet, as photos are, and on one of a size that
it has, beside torchvision's in the same memory layout.

On a GPU cuDNN prepares its convolutions anew for every size (``models.backbones.mobilenet``).
"""

from collections.abc import Iterator
from functools import partial
from itertools import count
from typing import Any

import torch
from torch import nn
from torchvision.models import mobilenet_v2

from experiments.kl_loss.runs import vgg16_voc
from experiments.scales import at_scale
from models.backbones.mobilenet import stay_at_stride_16
from models.build import build_detector
from scripts.engine.speed.work import Work

PART = "sizes"
HEIGHT, WIDTH = 300, 400  # px; new widths are larger
PEER = "torchvision's mobilenet_v2, channels-last"


def image_sizes(device: torch.device) -> Iterator[Work]:
    """One forward pass of the backbone of the lite scale over one image."""
    detector = build_detector(at_scale(vgg16_voc, "lite").model)
    ours, peer = (network.to(device).eval() for network in (detector.backbone, peer_network()))
    for name, step in (("a new size", 2), ("a known size", 0)):
        # even widths for one and odd ones for the other, so that neither profits from the other's
        yield Work(
            part=PART,
            name=f"MobileNetV2, an image of {name}",
            grows="images",
            size=1,
            ours=partial(forward, ours, count(WIDTH, step), device),
            peer_name=PEER,
            peer=partial(forward, peer, count(WIDTH + 1, step), device),
        )


def peer_network() -> nn.Module:
    """torchvision's features at stride 16 without the last convolution, as ours are."""
    features = mobilenet_v2(weights=None).features[:-1]
    stay_at_stride_16(features)
    return features.to(memory_format=torch.channels_last)


def forward(network: nn.Module, widths: Iterator[int], device: torch.device) -> Any:
    """What a network makes of a grey image of the next width."""
    images = torch.zeros(1, 3, HEIGHT, next(widths), device=device)
    with torch.no_grad():
        return network(images.contiguous(memory_format=torch.channels_last))
