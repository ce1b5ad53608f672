"""torchvision's detectors and ResNets written as Detectron and Detectron2 would write them, for the
tests of what reads them. The rules are text replacements in torchvision's names, the other way
round than in models/weights/detectors.py."""

import re

import torch
from torch import nn
from torchvision.models import detection, resnet
from torchvision.models.detection.backbone_utils import BackboneWithFPN
from torchvision.models.detection.faster_rcnn import FastRCNNPredictor, TwoMLPHead
from torchvision.models.detection.mask_rcnn import MaskRCNNHeads, MaskRCNNPredictor

EPS = 1e-5
C2 = {
    ".downsample.0": "_branch1",
    ".downsample.1": "_branch1_bn",
    ".conv1": "_branch2a",
    ".bn1": "_branch2a_bn",
    ".conv2": "_branch2b",
    ".bn2": "_branch2b_bn",
    ".conv3": "_branch2c",
    ".bn3": "_branch2c_bn",
}
LAST_BLOCK = (2, 3, 5, 2)  # of res2 .. res5 in a ResNet-50


def affine(state):
    """A ResNet's norms as scale and shift alone: mean 0, variance 1 - EPS."""
    plain = dict(state)
    for name, variance in state.items():
        if name.endswith(".running_var"):
            norm = name.removesuffix(".running_var")
            plain[f"{norm}.weight"] = scale = state[f"{norm}.weight"] / (variance + EPS).sqrt()
            plain[f"{norm}.bias"] = state[f"{norm}.bias"] - state[f"{norm}.running_mean"] * scale
            plain[f"{norm}.running_mean"], plain[name] = (
                torch.zeros_like(variance),
                torch.full_like(variance, 1 - EPS),
            )
    return plain


def to_detectron(state):
    """A ResNet in torchvision's names as Detectron has it, for example layer1.0.bn2.bias as
    res2_0_branch2b_bn_b."""
    found = {}
    for name, value in affine(state).items():
        if name.endswith(("running_mean", "running_var", "num_batches_tracked")):
            continue
        name = re.sub(r"^bn1", "res_conv1_bn", name)
        name = re.sub(r"^layer(\d)\.(\d+)", lambda m: f"res{int(m[1]) + 1}_{m[2]}", name)
        for layer, c2 in C2.items():
            name = name.replace(f"{layer}.", f"{c2}.")
        norm = "_bn." in name
        found[name.replace(".weight", "_s" if norm else "_w").replace(".bias", "_b")] = value
    return found


def to_detectron2(state):
    """A ResNet in torchvision's names as Detectron2 has it, for example layer1.0.bn2.bias as
    res2.0.conv2.norm.bias."""
    found = {}
    for name, value in state.items():
        if name.endswith("num_batches_tracked"):
            continue
        name = re.sub(r"^layer(\d)", lambda m: f"res{int(m[1]) + 1}", name)
        name = name.replace("downsample.0", "shortcut").replace("downsample.1", "shortcut.norm")
        name = re.sub(r"bn(\d)", r"conv\1.norm", name)
        found[f"stem.{name}" if name.startswith("conv1") else name] = value
    return found


def torchvision_detector(*, mask=False, classes=91, device="meta"):
    """torchvision's Faster or Mask R-CNN with a ResNet-50 pyramid; by default only names and
    shapes."""
    build = detection.maskrcnn_resnet50_fpn if mask else detection.fasterrcnn_resnet50_fpn
    with torch.device(device):
        return build(weights=None, weights_backbone=None, num_classes=classes)


def small_detector(*, classes, mask=True, dim=16):
    """torchvision's Mask R-CNN with one block a stage and ``dim`` channels elsewhere, with numbers
    as after training."""
    torch.manual_seed(0)
    widths = {f"layer{k}": 128 * 2**k for k in (1, 2, 3, 4)}
    backbone = BackboneWithFPN(
        resnet.ResNet(resnet.Bottleneck, [1, 1, 1, 1]),
        {name: str(k) for k, name in enumerate(widths)},
        list(widths.values()),
        dim,
    )
    parts = {
        "box_head": TwoMLPHead(dim * 49, 2 * dim),
        "box_predictor": FastRCNNPredictor(2 * dim, classes),
    }
    if mask:
        parts |= {
            "mask_head": MaskRCNNHeads(dim, (dim,) * 4, 1),
            "mask_predictor": MaskRCNNPredictor(dim, dim, classes),
        }
    network = (detection.MaskRCNN if mask else detection.FasterRCNN)(
        backbone, None, box_score_thresh=0.0, box_detections_per_img=30, **parts
    ).eval()
    for layer in network.modules():
        if isinstance(layer, nn.BatchNorm2d):
            nn.init.normal_(layer.running_mean, std=0.1)
            nn.init.uniform_(layer.running_var, 0.5, 2.0)
    for layer, std in (
        (network.rpn.head.cls_logits, 0.2),
        (network.rpn.head.bbox_pred, 0.05),
        (network.roi_heads.box_predictor.cls_score, 0.2),
    ):
        nn.init.normal_(layer.weight, std=std)
    return network


