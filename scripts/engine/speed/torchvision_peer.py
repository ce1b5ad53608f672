"""Faster R-CNN (ResNet-50, FPN) here and in torchvision: the same weights, images and objects, for
timing the two in turn.

Both detect from an image to its boxes, and both train from normalized images to new weights. The
numbers are random but as widely spread as trained ones, so that suppression has work to do.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn
from torchvision.models import detection
from torchvision.models.detection.backbone_utils import resnet_fpn_backbone
from torchvision.ops import FrozenBatchNorm2d

from data.records import Batch, Detections, Target
from data.transforms import pad, to_network
from models.build import build_detector
from models.detector import Detector
from models.weights.conventions import network_of
from models.weights.detectors import from_torchvision
from postprocess.pipeline import PostprocessConfig, postprocess
from scripts.engine.synthetic import random_boxes, uniform
from scripts.engine.update.loss_scaler import LossScaler
from scripts.engine.update.update import update

NORM_EPS = 1e-5
CLASSES = 91  # of COCO in torchvision's numbering, background included
PROPOSALS, ROIS = 1000, 512  # of an image, in testing and in training
DIVISOR = 32  # px, to which both pad
FROZEN_STAGES = 2  # conv1 and conv2_x; torchvision trains the other three
RATE, MOMENTUM, DECAY = 1e-4, 0.9, 1e-4  # a small rate: the weights hardly change while timed
SPREAD = {  # standard deviation of the last layers' weights
    "rpn.head.cls_logits": 0.2,
    "rpn.head.bbox_pred": 0.1,
    "roi_heads.box_predictor.cls_score": 0.3,
    "roi_heads.box_predictor.bbox_pred": 0.05,
}


@dataclass(frozen=True, kw_only=True)
class Pair:
    """What is timed in turn: ``ours`` and ``theirs`` do the same work."""

    ours: Callable[[], object]
    theirs: Callable[[], object]


def torchvision_network(
    *,
    short_side: int,
    long_side: int,
    proposals: int = PROPOSALS,
    rois: int = ROIS,
    seed: int = 0,
) -> nn.Module:
    """torchvision's fasterrcnn_resnet50_fpn with fixed norms and random numbers.

    Args:
        short_side: px, to which it resizes the shorter side of an image.
        long_side: px, the limit of the longer side.
        proposals: of an image in testing.
        rois: of an image in training.
        seed: of the numbers.
    """
    torch.manual_seed(seed)
    backbone = resnet_fpn_backbone(
        backbone_name="resnet50",
        weights=None,
        norm_layer=FrozenBatchNorm2d,
        trainable_layers=5 - FROZEN_STAGES,
    )
    network = detection.FasterRCNN(
        backbone,
        num_classes=CLASSES,
        min_size=short_side,
        max_size=long_side,
        rpn_post_nms_top_n_test=proposals,
        box_batch_size_per_image=rois,
    )
    for name, layer in network.named_modules():
        if isinstance(layer, FrozenBatchNorm2d):
            layer.weight.fill_(0.2 if name.endswith("bn3") else 1.0)
        if name in SPREAD:
            nn.init.normal_(layer.weight, std=SPREAD[name])
    return network


def same_network(theirs: nn.Module, *, proposals: int = PROPOSALS, rois: int = ROIS) -> Detector:
    """The network of this project with the weights of ``theirs`` and torchvision's conventions."""
    state = from_torchvision(theirs.state_dict(), norm_eps=NORM_EPS)
    config = network_of("torchvision", state)
    ours = build_detector(
        replace(
            config,
            rpn=replace(config.rpn, post_nms_test=proposals),
            roi=replace(config.roi, rois_per_image=rois),
        )
    )
    ours.load_state_dict(state)
    return ours


def pictures(images: int, size: tuple[int, int], seed: int = 0) -> list[Tensor]:
    """Images (3, H, W) uint8 of noise, (height, width) px."""
    generator = torch.Generator().manual_seed(seed)
    return [uniform((3, *size), 0.0, 255.99, generator).to(torch.uint8) for _ in range(images)]


