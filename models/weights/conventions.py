"""What a network must be for weights from elsewhere to mean what they meant there: changes of a ModelConfig.

Sizes come from the tensors themselves; what no tensor says (anchors, strides, sampling, losses) is each code base's
default for COCO. Not told by a file, so to be changed by hand: other anchors; a Detectron2 ResNet of torchvision's
layout; an XYXY network of the KL Loss authors without its log variances.
"""

from collections.abc import Mapping
from math import isqrt
from typing import Any, Literal

from torch import Tensor

from models.backbones.resnet import RESNET50, RESNET101
from models.weights.detectors import Format

LAYERS = {"layer1": "4", "layer2": "5", "layer3": "6", "layer4": "7"}  # a stage's index in the backbone's features
BY_FORMAT: dict[str, dict[str, Any]] = {
    "torchvision": {"anchor_rule": "torchvision", "resnet_layout": "torchvision", "aligned": False,
                    "box_smooth_l1_beta": 1 / 9, "straddling_anchors": True, "mask_soft_targets": True},
    "detectron": {"anchor_rule": "caffe", "resnet_layout": "detectron", "aligned": False, "box_smooth_l1_beta": 1.0,
                  "straddling_anchors": False, "mask_soft_targets": False},
    "detectron2": {"anchor_rule": "detectron2", "resnet_layout": "detectron", "aligned": True,
                   "box_smooth_l1_beta": 0.0, "straddling_anchors": True, "mask_soft_targets": False},
}
PIXELS: dict[str, Literal["torchvision", "caffe"]] = {  # of DataConfig
    "torchvision": "torchvision", "detectron": "caffe", "detectron2": "caffe"}
PYRAMID = {"pyramid": True, "pre_nms_train": 2000, "post_nms_train": 2000, "pre_nms_test": 1000, "post_nms_test": 1000}
C4 = {"pyramid": False, "pool_size": 14, "pre_nms_train": 12000, "post_nms_train": 2000, "pre_nms_test": 6000,
      "post_nms_test": 1000}
# Detectron2 samples adaptively: 3 or 4 a bin side where the level suits the RoI. A pyramid here has a fixed number.
SAMPLING_RATIO = {"torchvision": 2, "detectron": 2, "detectron2": 4}


def habits(source: Format, state: Mapping[str, Tensor]) -> dict[str, Any]:
    """The fields of a ModelConfig that are no sizes, for weights ``state`` in our names from ``source``."""
    log_variance = "roi_head.predictor.log_variance.weight" in state
    return {**BY_FORMAT[source], "rpn_softmax": False, "box_coding": "edges" if log_variance else "center_size",
            "pooling": "align", "sampling_ratio": SAMPLING_RATIO[source] if has_pyramid(state) else 0}


def has_pyramid(state: Mapping[str, Tensor]) -> bool:
    return any(name.startswith("backbone.bottom_up.") for name in state)


def conventions(source: Format, state: Mapping[str, Tensor]) -> dict[str, Any]:
    """The fields of a ModelConfig of the network whose weights ``state`` are, in our names (see detectors.py).

    Args:
        source: "torchvision", "detectron" or "detectron2".

    Raises:
        ValueError: the weights lack the layers that tell its size.
    """
    logits = "roi_head.predictor.class_logits.weight"
    if logits not in state:
        raise ValueError(f"The weights have no box head ({logits} in our names), so they are no detector that can be "
                         "rebuilt from the file; name its network with --run.")
    pyramid, proposes = has_pyramid(state), "rpn_head.conv.weight" in state
    fields = {
        **residual_network(state, pyramid=pyramid), **(PYRAMID if pyramid else C4), **habits(source, state),
        "num_classes": len(state[logits]) - 1, "region_proposal": "rpn" if proposes else "saved",
        "anchor_sizes": (32.0, 64.0, 128.0, 256.0, 512.0), "min_size": 0.0, "rois_per_image": 512,
        "log_variance": "roi_head.predictor.log_variance.weight" in state,
        "class_agnostic": len(state.get("roi_head.predictor.offsets.bias", ())) == 4,
        "mask": "mask_head.convs.0.weight" in state}
    if proposes:
        fields["rpn_dim"] = len(state["rpn_head.conv.weight"])
    if fields["mask"]:
        fields["mask_dim"] = len(state["mask_head.convs.0.weight"])
    if pyramid:
        fields["pyramid_dim"] = len(state.get("backbone.lateral.0.bias", ()))
        fields |= fully_connected(state, fields["pyramid_dim"])
    return fields


def residual_network(state: Mapping[str, Tensor], *, pyramid: bool) -> dict[str, Any]:
    """``backbone`` and ``resnet_blocks`` by the number of blocks in each stage."""
    prefix = "backbone.bottom_up.features." if pyramid else "backbone.features."
    homes = [f"{prefix}{index}." for index in LAYERS.values()]
    if not pyramid:
        homes[-1] = "roi_head.box_head.layer4."
    blocks = tuple(len({name.removeprefix(home).split(".")[0] for name in state if name.startswith(home)})
                   for home in homes)
    if not all(blocks):
        raise ValueError(f"The ResNet of the weights has {blocks} blocks in its four stages; every stage needs one or "
                         "more.")
    return {"backbone": "resnet50" if blocks == RESNET50 else "resnet101",
            "resnet_blocks": None if blocks in (RESNET50, RESNET101) else blocks}


def fully_connected(state: Mapping[str, Tensor], channels: int) -> dict[str, Any]:
    """``fc_dims`` and ``pool_size`` of a box head with two fully connected layers on maps of ``channels``."""
    if not {"roi_head.box_head.fc6.weight", "roi_head.box_head.fc7.weight"} <= state.keys() or not channels:
        raise ValueError("The weights have no pyramid with biases and two fully connected layers in the box head; "
                         "other heads and group norm are not supported.")
    fc6, fc7 = state["roi_head.box_head.fc6.weight"], state["roi_head.box_head.fc7.weight"]
    return {"fc_dims": (len(fc6), len(fc7)), "pool_size": isqrt(fc6.shape[1] // channels)}
