"""torchvision's Faster and Mask R-CNN at full width with random numbers, and the same network here,
for the tests that compare the two; images for both."""

import torch
from torch import nn
from torch.nn import functional as F
from torchvision.models import detection

from data.records import Batch
from data.transforms import pad, to_network
from models.build import build_detector
from models.weights.conventions import network_of
from models.weights.detectors import from_torchvision
from tests.networks import change

SHORT, LONG = 128, 208  # network px: the sides of small images, to be fast
NORM_EPS = 1e-5  # of networks without pretrained weights


def torchvision_network(*, mask=False, seed=0, **settings):
    """A ResNet-50 network whose outputs differ from place to place as after training.

    The last norm of each residual block is small, or the activations would double from block to
    block. The mean of the class scores goes into their biases, or one class would win everywhere.
    """
    torch.manual_seed(seed)
    build = detection.maskrcnn_resnet50_fpn if mask else detection.fasterrcnn_resnet50_fpn
    network = build(
        weights=None, weights_backbone=None, min_size=SHORT, max_size=LONG, **settings
    ).eval()
    for name, norm in network.named_modules():
        if isinstance(norm, nn.BatchNorm2d):
            nn.init.normal_(norm.running_mean, std=0.1)
            nn.init.uniform_(norm.running_var, 0.5, 2.0)
            nn.init.uniform_(norm.weight, *((0.1, 0.3) if name.endswith("bn3") else (0.5, 1.5)))
            nn.init.normal_(norm.bias, std=0.1)
    box = network.roi_heads.box_predictor
    for layer, std in (
        (network.rpn.head.cls_logits, 0.2),
        (network.rpn.head.bbox_pred, 0.1),
        (box.cls_score, 2.0),
        (box.bbox_pred, 0.3),
    ):
        nn.init.normal_(layer.weight, std=std)
    seen = []
    hook = box.cls_score.register_forward_hook(
        lambda layer, inputs, logits: seen.append(logits.mean(0))
    )
    with torch.no_grad():
        network([picture((SHORT, SHORT), 100) / 255])
        box.cls_score.bias -= seen[0]
    hook.remove()
    return network


def same_network(theirs, **changes):
    """The network of this project with the weights of ``theirs`` and its conventions; changes: as
    in ``networks.change``."""
    state = from_torchvision(theirs.state_dict(), norm_eps=NORM_EPS)
    ours = build_detector(change(network_of("torchvision", state), **changes)).eval()
    ours.load_state_dict(state)
    return ours


def picture(size, seed):
    """A float image (3, H, W) of whole numbers 0..255 with structure at four scales."""
    generator = torch.Generator().manual_seed(seed)
    layers = [
        F.interpolate(
            torch.rand(1, 3, cells, cells, generator=generator), size=size, mode="bicubic"
        )[0]
        for cells in (5, 12, 40, 90)
    ]
    mixed = sum(layers)
    return ((mixed - mixed.mean()) / mixed.std() * 60 + 128).clamp(0, 255).round()


def batch_of(pictures, targets=None):
    """Pictures and targets in original px as the loader gives them to a network with torchvision's
    pixels."""
    pairs = [
        to_network(
            image.to(torch.uint8), target, short_side=SHORT, long_side=LONG, pixels="torchvision"
        )
        for image, target in zip(pictures, targets or [None] * len(pictures), strict=True)
    ]
    return Batch(
        images=pad([image for image, _ in pairs], 32),
        image_sizes=tuple(tuple(image.shape[-2:]) for image, _ in pairs),
        original_sizes=tuple(tuple(image.shape[-2:]) for image in pictures),
        image_ids=tuple(range(len(pictures))),
        targets=None if targets is None else tuple(target for _, target in pairs),
    )