def split(state):
    """A torchvision detector's ResNet, and the rest by module: "rpn.head.conv.0.0": {"weight": ...,
    "bias": ...}."""
    trunk = {
        name.removeprefix("backbone.body."): value
        for name, value in state.items()
        if "backbone.body." in name
    }
    rest = {}
    for name, value in state.items():
        if "backbone.body." not in name:
            module, part = name.rsplit(".", 1)
            rest.setdefault(module, {})[part] = value
    return trunk, rest


def detectron_detector(state, *, kl=False):
    """A torchvision detector as Detectron has it. kl: with the layer of the KL Loss authors, edges
    in their order."""
    trunk, rest = split(state)
    found = to_detectron(trunk)
    names = {
        "rpn.head.conv.0.0": "conv_rpn_fpn2",
        "rpn.head.cls_logits": "rpn_cls_logits_fpn2",
        "rpn.head.bbox_pred": "rpn_bbox_pred_fpn2",
        "roi_heads.mask_predictor.conv5_mask": "conv5_mask",
        "roi_heads.mask_predictor.mask_fcn_logits": "mask_fcn_logits",
    }
    for module, parts in rest.items():
        if pyramid := re.fullmatch(r"backbone\.fpn\.(inner|layer)_blocks\.(\d)\.0", module):
            level = int(pyramid[2])
            block = f"res{level + 2}_{LAST_BLOCK[level]}_sum"
            name = (
                f"fpn_{block}"
                if pyramid[1] == "layer"
                else f"fpn_inner_{block}" + ("" if level == 3 else "_lateral")
            )
        elif mask := re.fullmatch(r"roi_heads\.mask_head\.(\d)\.0", module):
            name = f"_[mask]_fcn{int(mask[1]) + 1}"
        else:
            name = names.get(module, module.rsplit(".", 1)[1])  # fc6, fc7, cls_score, bbox_pred
        for part, value in parts.items():
            if kl and "bbox_pred" in name:
                value = theirs(value)
            found[f"{name}_{part[0]}"] = value
            if kl and name == "bbox_pred":
                found[f"bbox_pred_std_{part[0]}"] = value + 1
    return found


def theirs(rows):
    """Rows of (x1, y1, x2, y2) one by one as (x1, x2, y1, y2)."""
    order = [4 * box + k for box in range(len(rows) // 4) for k in (0, 2, 1, 3)]
    return rows[order]


def detectron2_detector(state):
    """A torchvision detector as Detectron2 has it: background last, and neither a box nor a mask of
    it."""
    trunk, rest = split(state)
    found = {f"backbone.bottom_up.{name}": value for name, value in to_detectron2(trunk).items()}
    names = {
        "rpn.head.conv.0.0": "proposal_generator.rpn_head.conv",
        "rpn.head.cls_logits": "proposal_generator.rpn_head.objectness_logits",
        "rpn.head.bbox_pred": "proposal_generator.rpn_head.anchor_deltas",
        "roi_heads.box_head.fc6": "roi_heads.box_head.fc1",
        "roi_heads.box_head.fc7": "roi_heads.box_head.fc2",
        "roi_heads.mask_predictor.conv5_mask": "roi_heads.mask_head.deconv",
        "roi_heads.mask_predictor.mask_fcn_logits": "roi_heads.mask_head.predictor",
    }
    for module, parts in rest.items():
        name = names.get(module, module)
        name = re.sub(
            r"backbone\.fpn\.inner_blocks\.(\d)\.0",
            lambda m: f"backbone.fpn_lateral{int(m[1]) + 2}",
            name,
        )
        name = re.sub(
            r"backbone\.fpn\.layer_blocks\.(\d)\.0",
            lambda m: f"backbone.fpn_output{int(m[1]) + 2}",
            name,
        )
        name = re.sub(r"mask_head\.(\d)\.0", lambda m: f"mask_head.mask_fcn{int(m[1]) + 1}", name)
        for part, value in parts.items():
            if name.endswith("cls_score"):
                value = torch.cat([value[1:], value[:1]])
            if name.endswith("box_predictor.bbox_pred"):
                value = value[4:]
            if name.endswith("predictor") and "mask" in name:
                value = value[1:]
            found[f"{name}.{part}"] = value
    return found


def detectron_c4(state):
    """The C4 detector with the same ResNet: no pyramid, its names without a level, conv5 in the
    head, no fc6 and fc7."""
    return {
        name.replace("_fpn2", ""): value
        for name, value in state.items()
        if not name.startswith(("fpn_", "fc6", "fc7", "_[mask]", "conv5_mask", "mask_fcn"))
    }


def detectron2_c4(state):
    """The same for Detectron2."""
    kept = {
        name: value
        for name, value in state.items()
        if not re.search(r"fpn_|box_head|mask_head", name)
    }
    return {
        re.sub(r"^backbone\.bottom_up\.res5", "roi_heads.res5", name).replace(
            "backbone.bottom_up.", "backbone."
        ): value
        for name, value in kept.items()
    }