def detection_pair(
    *,
    size: tuple[int, int],
    images: int = 1,
    proposals: int = PROPOSALS,
    device: torch.device | None = None,
) -> Pair:
    """Detection in images of ``size`` (height, width) px, which neither network resizes.

    Each call returns, image by image, torchvision's dictionaries or our ``Detections``: at most 100
    boxes above a score of 0.05, after suppression at an IoU of 0.5.
    """
    device = device or torch.device("cpu")
    sides = {"short_side": min(size), "long_side": max(size)}
    theirs = torchvision_network(**sides, proposals=proposals).eval().to(device)
    ours = same_network(theirs, proposals=proposals).eval().to(device)
    seen = [picture.to(device) for picture in pictures(images, size)]

    def detect_ours() -> list[Detections]:
        batch = batch_of(seen, [None] * images, **sides)
        return postprocess(ours.candidates(batch), PostprocessConfig(max_detections=100))

    def detect_theirs() -> list[dict[str, Tensor]]:
        with torch.no_grad():
            return theirs([picture / 255 for picture in seen])

    return Pair(ours=detect_ours, theirs=detect_theirs)


def batch_of(
    images: list[Tensor], targets: Sequence[Target | None], *, short_side: int, long_side: int
) -> Batch:
    """Images (3, H, W) uint8 and their targets as the loader gives them to a network."""
    pairs = [
        to_network(image, target, short_side=short_side, long_side=long_side, pixels="torchvision")
        for image, target in zip(images, targets, strict=True)
    ]
    return Batch(
        images=pad([image for image, _ in pairs], DIVISOR),
        image_sizes=tuple((image.shape[-2], image.shape[-1]) for image, _ in pairs),
        original_sizes=tuple((image.shape[-2], image.shape[-1]) for image in images),
        image_ids=tuple(range(len(images))),
        targets=None if None in targets else tuple(t for _, t in pairs if t is not None),
    )


def objects(images: int, size: tuple[int, int], boxes: int, seed: int = 1) -> list[Target]:
    """``boxes`` random objects in each image."""
    generator = torch.Generator().manual_seed(seed)
    return [
        Target(
            boxes=random_boxes(boxes, size, generator),
            labels=torch.randint(1, CLASSES, (boxes,), generator=generator),
        )
        for _ in range(images)
    ]


def training_pair(
    *,
    size: tuple[int, int],
    images: int = 2,
    boxes: int = 5,
    rois: int = ROIS,
    device: torch.device | None = None,
) -> Pair:
    """One training step on a batch: forward, backward, and a step of SGD with momentum and decay.

    Both freeze conv1, conv2_x and all norms, and sample 256 anchors and ``rois`` RoIs an image.
    torchvision's batch comes as images, which it normalizes and pads; ours is normalized and
    padded already, as the loader's workers do it.

    Args:
        size: (height, width) of the images, px, which neither network resizes.
        images: in the batch.
        boxes: objects in each image.
        rois: sampled of each image.
        device: of both networks.

    Returns:
        Calls that each make one step and return the loss terms.
    """
    device = device or torch.device("cpu")
    sides = {"short_side": min(size), "long_side": max(size)}
    theirs = torchvision_network(**sides, rois=rois).to(device)
    ours = same_network(theirs, rois=rois).to(device)
    ours.freeze(FROZEN_STAGES)
    seen, targets = pictures(images, size), objects(images, size, boxes)
    batch = batch_of(seen, targets, **sides).to(device)
    inputs = [(picture / 255).to(device) for picture in seen]
    expected = [
        {"boxes": target.boxes.to(device), "labels": target.labels.to(device)} for target in targets
    ]
    ours.train()
    theirs.train()
    our_optimizer, their_optimizer = sgd(ours), sgd(theirs)
    scaler = LossScaler(device.type, enabled=False)

    def train_ours() -> dict[str, float]:
        return update(ours, our_optimizer, scaler, [batch], step=1)[0]

    def train_theirs() -> dict[str, float]:
        their_optimizer.zero_grad()
        losses = theirs(inputs, expected)
        torch.stack(list(losses.values())).sum().backward()
        their_optimizer.step()
        return {name: float(loss.detach()) for name, loss in losses.items()}

    return Pair(ours=train_ours, theirs=train_theirs)


def sgd(network: nn.Module) -> torch.optim.Optimizer:
    """SGD on the parameters that are trained."""
    trained = [parameter for parameter in network.parameters() if parameter.requires_grad]
    return torch.optim.SGD(trained, lr=RATE, momentum=MOMENTUM, weight_decay=DECAY)
