"""The two-stage detector: anchors -> proposals -> rois -> candidates.

Letters: N images, P RoIs of one image, R = N * P, K foreground classes, M candidates.
``losses`` trains, ``candidates`` detects; suppression and voting are pure functions in postprocess/.
"""

from typing import Any

import torch
from torch import Tensor, nn

from data.boxes import BoxCoder, EdgeCoder, clip, sort_corners
from data.records import Batch, Candidates, ImageId
from models.anchors import AnchorGenerator
from models.heads import TwoMLPHead
from models.predictor import BoxPredictor
from models.proposals import propose
from models.roi import RoITargets, roi_losses, sample_rois
from models.roi_align import roi_align_batched, roi_max_pool
from models.rpn import RPNHead, anchor_targets, rpn_losses
from models.vgg import Backbone

LOG_VARIANCE_RANGE = 60.0  # at test time only: exp() of it, times a squared side in px, is still finite in float32


class Detector(nn.Module):
    """Faster R-CNN, with or without a log variance for each box side. Built by models.build.build_detector."""

    def __init__(self, *, backbone: Backbone, anchors: AnchorGenerator, rpn_head: RPNHead, box_head: TwoMLPHead,
                 predictor: BoxPredictor, rpn_coder: BoxCoder, box_coder: BoxCoder, pooling: str, pool_size: int,
                 sampling_ratio: int, rpn_batch: int, rpn_positive_share: float, rpn_positive_iou: float,
                 rpn_negative_iou: float, pre_nms_train: int, post_nms_train: int, pre_nms_test: int,
                 post_nms_test: int, rpn_nms_iou: float, min_size: float, rois_per_image: int,
                 roi_positive_share: float, roi_positive_iou: float, log_variance_limit: float | None) -> None:
        super().__init__()
        self.backbone, self.anchors, self.rpn_head = backbone, anchors, rpn_head
        self.box_head, self.predictor = box_head, predictor
        self.rpn_coder, self.box_coder = rpn_coder, box_coder
        self.pooling, self.pool_size, self.sampling_ratio = pooling, pool_size, sampling_ratio
        self.min_size = min_size
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

    def losses(self, batch: Batch, generator: torch.Generator | None = None,
               statistics: dict[str, Tensor] | None = None) -> dict[str, Tensor]:
        """The loss terms of a batch with targets, scalars: rpn_objectness, rpn_box, roi_class, roi_box.

        Args:
            batch: with targets in network px.
            generator: draws the sampled anchors and RoIs; on the batch's device.
            statistics: if given, receives detached scalars to watch (foreground share, log variance percentiles).
        """
        if batch.targets is None:
            raise ValueError("Detector.losses needs a batch with targets; this one has none (a test batch?).")
        features = self.backbone(batch.images.contiguous(memory_format=torch.channels_last))
        anchors = self.anchors(features)
        objectness, offsets = self.rpn_head(features)
        learned = [anchor_targets(anchors, target, size, self.rpn_coder, generator=generator, **self.anchor_rule)
                   for target, size in zip(batch.targets, batch.image_sizes, strict=True)]
        positive, negative, target_offsets = (torch.stack(parts) for parts in zip(*learned, strict=True))
        rpn_class, rpn_box = rpn_losses(objectness, offsets, positive, negative, target_offsets)

        proposals = self._proposals(anchors, objectness, offsets, batch, self.train_counts)
        rois = [sample_rois(boxes, target, self.box_coder, generator=generator, **self.roi_rule)
                for boxes, target in zip(proposals, batch.targets, strict=True)]
        boxes, labels, wanted = (torch.stack(parts) for parts in zip(*rois, strict=True))
        outputs = self._box_outputs(features, boxes)
        roi_terms, seen = roi_losses(*outputs, RoITargets(boxes=boxes, labels=labels, target_offsets=wanted))
        if statistics is not None:
            statistics |= seen
        return {"rpn_objectness": rpn_class, "rpn_box": rpn_box, **roi_terms}

    @torch.no_grad()
    def candidates(self, batch: Batch, score_threshold: float = 0.05) -> list[Candidates]:
        """Decoded, clipped, scored boxes of each image in original px, those with class score > score_threshold.

        Raises: ValueError if the network's outputs are not finite, naming the image.
        """
        features = self.backbone(batch.images.contiguous(memory_format=torch.channels_last))
        anchors = self.anchors(features)
        objectness, offsets = self.rpn_head(features)
        for i, image_id in enumerate(batch.image_ids):
            check_finite(image_id, objectness=objectness[i], proposal_offsets=offsets[i])
        proposals = self._proposals(anchors, objectness, offsets, batch, self.test_counts)
        counts = [len(boxes) for boxes in proposals]
        padded = nn.utils.rnn.pad_sequence(proposals, batch_first=True)
        logits, offsets, log_variance = (
            None if output is None else output.float().unflatten(0, padded.shape[:2])
            for output in self._box_outputs(features, padded))
        found = []
        for i, count in enumerate(counts):
            network, original = batch.image_sizes[i], batch.original_sizes[i]
            ratio = proposals[i].new_tensor([original[1] / network[1], original[0] / network[0]] * 2)
            found.append(self._decode(
                proposals[i] * ratio, logits[i, :count], offsets[i, :count],  # type: ignore[index]
                None if log_variance is None else log_variance[i, :count], original, score_threshold,
                batch.image_ids[i]))
        return found

    def _proposals(self, anchors: Tensor, objectness: Tensor, offsets: Tensor, batch: Batch,
                   counts: tuple[int, int]) -> list[Tensor]:
        """Proposals (P, 4) of each image; the least size is meant in original px."""
        return [propose(anchors, objectness[i], offsets[i], network, self.rpn_coder, pre_nms=counts[0],
                        post_nms=counts[1], nms_iou=self.rpn_nms_iou, min_size=self.min_size * network[0] / original[0])
                for i, (network, original) in enumerate(zip(batch.image_sizes, batch.original_sizes, strict=True))]

    def _box_outputs(self, features: Tensor, boxes: Tensor) -> tuple[Tensor, Tensor, Tensor | None]:
        """Class logits, offsets and log variances of boxes (N, P, 4), rows in the order of ``boxes``."""
        scale = 1 / self.anchors.stride
        if self.pooling == "align":
            pooled = roi_align_batched(features, boxes, self.pool_size, scale, self.sampling_ratio).flatten(0, 1)
        else:
            image = torch.arange(len(boxes), device=boxes.device).repeat_interleave(boxes.shape[1])
            rois = torch.cat([image[:, None].to(boxes.dtype), boxes.flatten(0, 1)], dim=1)
            pooled = roi_max_pool(features, rois, self.pool_size, scale)
        logits, offsets, log_variance = self.predictor(self.box_head(pooled))
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


def check_finite(image_id: ImageId, **outputs: Tensor | None) -> None:
    """Raises ValueError naming the image and the output that is not finite: it would otherwise be dropped unseen."""
    for name, values in outputs.items():
        if values is not None and not bool(torch.isfinite(values).all()):
            raise ValueError(f"The {name.replace('_', ' ')} of image {image_id} are not finite: a weight is NaN or the "
                             "network has diverged; evaluate an earlier checkpoint.")
