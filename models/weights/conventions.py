"""What a network must be for weights from elsewhere to mean what they meant there: its ModelConfig.

Sizes come from the tensors themselves; what no tensor says (anchors, strides, sampling, losses) is
each code base's default for COCO. Not told by a file, so to be changed by hand: other anchors; a
Detectron2 ResNet of torchvision's layout; an XYXY network of the KL Loss authors without its log
variances.
"""

from collections.abc import Mapping
from dataclasses import replace
from math import isqrt
from typing import Any, Literal

from torch import Tensor

from models.backbones.base import BackboneConfig
from models.backbones.resnet import RESNET50, RESNET101
from models.build import ModelConfig
from models.mask import MaskConfig
from models.roi import RoIConfig
from models.rpn import RPNConfig
from models.weights.detectors import Format

# fields of the groups of a ModelConfig: {"backbone": {...}, "rpn": {...}, ...}
Groups = dict[str, dict[str, Any]]
# a stage's index in the backbone's features
LAYERS = {"layer1": "4", "layer2": "5", "layer3": "6", "layer4": "7"}
BY_FORMAT: dict[str, Groups] = {
    "torchvision": {
        "backbone": {"resnet_layout": "torchvision"},
        "rpn": {"anchor_rule": "torchvision", "straddling_anchors": True},
        "roi": {"aligned": False, "smooth_l1_beta": 1 / 9},
        "mask": {"soft_targets": True},
    },
    "detectron": {
        "backbone": {"resnet_layout": "detectron"},
        "rpn": {"anchor_rule": "caffe", "straddling_anchors": False},
        "roi": {"aligned": False, "smooth_l1_beta": 1.0},
        "mask": {"soft_targets": False},
    },
    "detectron2": {
        "backbone": {"resnet_layout": "detectron"},
        "rpn": {"anchor_rule": "detectron2", "straddling_anchors": True},
        "roi": {"aligned": True, "smooth_l1_beta": 0.0},
        "mask": {"soft_targets": False},
    },
}
PIXELS: dict[str, Literal["torchvision", "caffe"]] = {  # of DataConfig
    "torchvision": "torchvision",
    "detectron": "caffe",
    "detectron2": "caffe",
}
PYRAMID_COUNTS: dict[str, Any] = {
    "pre_nms_train": 2000,
    "post_nms_train": 2000,
    "pre_nms_test": 1000,
    "post_nms_test": 1000,
}
C4_COUNTS: dict[str, Any] = {
    "pre_nms_train": 12000,
    "post_nms_train": 2000,
    "pre_nms_test": 6000,
    "post_nms_test": 1000,
}
# Detectron2 samples adaptively: 3 or 4 a bin side where the level suits the RoI. A pyramid here has
# a fixed number.
SAMPLING_RATIO = {"torchvision": 2, "detectron": 2, "detectron2": 4}
ANCHOR_SIZES = (32.0, 64.0, 128.0, 256.0, 512.0)  # px
LOGITS = "roi.head.predictor.class_logits.weight"


def conventions(source: Format, state: Mapping[str, Tensor]) -> Groups:
    """The fields of a ModelConfig that are no sizes, by group, for weights ``state`` in our names
    from ``source``."""
    log_variance = "roi.head.predictor.log_variance.weight" in state
    coding = "edges" if log_variance else "center_size"
    fixed = BY_FORMAT[source]
    return {
        "backbone": fixed["backbone"],
        "rpn": {**fixed["rpn"], "softmax": False, "box_coding": coding},
        "roi": {
            **fixed["roi"],
            "box_coding": coding,
            "pooling": "align",
            "sampling_ratio": SAMPLING_RATIO[source] if has_pyramid(state) else 0,
        },
        "mask": fixed["mask"],
    }


def has_pyramid(state: Mapping[str, Tensor]) -> bool:
    """Whether the weights are of a network with a feature pyramid."""
    return any(name.startswith("backbone.bottom_up.") for name in state)


