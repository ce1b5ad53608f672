"""The two parts of a detector that are exported: tensors in, tensors out, nothing that depends on
the data.

What lies between and after them (anchors, proposals, pooling, decoding, suppression, voting) is
scripts/engine/export/runner/. Letters: A anchors, K classes, R RoIs, L levels, B x B bins.
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.detector import Detector
from models.heads import RoIHead
from models.rfcn import RFCNHead
from models.rpn_head import join_levels

PARTS = ("dense", "head")


class Sample(NamedTuple):
    """An input that a part is traced with, the name of the input, and which of its dimensions may
    be of any size."""

    name: str
    values: Tensor
    dynamic: tuple[int, ...]


class DensePart(nn.Module):
    """Images (1, 3, H, W) -> what is computed at every place of the image.

    objectness (1, A), offsets (1, A, 4), and of KL-RPN rpn_log_variance (1, A, 4), the anchors
    level after level; features_0, features_1, ... (1, C, H_l, W_l), fine to coarse. R-FCN has
    instead of features maps_class_logits, maps_offsets and, with KL Loss, maps_log_variance.
    """

    def __init__(self, detector: Detector) -> None:
        super().__init__()
        assert detector.rpn is not None
        assert detector.roi is not None
        self.backbone, self.rpn_head = detector.backbone, detector.rpn.head
        self.rfcn = detector.roi.head if isinstance(detector.roi.head, RFCNHead) else None

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        features = self.backbone(images.contiguous(memory_format=torch.channels_last))
        anchors = join_levels([self.rpn_head(level) for level in features])
        outputs = {"objectness": anchors.objectness, "offsets": anchors.offsets}
        if anchors.log_variance is not None:
            outputs["rpn_log_variance"] = anchors.log_variance
        if self.rfcn is None:
            return outputs | {f"features_{i}": level for i, level in enumerate(features)}
        reduced = F.relu(self.rfcn.reduction(self.rfcn.body(features[0])))
        outputs["maps_class_logits"] = self.rfcn.class_maps(reduced)
        outputs["maps_offsets"] = self.rfcn.offset_maps(reduced)
        if self.rfcn.log_variance_maps is not None:
            outputs["maps_log_variance"] = self.rfcn.log_variance_maps(reduced)
        return outputs


class HeadPart(nn.Module):
    """Pooled RoIs (R, C, B, B) -> class_logits (R, K + 1), offsets (R, K + 1, 4) and, with KL Loss,
    log_variance (R, K + 1, 4)."""

    def __init__(self, detector: Detector) -> None:
        super().__init__()
        assert detector.roi is not None
        assert isinstance(detector.roi.head, RoIHead)
        self.box_head, self.predictor = detector.roi.head.box_head, detector.roi.head.predictor

    def forward(self, pooled: Tensor) -> dict[str, Tensor]:
        class_logits, offsets, log_variance = self.predictor(self.box_head(pooled))
        outputs = {"class_logits": class_logits, "offsets": offsets}
        if log_variance is not None:
            outputs["log_variance"] = log_variance
        return outputs
