"""The ResNets of Detectron and Detectron2 in torchvision's names: one list of names for all three.

Detectron: conv1_w, res_conv1_bn_s, res2_0_branch1_w, res2_0_branch2a_w, res2_0_branch2a_bn_s, ...
Detectron2: stem.conv1.weight, stem.conv1.norm.weight, res2.0.shortcut.weight, ...
torchvision: conv1.weight, bn1.weight, layer1.0.downsample.0.weight, layer1.0.bn1.weight, ...
The norms of all three are a frozen affine map; Detectron's has only a scale s and a shift b. The
values stay what they are: in which convolution of a block the stride is, a file does not say
(models/backbones/resnet.py).
"""

import re
from collections import defaultdict
from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor

EPS = 1e-5  # of models.backbones.resnet.Norm and of Detectron2's frozen norms
DETECTRON_BRANCHES = {
    "1": ("downsample.0", "downsample.1"),
    "2a": ("conv1", "bn1"),
    "2b": ("conv2", "bn2"),
    "2c": ("conv3", "bn3"),
}
DETECTRON2_LAYERS = {
    "shortcut": ("downsample.0", "downsample.1"),
    "conv1": ("conv1", "bn1"),
    "conv2": ("conv2", "bn2"),
    "conv3": ("conv3", "bn3"),
}
# Caffe2's names
NORM_PARTS = {
    "s": "weight",
    "b": "bias",
    "rm": "running_mean",
    "riv": "running_var",
}
STATISTICS = ("weight", "bias", "running_mean", "running_var")


def is_detectron_resnet(state: Mapping[str, Tensor]) -> bool:
    return "res2_0_branch2a_w" in state


def is_detectron2_resnet(state: Mapping[str, Tensor]) -> bool:
    return "res2.0.conv1.weight" in state


def detectron_resnet(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The ResNet of a Detectron or Caffe2 file in torchvision's names; everything else in ``state``
    is left out.

    The bias that conv1 has in files from Caffe becomes a part of its norm's mean.
    """
    renamed: dict[str, Tensor] = {}
    biases: dict[str, Tensor] = {}  # of convolutions, by the name of the norm that follows
    norms: dict[str, dict[str, Tensor]] = defaultdict(dict)
    for name, value in state.items():
        layer = detectron_layer(name)
        if layer is None:
            continue
        if layer.of_norm and layer.part in NORM_PARTS:
            norms[layer.norm][NORM_PARTS[layer.part]] = value
        elif layer.part == "w":
            renamed[f"{layer.conv}.weight"] = value
        elif layer.part == "b":
            biases[layer.norm] = value
    for norm, given in norms.items():
        complete = complete_norm(given, biases.get(norm))
        renamed |= {f"{norm}.{part}": value for part, value in complete.items()}
    return renamed


class DetectronLayer(NamedTuple):
    """A tensor of a Detectron ResNet: torchvision's names of the convolution and of its norm, which
    of the two the tensor belongs to, and Caffe2's name of the part."""

    conv: str
    norm: str
    of_norm: bool
    part: str


def detectron_layer(name: str) -> DetectronLayer | None:
    """What the tensor ``name`` is, None if it is none of a ResNet."""
    stem = re.fullmatch(r"(?:res_)?conv1(_bn)?_(\w+)", name)
    if stem:
        return DetectronLayer("conv1", "bn1", bool(stem[1]), stem[2])
    block = re.fullmatch(r"res([2-5])_(\d+)_branch(1|2[abc])(_bn)?_(\w+)", name)
    if not block:
        return None
    conv, norm = DETECTRON_BRANCHES[block[3]]
    where = f"layer{int(block[1]) - 1}.{block[2]}."
    return DetectronLayer(where + conv, where + norm, bool(block[4]), block[5])


def detectron2_resnet(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The ResNet of Detectron2 (names without what stands before "stem." and "res2.") in
    torchvision's names; everything else in ``state`` is left out."""
    renamed: dict[str, Tensor] = {}
    norms: dict[str, dict[str, Tensor]] = defaultdict(dict)
    for name, value in state.items():
        parts = re.fullmatch(
            r"(?:stem|res([2-5])\.(\d+))\.(conv[123]|shortcut)\.(norm\.)?(\w+)", name
        )
        if not parts:
            continue
        stage, block, layer, of_norm, part = parts.groups()
        where = f"layer{int(stage) - 1}.{block}." if stage else ""
        conv, norm = (where + ours for ours in DETECTRON2_LAYERS[layer])
        if not of_norm:
            renamed[f"{conv}.{part}"] = value
        elif part in STATISTICS:
            norms[norm][part] = value
    for norm, given in norms.items():
        renamed |= {f"{norm}.{part}": value for part, value in complete_norm(given).items()}
    return renamed


def complete_norm(given: dict[str, Tensor], conv_bias: Tensor | None = None) -> dict[str, Tensor]:
    """The four tensors of a frozen norm from its scale and shift: with mean 0 and variance 1 - EPS
    it is exactly weight * x + bias. ``conv_bias`` of the convolution before it moves the mean."""
    if not {"weight", "bias"} <= given.keys():
        return given
    norm = {
        "running_mean": torch.zeros_like(given["bias"]),
        "running_var": torch.full_like(given["bias"], 1 - EPS),
        **given,
    }
    if conv_bias is not None:
        norm["running_mean"] = norm["running_mean"] - conv_bias
    return norm


def with_eps(state: Mapping[str, Tensor], eps: float) -> dict[str, Tensor]:
    """A ResNet in torchvision's names whose norms computed with ``eps``, for norms that compute
    with EPS.

    torchvision's detectors of 2020 were trained with eps = 0 and some of their variances are far
    below EPS, so the difference moves into the weights: weight / sqrt(variance + eps) stays the
    same.
    """
    changed = dict(state)
    for name, variance in state.items():
        weight = name.removesuffix("running_var") + "weight"
        if name.endswith(".running_var") and weight in state:
            double = variance.double()
            ratio = (double + EPS) / (double + eps).clamp(min=torch.finfo(torch.float64).tiny)
            changed[weight] = (state[weight].double() * ratio.sqrt()).to(variance.dtype)
    return changed