def network_of(source: Format, state: Mapping[str, Tensor]) -> ModelConfig:
    """The network whose weights ``state`` are, in our names (see detectors.py).

    Args:
        source: "torchvision", "detectron" or "detectron2".

    Raises:
        ValueError: the weights lack the layers that tell its size.
    """
    if LOGITS not in state:
        raise ValueError(
            f"The weights have no box head ({LOGITS} in our names), so they are no detector that "
            "can be rebuilt from the file; name its network with --run."
        )
    fields = conventions(source, state)
    channels = len(state.get("backbone.lateral.0.bias", ()))
    mask = None
    if "mask.head.convs.0.weight" in state:
        mask = MaskConfig(channels=len(state["mask.head.convs.0.weight"]), **fields["mask"])
    backbone = residual_network(state, pyramid=has_pyramid(state)) | fields["backbone"]
    if has_pyramid(state):
        backbone |= {"pyramid": True, "pyramid_channels": channels}
    return ModelConfig(
        num_classes=len(state[LOGITS]) - 1,
        backbone=BackboneConfig(**backbone),
        rpn=region_proposal_network(state, fields["rpn"]),
        roi=second_stage(state, fields["roi"], channels),
        mask=mask,
    )


def region_proposal_network(state: Mapping[str, Tensor], fields: dict[str, Any]) -> RPNConfig:
    """The first stage, or that of a Fast R-CNN, which has none."""
    conv = "rpn.head.conv.weight"
    counts = PYRAMID_COUNTS if has_pyramid(state) else C4_COUNTS
    config = RPNConfig(anchor_sizes=ANCHOR_SIZES, min_size=0.0, **counts, **fields)
    if conv not in state:
        return replace(config, kind="saved")
    return replace(config, channels=len(state[conv]))


def second_stage(
    state: Mapping[str, Tensor], fields: dict[str, Any], pyramid_channels: int
) -> RoIConfig:
    """Two fully connected layers on a pyramid, conv5 otherwise."""
    log_variance = "roi.head.predictor.log_variance.weight" in state
    size: dict[str, Any] = {"head": "conv5", "pool_size": 14}
    if has_pyramid(state):
        size = {"head": "mlp", **fully_connected(state, pyramid_channels)}
    return RoIConfig(
        rois_per_image=512,
        log_variance=log_variance,
        box_loss="kl" if log_variance else "smooth_l1",
        class_agnostic=len(state.get("roi.head.predictor.offsets.bias", ())) == 4,
        **size,
        **fields,
    )


def residual_network(state: Mapping[str, Tensor], *, pyramid: bool) -> dict[str, Any]:
    """``name`` and ``resnet_blocks`` by the number of blocks in each stage."""
    prefix = "backbone.bottom_up.features." if pyramid else "backbone.features."
    stages = [f"{prefix}{index}." for index in LAYERS.values()]
    if not pyramid:
        stages[-1] = "roi.head.box_head.layer4."
    blocks = tuple(
        len({name.removeprefix(stage).split(".")[0] for name in state if name.startswith(stage)})
        for stage in stages
    )
    if not any(blocks):
        raise ValueError(
            "The backbone of the weights is no ResNet, as of torchvision's MobileNetV3 and VGG "
            "detectors; only detectors with a ResNet can be converted."
        )
    if not all(blocks):
        raise ValueError(
            f"The ResNet of the weights has {blocks} blocks in its four stages; every stage needs "
            "one or more."
        )
    return {
        "name": "resnet50" if blocks == RESNET50 else "resnet101",
        "resnet_blocks": None if blocks in (RESNET50, RESNET101) else blocks,
    }


def fully_connected(state: Mapping[str, Tensor], channels: int) -> dict[str, Any]:
    """``fc_dims`` and ``pool_size`` of a box head with two fully connected layers on maps of
    ``channels``."""
    layers = {"roi.head.box_head.fc6.weight", "roi.head.box_head.fc7.weight"}
    if not layers <= state.keys() or not channels:
        raise ValueError(
            "The weights have no pyramid with biases and two fully connected layers in the box "
            "head; other heads and group norm are not supported."
        )
    fc6, fc7 = state["roi.head.box_head.fc6.weight"], state["roi.head.box_head.fc7.weight"]
    return {"fc_dims": (len(fc6), len(fc7)), "pool_size": isqrt(fc6.shape[1] // channels)}
