"""Whole detectors of torchvision, Detectron (with KL Loss) and Detectron2: their state dicts in our
names and orders.

What differs beside the names: Detectron2 puts background last among the classes and predicts no box
and no mask for it, and orders the anchors of a position by size, then ratio. The authors of KL Loss
order edges (x1, x2, y1, y2), in their box head and in their region proposal network. A tensor
without a place here is left out; scripts.convert_weights lists what is missing. Letters: K
foreground classes, A anchors of a position.
"""

import re
from collections.abc import Mapping
from typing import Literal, get_args

import torch
from torch import Tensor

from models.weights.imagenet import prefixes
from models.weights.resnets import (
    detectron2_resnet,
    detectron_resnet,
    is_detectron2_resnet,
    is_detectron_resnet,
    with_eps,
)

Format = Literal["torchvision", "detectron", "detectron2", "imagenet", "ours"]
RATIOS = 3  # aspect ratios of Detectron2's anchors
PYRAMID = range(4)  # C2 .. C5 and P2 .. P5, fine to coarse

# our layer: its names there, newer ones first; Detectron's without a stage's last block number
TORCHVISION = {
    **{
        f"backbone.lateral.{i}": (
            f"backbone.fpn.inner_blocks.{i}.0",
            f"backbone.fpn.inner_blocks.{i}",
        )
        for i in PYRAMID
    },
    **{
        f"backbone.output.{i}": (
            f"backbone.fpn.layer_blocks.{i}.0",
            f"backbone.fpn.layer_blocks.{i}",
        )
        for i in PYRAMID
    },
    "rpn.head.conv": ("rpn.head.conv.0.0", "rpn.head.conv"),
    "rpn.head.objectness": ("rpn.head.cls_logits",),
    "rpn.head.offsets": ("rpn.head.bbox_pred",),
    "roi.head.box_head.fc6": ("roi_heads.box_head.fc6",),
    "roi.head.box_head.fc7": ("roi_heads.box_head.fc7",),
    "roi.head.predictor.class_logits": ("roi_heads.box_predictor.cls_score",),
    "roi.head.predictor.offsets": ("roi_heads.box_predictor.bbox_pred",),
    **{
        f"mask.head.convs.{i}": (
            f"roi_heads.mask_head.{i}.0",
            f"roi_heads.mask_head.mask_fcn{i + 1}",
            f"roi_heads.mask_head.{2 * i}",
        )
        for i in range(4)
    },
    "mask.head.upsample": ("roi_heads.mask_predictor.conv5_mask",),
    "mask.head.logits": ("roi_heads.mask_predictor.mask_fcn_logits",),
}
DETECTRON = {
    **{f"backbone.lateral.{i}": (f"fpn_inner_res{i + 2}",) for i in PYRAMID},
    **{f"backbone.output.{i}": (f"fpn_res{i + 2}",) for i in PYRAMID},
    "rpn.head.conv": ("conv_rpn_fpn2", "conv_rpn"),
    "rpn.head.objectness": ("rpn_cls_logits_fpn2", "rpn_cls_logits"),
    "rpn.head.offsets": ("rpn_bbox_pred_fpn2", "rpn_bbox_pred"),
    "roi.head.box_head.fc6": ("fc6",),
    "roi.head.box_head.fc7": ("fc7",),
    "roi.head.predictor.class_logits": ("cls_score",),
    "roi.head.predictor.offsets": ("bbox_pred",),
    "roi.head.predictor.log_variance": ("bbox_pred_std",),
    **{f"mask.head.convs.{i}": (f"_[mask]_fcn{i + 1}",) for i in range(4)},
    "mask.head.upsample": ("conv5_mask",),
    "mask.head.logits": ("mask_fcn_logits",),
}
DETECTRON2 = {
    **{f"backbone.lateral.{i}": (f"backbone.fpn_lateral{i + 2}",) for i in PYRAMID},
    **{f"backbone.output.{i}": (f"backbone.fpn_output{i + 2}",) for i in PYRAMID},
    "rpn.head.conv": ("proposal_generator.rpn_head.conv",),
    "rpn.head.objectness": ("proposal_generator.rpn_head.objectness_logits",),
    "rpn.head.offsets": ("proposal_generator.rpn_head.anchor_deltas",),
    "roi.head.box_head.fc6": ("roi_heads.box_head.fc1",),
    "roi.head.box_head.fc7": ("roi_heads.box_head.fc2",),
    "roi.head.predictor.class_logits": ("roi_heads.box_predictor.cls_score",),
    "roi.head.predictor.offsets": ("roi_heads.box_predictor.bbox_pred",),
    **{f"mask.head.convs.{i}": (f"roi_heads.mask_head.mask_fcn{i + 1}",) for i in range(4)},
    "mask.head.upsample": ("roi_heads.mask_head.deconv",),
    "mask.head.logits": ("roi_heads.mask_head.predictor",),
}


# how some name of a file begins, by its format; the first that fits decides
SIGNS: dict[Format, tuple[str, ...]] = {
    "torchvision": ("backbone.body.",),
    "ours": ("backbone.features.", "backbone.bottom_up.features."),
    "detectron2": ("backbone.bottom_up.", "backbone.res2."),
    "detectron": ("cls_score_w", "conv_rpn"),
    "imagenet": ("conv1.", "features.", "conv1_w"),
}


