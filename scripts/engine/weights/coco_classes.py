"""The 80 classes of COCO and its 90 category ids, ten of which have no class."""

from collections.abc import Mapping

import torch
from torch import Tensor
from torchvision.models.detection import FasterRCNN_ResNet50_FPN_Weights

# by category id; 0 is background
COCO_IDS = tuple(FasterRCNN_ResNet50_FPN_Weights.COCO_V1.meta["categories"])
UNUSED = "N/A"  # the ten category ids of COCO without a class
COCO = tuple(name for name in COCO_IDS[1:] if name != UNUSED)


def class_names(count: int) -> list[str]:
    """COCO's 80 classes, its 90 category ids, or numbers."""
    known = {len(COCO): COCO, len(COCO_IDS) - 1: COCO_IDS[1:]}
    return list(known.get(count, [f"class {k}" for k in range(1, count + 1)]))


def used_classes(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors of a network with COCO's 90 category ids, for the 80 that have a class."""
    kept = torch.tensor([k for k, name in enumerate(COCO_IDS) if name != UNUSED])
    changed = dict(state)
    layers = {
        "roi.head.predictor.class_logits": 1,
        "roi.head.predictor.offsets": 4,
        "mask.head.logits": 1,
    }
    for layer, rows in layers.items():
        for name in (f"{layer}.weight", f"{layer}.bias"):
            if name in state and len(state[name]) == rows * len(COCO_IDS):
                by_class = state[name].unflatten(0, (-1, rows))
                changed[name] = by_class[kept].flatten(0, 1)
    return changed
