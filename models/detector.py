"""The two-stage detector: anchors -> proposals -> rois -> candidates.

Letters: N images, A anchors, P RoIs of one image, R = N * P, K foreground classes, M candidates.
The first stage is an RPN or a KL-RPN, the second that of Faster R-CNN (models/heads.py) or R-FCN (models/rfcn.py).
``losses`` trains, ``candidates`` detects; suppression and voting are pure functions in postprocess/.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from data.boxes import BoxCoder, EdgeCoder, clip, sort_corners
from data.records import Batch, Candidates, ImageId, Proposals
from models.anchors import AnchorGenerator
from models.proposals import propose
from models.resnet import freeze_norms
from models.roi import RoITargets, roi_losses, sample_rois
from models.rpn import RPNOutput, anchor_targets
from models.vgg import Backbone

# (output, positive, negative, target offsets) -> (losses, statistics)
RPNLosses = Callable[[RPNOutput, Tensor, Tensor, Tensor], tuple[dict[str, Tensor], dict[str, Tensor]]]
LOG_VARIANCE_RANGE = 60.0  # at test time only: exp() of it, times a squared side in px, is still finite in float32


class Detector(nn.Module):
    """Faster R-CNN or R-FCN, with or without a log variance for each box side. Built by models.build.build_detector.

    rpn_head: features -> RPNOutput; rpn_losses: what it learns from.
    roi_head: (features, boxes (N, P, 4)) -> class logits, offsets and log variances of the N * P RoIs.
    """

    def __init__(self, *, backbone: Backbone, anchors: AnchorGenerator, rpn_head: nn.Module, rpn_losses: RPNLosses,
                 roi_head: nn.Module, rpn_coder: BoxCoder, box_coder: BoxCoder, rpn_batch: int,
                 rpn_positive_share: float, rpn_positive_iou: float, rpn_negative_iou: float, pre_nms_train: int,
                 post_nms_train: int, pre_nms_test: int, post_nms_test: int, rpn_nms_iou: float, min_size: float,
                 rois_per_image: int, roi_positive_share: float, roi_positive_iou: float, hardest_rois: int | None,
                 log_variance_limit: float | None) -> None:
        super().__init__()
        self.backbone, self.anchors, self.rpn_head, self.roi_head = backbone, anchors, rpn_head, roi_head
        self.rpn_losses = rpn_losses
        self.rpn_coder, self.box_coder = rpn_coder, box_coder
        self.min_size = min_size
        self.hardest_rois = hardest_rois
        self.log_variance_limit = log_variance_limit
        self.rpn_nms_iou = rpn_nms_iou
        self.train_counts, self.test_counts = (pre_nms_train, post_nms_train), (pre_nms_test, post_nms_test)
        self.anchor_rule: dict[str, Any] = {
            "positive_iou": rpn_positive_iou, "negative_iou": rpn_negative_iou, "batch_per_image": rpn_batch,
            "positive_share": rpn_positive_share}
        self.roi_rule: dict[str, Any] = {
            "rois_per_image": rois_per_image, "positive_share": roi_positive_share, "positive_iou": roi_positive_iou}

    def forward(self, batch: Batch) -> dict[str, Tensor] | list[Candidates]:
        return self.candidates(batch) if batch.targets is None else self.losses(batch)

    def freeze(self, stages: int) -> None:
        """Stops training of the backbone's first ``stages`` stages and of every batch norm: for pretrained weights."""
        self.backbone.freeze(stages)
        freeze_norms(self)

    def losses(self, batch: Batch, generator: torch.Generator | None = None,
               statistics: dict[str, Tensor] | None = None) -> dict[str, Tensor]:
        """The loss terms of a batch with targets, scalars: rpn_objectness, rpn_box (or rpn_kl), roi_class, roi_box.

        Args:
            batch: with targets in network px.
            generator: draws the sampled anchors and RoIs; on the batch's device.
            statistics: if given, receives detached scalars to watch (foreground share, log variance percentiles).
        """
        if batch.targets is None:
            raise ValueError("Detector.losses needs a batch with targets; this one has none (a test batch?).")
        features, anchors, output = self.first_stage(batch)
        learned = [anchor_targets(anchors, target, size, self.rpn_coder, generator=generator, **self.anchor_rule)
                   for target, size in zip(batch.targets, batch.image_sizes, strict=True)]
        positive, negative, target_offsets = (torch.stack(parts) for parts in zip(*learned, strict=True))
        rpn_terms, rpn_seen = self.rpn_losses(output, positive, negative, target_offsets)

        proposals = self._proposals(anchors, output, batch, self.train_counts)
        rois = [sample_rois(boxes, target, self.box_coder, generator=generator, **self.roi_rule)
                for (boxes, _), target in zip(proposals, batch.targets, strict=True)]
        boxes, labels, wanted = (torch.stack(parts) for parts in zip(*rois, strict=True))
        outputs = self._box_outputs(features, boxes)
        roi_terms, seen = roi_losses(*outputs, RoITargets(boxes=boxes, labels=labels, target_offsets=wanted),
                                     hardest=self.hardest_rois)
        if statistics is not None:
            statistics |= {**rpn_seen, **seen}
        return {**rpn_terms, **roi_terms}

    @torch.no_grad()
    def candidates(self, batch: Batch, score_threshold: float = 0.05) -> list[Candidates]:
        """Decoded, clipped, scored boxes of each image in original px, those with class score > score_threshold.

        Raises: ValueError if the network's outputs are not finite, naming the image.
        """
        features, anchors, output = self.first_stage(batch)
        check_finite_output(batch, output)
        proposals = [boxes for boxes, _ in self._proposals(anchors, output, batch, self.test_counts)]
        counts = [len(boxes) for boxes in proposals]
        padded = nn.utils.rnn.pad_sequence(proposals, batch_first=True)
        logits, offsets, log_variance = (
            None if output is None else output.float().unflatten(0, padded.shape[:2])
            for output in self._box_outputs(features, padded))
        found = []
        for i, count in enumerate(counts):
            found.append(self._decode(
                to_original(proposals[i], batch, i), logits[i, :count], offsets[i, :count],  # type: ignore[index]
                None if log_variance is None else log_variance[i, :count], batch.original_sizes[i], score_threshold,
                batch.image_ids[i]))
        return found

    @torch.no_grad()
    def proposals(self, batch: Batch, count: int) -> list[Proposals]:
        """The first stage alone: the best ``count`` boxes of each image after suppression, in original px.

        Raises: ValueError if the network's outputs are not finite, naming the image.
        """
        _, anchors, output = self.first_stage(batch)
        check_finite_output(batch, output)
        kept = self._proposals(anchors, output, batch, (self.test_counts[0], count))
        return [Proposals(boxes=to_original(boxes, batch, i), objectness=objectness)
                for i, (boxes, objectness) in enumerate(kept)]

    def first_stage(self, batch: Batch) -> tuple[Tensor, Tensor, RPNOutput]:
        """Features (N, C, H, W), anchors (A, 4) and what the RPN says of them."""
        features = self.backbone(batch.images.contiguous(memory_format=torch.channels_last))
        return features, self.anchors(features), self.rpn_head(features)

    def _proposals(self, anchors: Tensor, output: RPNOutput, batch: Batch,
                   counts: tuple[int, int]) -> list[tuple[Tensor, Tensor]]:
        """Proposals (P, 4) of each image and their objectness (P,); the least size is meant in original px."""
        return [propose(anchors, output.objectness[i], output.offsets[i], network, self.rpn_coder, pre_nms=counts[0],
                        post_nms=counts[1], nms_iou=self.rpn_nms_iou, min_size=self.min_size * network[0] / original[0])
                for i, (network, original) in enumerate(zip(batch.image_sizes, batch.original_sizes, strict=True))]

    def _box_outputs(self, features: Tensor, boxes: Tensor) -> tuple[Tensor, Tensor, Tensor | None]:
        """Class logits, offsets and log variances of boxes (N, P, 4), rows in the order of ``boxes``."""
        logits, offsets, log_variance = self.roi_head(features, boxes)
        if log_variance is not None and self.log_variance_limit is not None:
            log_variance = log_variance.clamp(-self.log_variance_limit, self.log_variance_limit)
        return logits, offsets, log_variance

    def _decode(self, rois: Tensor, class_logits: Tensor, offsets: Tensor, log_variance: Tensor | None,
                image_size: tuple[int, int], score_threshold: float, image_id: ImageId) -> Candidates:
        """Candidates of one image from its rois (P, 4) in original px and the head's outputs (P, K + 1, ...)."""
        scores = class_logits.softmax(-1)[:, 1:]
        row, column = (scores > score_threshold).nonzero(as_tuple=True)
        references = rois[row]
        boxes = clip(sort_corners(self.box_coder.decode(offsets[row, column + 1], references)), image_size)
        variances = pixel_variances = None
        if log_variance is not None:
            limited = log_variance[row, column + 1].clamp(-LOG_VARIANCE_RANGE, LOG_VARIANCE_RANGE)
            variances = limited.exp()
            if isinstance(self.box_coder, EdgeCoder):
                pixel_variances = self.box_coder.pixel_variances(variances, references)
        check_finite(image_id, scores=scores, boxes=boxes, variances=variances)
        return Candidates(boxes=boxes, scores=scores[row, column], labels=column + 1, variances=variances,
                          pixel_variances=pixel_variances)


def to_original(boxes: Tensor, batch: Batch, index: int) -> Tensor:
    """Boxes (P, 4) of image ``index`` from network px to original px."""
    network, original = batch.image_sizes[index], batch.original_sizes[index]
    return boxes * boxes.new_tensor([original[1] / network[1], original[0] / network[0]] * 2)


def check_finite_output(batch: Batch, output: RPNOutput) -> None:
    """Raises ValueError naming the image whose RPN outputs are not finite."""
    for i, image_id in enumerate(batch.image_ids):
        check_finite(image_id, objectness=output.objectness[i], proposal_offsets=output.offsets[i])


def check_finite(image_id: ImageId, **outputs: Tensor | None) -> None:
    """Raises ValueError naming the image and the output that is not finite: it would otherwise be dropped unseen."""
    for name, values in outputs.items():
        if values is not None and not bool(torch.isfinite(values).all()):
            raise ValueError(f"The {name.replace('_', ' ')} of image {image_id} are not finite: a weight is NaN or the "
                             "network has diverged; evaluate an earlier checkpoint.")