def detect_format(state: Mapping[str, Tensor]) -> Format:
    """Whose detector, or whether ImageNet weights, by the names of ``state``.

    Raises:
        ValueError: they are none of these.
    """
    for source, starts in SIGNS.items():
        if any(name.startswith(starts) for name in state):
            return source
    if is_detectron_resnet(state) or is_detectron2_resnet(state):
        return "imagenet"
    example = f" (its first name is {next(iter(state))!r})" if state else ""
    raise ValueError(
        f"These weights are of no known network{example}; known are Faster and Mask R-CNN with a "
        f"ResNet of {', '.join(get_args(Format)[:3])}, and ImageNet networks in torchvision's or "
        "Caffe2's names."
    )


def from_torchvision(state: Mapping[str, Tensor], *, norm_eps: float = 0.0) -> dict[str, Tensor]:
    """fasterrcnn_resnet50_fpn or maskrcnn_resnet50_fpn in our names, also with the names of old
    versions.

    norm_eps: of its norms; 0 in the published COCO weights and what starts from them, 1e-5 in
    networks that were trained from ImageNet weights. A file does not say.
    """
    trunk = {
        name.removeprefix("backbone.body."): value
        for name, value in state.items()
        if name.startswith("backbone.body.")
    }
    return {
        **placed(with_eps(trunk, norm_eps), pyramid=True),
        **renamed(state, TORCHVISION, (".weight", ".bias")),
    }


def from_detectron(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A Detectron detector, with a pyramid or C4, in our names; with ``bbox_pred_std`` it is one of
    the KL Loss authors, whose edges come into our order."""
    short = {
        re.sub(r"^fpn_(inner_)?res(\d)_\d+_sum(_lateral)?_", r"fpn_\1res\2_", name): value
        for name, value in state.items()
    }
    pyramid = any(name.startswith("fpn_inner_") for name in state)
    ours = {
        **placed(detectron_resnet(state), pyramid=pyramid),
        **renamed(short, DETECTRON, ("_w", "_b")),
    }
    if "roi.head.predictor.log_variance.weight" in ours:
        for layer in (
            "roi.head.predictor.offsets",
            "roi.head.predictor.log_variance",
            "rpn.head.offsets",
        ):
            for name in (f"{layer}.weight", f"{layer}.bias"):
                if name in ours:
                    ours[name] = edges_in_order(ours[name])
    return ours


def from_detectron2(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A Detectron2 detector, with a pyramid or C4, in our names, with background first among the
    classes."""
    pyramid = any(name.startswith("backbone.bottom_up.") for name in state)
    trunk = {
        re.sub(r"^(backbone\.bottom_up|backbone|roi_heads)\.", "", name): value
        for name, value in state.items()
        if name.startswith(("backbone.", "roi_heads.res5."))
    }
    ours = {
        **placed(detectron2_resnet(trunk), pyramid=pyramid),
        **renamed(state, DETECTRON2, (".weight", ".bias")),
    }
    for part in ("weight", "bias"):
        for layer, change in (
            ("roi.head.predictor.class_logits", background_first),
            ("rpn.head.objectness", by_ratio),
            ("rpn.head.offsets", offsets_by_ratio),
        ):
            if f"{layer}.{part}" in ours:
                ours[f"{layer}.{part}"] = change(ours[f"{layer}.{part}"])
        classes = len(ours.get(f"roi.head.predictor.class_logits.{part}", ())) - 1
        for layer, rows in (("roi.head.predictor.offsets", 4), ("mask.head.logits", 1)):
            value = ours.get(f"{layer}.{part}")
            if value is not None and len(value) == rows * classes:  # not if one serves all classes
                ours[f"{layer}.{part}"] = torch.cat(
                    [value.new_zeros((rows, *value.shape[1:])), value]
                )
    return ours


def placed(trunk: Mapping[str, Tensor], *, pyramid: bool) -> dict[str, Tensor]:
    """A ResNet in torchvision's names, at its place in a detector of ours."""
    pairs = [
        (old, new) for old, new in prefixes("resnet50", pyramid=pyramid) if new != "roi.head.body."
    ]
    return {
        new + name.removeprefix(old): value
        for name, value in trunk.items()
        for old, new in pairs
        if name.startswith(old) and not name.endswith("num_batches_tracked")
    }


def renamed(
    state: Mapping[str, Tensor], layers: Mapping[str, tuple[str, ...]], ends: tuple[str, str]
) -> dict[str, Tensor]:
    """The weights and biases that a file has, in our names.

    Args:
        state: the file's tensors.
        layers: the file's names of each layer of ours, newer ones first.
        ends: what the file's names end in for a weight and a bias.
    """
    return {
        f"{ours}.{part}": state[theirs + end]
        for ours, names in layers.items()
        for theirs in reversed(names)
        for part, end in zip(("weight", "bias"), ends, strict=True)
        if theirs + end in state
    }


def edges_in_order(rows: Tensor) -> Tensor:
    """Rows (4 n, ...) that stand for (x1, x2, y1, y2) of n boxes, as (x1, y1, x2, y2); its own
    inverse."""
    return rows.unflatten(0, (-1, 4))[:, [0, 2, 1, 3]].flatten(0, 1)


def background_first(rows: Tensor) -> Tensor:
    """Rows (K + 1, ...) with the last one first."""
    return torch.cat([rows[-1:], rows[:-1]])


def by_ratio(rows: Tensor) -> Tensor:
    """Rows (A, ...) in the order size, ratio, as ratio, size (models/anchors.py)."""
    return (
        rows.unflatten(0, (-1, RATIOS)).transpose(0, 1).flatten(0, 1)
        if len(rows) % RATIOS == 0
        else rows
    )


def offsets_by_ratio(rows: Tensor) -> Tensor:
    """``by_ratio`` of rows (4 A, ...), four for each anchor."""
    return by_ratio(rows.unflatten(0, (-1, 4))).flatten(0, 1)
