"""The two-stage detector: anchors -> proposals -> rois -> candidates.

Letters: N images, A anchors, P RoIs of one image, R = N * P, K foreground classes, M candidates, D detections.
The first stage is an RPN, a KL-RPN, or a file of saved proposals (Fast R-CNN); the second that of Faster R-CNN
(models/heads.py) or R-FCN (models/rfcn.py), with a mask head (models/mask.py) or an IoU head (models/iou_net.py) beside
it. ``losses`` trains, ``candidates`` detects; suppression and voting are pure functions in postprocess/. What looks at
the image again after them, ``masks`` and ``predicted_iou``, is given the final boxes.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from data.boxes import BoxCoder
from data.records import Batch, Candidates, Detections, Proposals
from models.anchors import AnchorGenerator
from models.backbones.base import freeze_norms
from models.decode import HeadOutputs, check_finite, decode_all, decode_own, join, to_network, to_original
from models.iou_net import iou_losses, iou_targets, jitter_table_on, jittered_rois, predicted_iou
from models.mask import foreground_first, mask_losses, mask_targets
from models.proposals import propose
from models.roi import RoITargets, roi_losses, sample_rois
from models.rpn import RPNOutput, anchor_targets, join_levels

Features = tuple[Tensor, ...]  # (N, C, H_l, W_l) of each level, fine to coarse
Pool = Callable[[Features, Tensor], Tensor]  # (features, boxes (N, P, 4) network px) -> (N, P, C, B, B)
# (output, positive, negative, target offsets) -> (losses, statistics)
RPNLosses = Callable[[RPNOutput, Tensor, Tensor, Tensor], tuple[dict[str, Tensor], dict[str, Tensor]]]


class FirstStage(NamedTuple):
    """Features, anchors (A, 4) with the number of each level, and what the RPN says of them."""

    features: Features
    anchors: Tensor
    output: RPNOutput
    levels: tuple[int, ...]


class Detector(nn.Module):
    """Faster R-CNN or R-FCN, with or without a log variance for each box side. Built by models.build.build_detector.

    rpn_head: a map -> RPNOutput, the same for all levels; None: the batches bring their proposals (Fast R-CNN).
    rpn_losses: what it learns from.
    roi_head: (features, boxes (N, P, 4)) -> class logits, offsets and log variances of the N * P RoIs; None: the region
        proposal network alone.
    mask_head: (R, C, B, B) -> (R, K + 1, M, M) logits, or None; mask_pool: what it reads.
    iou_head: (R, C, B, B) -> (R, K + 1), or None; iou_pool: what it reads, with a gradient to the boxes.
    """

    def __init__(self, *, backbone: nn.Module, anchors: AnchorGenerator, rpn_head: nn.Module | None,
                 rpn_losses: RPNLosses, roi_head: nn.Module | None, rpn_coder: BoxCoder, box_coder: BoxCoder,
                 rpn_batch: int, rpn_positive_share: float, rpn_positive_iou: float, rpn_negative_iou: float,
                 straddling_anchors: bool, pre_nms_train: int, post_nms_train: int, pre_nms_test: int,
                 post_nms_test: int, rpn_nms_iou: float, min_size: float, rois_per_image: int,
                 roi_positive_share: float, roi_positive_iou: float, box_smooth_l1_beta: float,
                 hardest_rois: int | None, log_variance_limit: float | None,
                 mask_head: nn.Module | None = None, mask_pool: Pool | None = None, mask_binary: bool = True,
                 iou_head: nn.Module | None = None, iou_pool: Pool | None = None, iou_rois: int = 0,
                 iou_loss_weight: float = 1.0) -> None:
        super().__init__()
        self.backbone, self.anchors, self.rpn_head, self.roi_head = backbone, anchors, rpn_head, roi_head
        self.mask_head, self.mask_pool, self.mask_binary = mask_head, mask_pool, mask_binary
        self.iou_head, self.iou_pool = iou_head, iou_pool
        self.iou_rois, self.iou_loss_weight = iou_rois, iou_loss_weight
        self.rpn_losses = rpn_losses
        self.rpn_coder, self.box_coder = rpn_coder, box_coder
        self.min_size = min_size
        self.hardest_rois = hardest_rois
        self.box_smooth_l1_beta = box_smooth_l1_beta
        self.log_variance_limit = log_variance_limit
        self.rpn_nms_iou = rpn_nms_iou
        self.train_counts, self.test_counts = (pre_nms_train, post_nms_train), (pre_nms_test, post_nms_test)
        self.anchor_rule: dict[str, Any] = {
            "positive_iou": rpn_positive_iou, "negative_iou": rpn_negative_iou, "batch_per_image": rpn_batch,
            "positive_share": rpn_positive_share, "straddling": straddling_anchors}
        self.roi_rule: dict[str, Any] = {
            "rois_per_image": rois_per_image, "positive_share": roi_positive_share, "positive_iou": roi_positive_iou}

    def forward(self, batch: Batch) -> dict[str, Tensor] | list[Candidates]:
        return self.candidates(batch) if batch.targets is None else self.losses(batch)

    def freeze(self, stages: int) -> None:
        """Stops training of the backbone's first ``stages`` stages and of every batch norm: for pretrained weights."""
        self.backbone.freeze(stages)  # type: ignore[operator]
        freeze_norms(self)

    def losses(self, batch: Batch, generator: torch.Generator | None = None,
               statistics: dict[str, Tensor] | None = None) -> dict[str, Tensor]:
        """The loss terms of a batch with targets, scalars: rpn_objectness, rpn_box (or rpn_kl), roi_class, roi_box, and
        roi_mask, roi_iou where there is such a head. If nothing but the IoU head learns, there is only its term.

        Args:
            batch: with targets in network px.
            generator: draws the sampled anchors and RoIs; on the batch's device.
            statistics: if given, receives detached scalars to watch (foreground share, log variance percentiles).
        """
        if batch.targets is None:
            raise ValueError("Detector.losses needs a batch with targets; this one has none (a test batch?).")
        features = self.features(batch)
        if self.iou_head is not None and not any(p.requires_grad for p in self.all_but_the_iou_head()):
            return {"roi_iou": self._iou_loss(features, batch, generator)}
        losses: dict[str, Tensor] = {}
        seen: dict[str, Tensor] = {}
        if self.rpn_head is not None:
            stage = self.first_stage(batch, features)
            losses, seen = self._rpn_losses(stage, batch, generator)
        if self.roi_head is not None:
            proposals = saved_proposals(batch) if self.rpn_head is None else [
                boxes for boxes, _ in self._proposals(stage, batch, self.train_counts)]
            targets = self._roi_targets(proposals, batch, generator)
            terms, head_seen = roi_losses(*self._box_outputs(features, targets.boxes), targets,
                                          hardest=self.hardest_rois, smooth_l1_beta=self.box_smooth_l1_beta)
            losses, seen = losses | terms, seen | head_seen
            if self.mask_head is not None:
                losses["roi_mask"] = self._mask_loss(features, targets, batch)
        if self.iou_head is not None:
            losses["roi_iou"] = self._iou_loss(features, batch, generator)
        if statistics is not None:
            statistics |= seen
        return losses

    @torch.no_grad()
    def candidates(self, batch: Batch, score_threshold: float = 0.05, features: Features | None = None,
                   rounds: int = 1) -> list[Candidates]:
        """Decoded, clipped, scored boxes of each image in original px, those with class score > score_threshold.

        Args:
            features: of ``self.features(batch)``, if they are there already.
            rounds: how often boxes go through the box head. 2 is MR-CNN's iterative localization: the candidates of a
                round are the next one's RoIs, each for its own class, and all rounds' candidates are returned.

        Raises: ValueError if the network's outputs are not finite, naming the image.
        """
        if self.roi_head is None:
            raise ValueError("This network is a region proposal network alone, without a box head: it has proposals "
                             "(Detector.proposals), but no candidates.")
        features = self.features(batch) if features is None else features
        if self.rpn_head is None:
            rois = list(saved_proposals(batch))
        else:
            rois = [boxes for boxes, _ in self._checked_proposals(batch, features, self.test_counts)]
        originals = [to_original(boxes, batch, i) for i, boxes in enumerate(rois)]
        found = [
            decode_all(originals[i], outputs, self.box_coder, batch.original_sizes[i], score_threshold,
                       batch.image_ids[i])
            for i, outputs in enumerate(self._outputs_of_each(features, rois))]
        latest = found
        for _ in range(rounds - 1):
            rois = [to_network(image.boxes, batch, i) for i, image in enumerate(latest)]
            latest = [
                decode_own(latest[i], outputs, self.box_coder, batch.original_sizes[i], score_threshold,
                           batch.image_ids[i])
                for i, outputs in enumerate(self._outputs_of_each(features, rois))]
            found = [join(before, after) for before, after in zip(found, latest, strict=True)]
        if self.iou_head is None:
            return found
        return [replace(image, localization=self.predicted_iou(features, batch, i, image.boxes, image.labels))
                for i, image in enumerate(found)]

    @torch.no_grad()
    def proposals(self, batch: Batch, count: int) -> list[Proposals]:
        """The first stage alone: the best ``count`` boxes of each image after suppression, in original px.

        Raises: ValueError if the network's outputs are not finite, naming the image.
        """
        kept = self._checked_proposals(batch, self.features(batch), (self.test_counts[0], count))
        return [Proposals(boxes=to_original(boxes, batch, i), objectness=objectness)
                for i, (boxes, objectness) in enumerate(kept)]

    @torch.no_grad()
    def masks(self, batch: Batch, detections: Sequence[Detections], features: Features | None = None
              ) -> list[Detections]:
        """The same detections, final and in original px, with the masks that the mask head sees in their boxes."""
        if self.mask_head is None or self.mask_pool is None:
            raise ValueError("This network has no mask head; use a run whose name contains _mask.")
        features = self.features(batch) if features is None else features
        boxes = padded([to_network(image.boxes, batch, i) for i, image in enumerate(detections)])
        labels = padded([image.labels for image in detections]).flatten()
        logits = self.mask_head(self.mask_pool(features, boxes).flatten(0, 1))
        own = logits[torch.arange(len(labels), device=labels.device), labels].float().sigmoid()
        own = own.unflatten(0, boxes.shape[:2])
        return [replace(image, masks=own[i, : len(image.labels)]) for i, image in enumerate(detections)]

    def predicted_iou(self, features: Features, batch: Batch, index: int, boxes: Tensor, labels: Tensor) -> Tensor:
        """The IoU (D,) with its object that the IoU head expects of each box (D, 4) in original px of image ``index``,
        for its class (D,); differentiable in the boxes."""
        if self.iou_head is None or self.iou_pool is None:
            raise ValueError("This network has no IoU head; use a run whose name ends in _iou.")
        own = tuple(level[index : index + 1] for level in features)
        pooled = self.iou_pool(own, to_network(boxes, batch, index)[None])
        return predicted_iou(self.iou_head(pooled.flatten(0, 1)).float(), labels)

    def all_but_the_iou_head(self) -> Iterator[nn.Parameter]:
        return (parameter for name, parameter in self.named_parameters() if not name.startswith("iou_head."))

    def features(self, batch: Batch) -> Features:
        return self.backbone(batch.images.contiguous(memory_format=torch.channels_last))

    def first_stage(self, batch: Batch, features: Features | None = None) -> FirstStage:
        """What the region proposal network says of every anchor of every level."""
        if self.rpn_head is None:
            raise ValueError("This network has no region proposal network: its proposals come from a file.")
        features = self.features(batch) if features is None else features
        anchors = self.anchors(features, (batch.images.shape[-2], batch.images.shape[-1]))
        output = join_levels([self.rpn_head(level) for level in features])
        return FirstStage(features, torch.cat(anchors), output, tuple(map(len, anchors)))

    def _rpn_losses(self, stage: FirstStage, batch: Batch, generator: torch.Generator | None
                    ) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        assert batch.targets is not None
        learned = [anchor_targets(stage.anchors, target, size, self.rpn_coder, generator=generator, **self.anchor_rule)
                   for target, size in zip(batch.targets, batch.image_sizes, strict=True)]
        positive, negative, target_offsets = (torch.stack(parts) for parts in zip(*learned, strict=True))
        return self.rpn_losses(stage.output, positive, negative, target_offsets)

    def _roi_targets(self, proposals: Sequence[Tensor], batch: Batch, generator: torch.Generator | None) -> RoITargets:
        assert batch.targets is not None
        rois = [sample_rois(boxes, target, self.box_coder, generator=generator, **self.roi_rule)
                for boxes, target in zip(proposals, batch.targets, strict=True)]
        boxes, labels, wanted, index = (torch.stack(parts) for parts in zip(*rois, strict=True))
        return RoITargets(boxes=boxes, labels=labels, target_offsets=wanted, gt_index=index)

    def _mask_loss(self, features: Features, targets: RoITargets, batch: Batch) -> Tensor:
        """The mask head on the foreground RoIs alone, a fixed number of slots an image."""
        assert batch.targets is not None
        assert self.mask_head is not None
        assert self.mask_pool is not None
        assert targets.gt_index is not None
        slots = int(self.roi_rule["rois_per_image"] * self.roi_rule["positive_share"])
        index, counted = foreground_first(targets.labels, slots)
        boxes = targets.boxes.gather(1, index[..., None].expand(-1, -1, 4))
        labels = targets.labels.gather(1, index).masked_fill(~counted, 0)
        gt_index = targets.gt_index.gather(1, index)
        logits = self.mask_head(self.mask_pool(features, boxes).flatten(0, 1))
        # Pixel k covers [k, k + 1]: half a pixel from the rule of ``mask_targets``, which torchvision keeps to.
        shift = 0.5 if self.mask_binary else 0.0
        wanted = [mask_targets(with_masks(target.masks), gt_index[i], boxes[i] - shift, size=logits.shape[-1],
                               binary=self.mask_binary) for i, target in enumerate(batch.targets)]
        return mask_losses(logits, labels.flatten(), torch.cat(wanted))

    def _iou_loss(self, features: Features, batch: Batch, generator: torch.Generator | None) -> Tensor:
        assert batch.targets is not None
        assert self.iou_head is not None
        assert self.iou_pool is not None
        table = jitter_table_on(features[0].device)
        boxes, labels, iou = [], [], []
        for target, size in zip(batch.targets, batch.image_sizes, strict=True):
            rois = jittered_rois(target.boxes, size, count=self.iou_rois, table=table, generator=generator)
            own_labels, own_iou = iou_targets(rois, target)
            boxes.append(rois)
            labels.append(own_labels)
            iou.append(own_iou)
        raw = self.iou_head(self.iou_pool(features, torch.stack(boxes)).flatten(0, 1))
        return self.iou_loss_weight * iou_losses(raw, torch.cat(labels), torch.cat(iou))

    def _proposals(self, stage: FirstStage, batch: Batch, counts: tuple[int, int]) -> list[tuple[Tensor, Tensor]]:
        """Proposals (P, 4) of each image and their objectness (P,); the least size is meant in original px."""
        return [propose(stage.anchors, stage.output.objectness[i], stage.output.offsets[i], network, self.rpn_coder,
                        pre_nms=counts[0], post_nms=counts[1], nms_iou=self.rpn_nms_iou,
                        min_size=self.min_size * network[0] / original[0], levels=stage.levels)
                for i, (network, original) in enumerate(zip(batch.image_sizes, batch.original_sizes, strict=True))]

    def _checked_proposals(self, batch: Batch, features: Features, counts: tuple[int, int]
                           ) -> list[tuple[Tensor, Tensor]]:
        stage = self.first_stage(batch, features)
        for i, image_id in enumerate(batch.image_ids):
            check_finite(image_id, objectness=stage.output.objectness[i], proposal_offsets=stage.output.offsets[i])
        return self._proposals(stage, batch, counts)

    def _outputs_of_each(self, features: Features, rois: Sequence[Tensor]) -> list[HeadOutputs]:
        """The box head's outputs of the RoIs (P_i, 4) in network px of each image, in float32."""
        boxes = padded(rois)
        outputs = [None if part is None else part.float().unflatten(0, boxes.shape[:2])
                   for part in self._box_outputs(features, boxes)]
        return [tuple(None if part is None else part[i, : len(own)] for part in outputs)  # type: ignore[misc]
                for i, own in enumerate(rois)]

    def _box_outputs(self, features: Features, boxes: Tensor) -> HeadOutputs:
        """Class logits, offsets and log variances of boxes (N, P, 4), rows in the order of ``boxes``."""
        assert self.roi_head is not None
        logits, offsets, log_variance = self.roi_head(features, boxes)
        if log_variance is not None and self.log_variance_limit is not None:
            log_variance = log_variance.clamp(-self.log_variance_limit, self.log_variance_limit)
        return logits, offsets, log_variance


def padded(rows: Sequence[Tensor]) -> Tensor:
    """Rows (P_i, ...) of N images as one (N, P, ...), filled up with zeros."""
    return nn.utils.rnn.pad_sequence(list(rows), batch_first=True)


def saved_proposals(batch: Batch) -> tuple[Tensor, ...]:
    if batch.proposals is None:
        raise ValueError("This network has no region proposal network, and the batch brings no proposals; give the "
                         "loader the file of saved ones.")
    return batch.proposals


def with_masks(masks: Tensor | None) -> Tensor:
    if masks is None:
        raise ValueError("The mask head learns from masks, and a target has none; set DataConfig.masks, on a data set "
                         "whose annotations have segments.")
    return masks
