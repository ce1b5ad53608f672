"""The second stage of the detector: RoIs -> losses, or candidates.

Letters: N images, P RoIs of one image, R = N * P, K foreground classes. The head that pools and
predicts is that of models/heads.py or models/rfcn.py; models/matching.py and
models/roi_losses.py have what it learns.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import torch
from torch import Tensor, nn

from data.boxes import BoxCoder
from data.records import Batch, Candidates
from losses.log_variance import bounded
from models.decode import (
    HeadOutputs,
    decode_all,
    decode_own,
    join,
    padded,
    to_network,
    to_original,
)
from models.draws import Generators, image_generators
from models.matching import RoITargets, sample_rois
from models.pooling.pool import Features, Pooling, PositionSensitivePooling
from models.roi_losses import BoxLoss, BoxLossTerms, hardest_rois, roi_losses, roi_statistics
from models.rpn import BoxCoding

RoIHeadName = Literal["mlp", "conv5", "rfcn", "none"]


@dataclass(frozen=True, kw_only=True)
class RoIConfig:
    """The second stage. Defaults: py-faster-rcnn's two fully connected layers.

    Raises:
        ValueError: a value that is not one of the choices, log variances without edge coding, a
            limit of log variances that is not positive, or PSRoIAlign without samples. Whether
            ``box_loss`` exists and suits ``log_variance`` is checked by ModelConfig.
    """

    # "mlp": fc6 and fc7; "conv5": the backbone's last stage on each RoI; "rfcn": position-sensitive
    # maps; "none": the region proposal network alone
    head: RoIHeadName = "mlp"
    box_coding: BoxCoding = "center_size"  # "edges" is KL Loss Eq. 1
    # False: center-size decoding is 1 px too large, as in faster-rcnn.pytorch
    decode_minus_one: bool = True
    class_agnostic: bool = False  # one box for all classes
    log_variance: bool = False  # KL Loss: predict ln sigma^2 of each box side
    box_loss: str = "smooth_l1"  # a name in models/build.py: box_losses; "kl" is KL Loss Eq. 9, 10
    smooth_l1_beta: float = 1.0  # where smooth L1 turns from square to absolute value
    log_variance_limit: float | None = None  # bound of |ln sigma^2|; not in the paper
    fc_dims: tuple[int, int] = (4096, 4096)  # "mlp": widths of fc6, fc7
    dropout: float = 0.0  # "mlp": after fc6 and fc7; 0.5 in the VOC recipes
    # "max" is Fast R-CNN's RoI max pooling, "precise" IoU-Net's PrRoI pooling
    pooling: Pooling = "align"
    aligned: bool = False  # RoIAlign: shifted by half a cell, as in Detectron2
    pool_size: int = 7  # bins a side
    sampling_ratio: int = 2  # samples a bin side; 0 = adaptive
    # FPN Eq. 1: px, side of the RoI that is pooled from the level at stride 16
    canonical_size: float = 224.0
    rfcn_channels: int = 1024  # "rfcn": channels of the reduction
    # "rfcn": "align" is PSRoIAlign, "average" R-FCN's own PSRoIPool
    rfcn_pooling: PositionSensitivePooling = "align"
    # "rfcn": whether conv5's first block has dilation 2 as well (Caffe)
    dilate_first_block: bool = False
    rois_per_image: int = 128  # sampled for the loss
    positive_share: float = 0.25  # of them, at most
    positive_iou: float = 0.5
    hardest: int | None = None  # OHEM: how many of rois_per_image have a loss; None: all

    def __post_init__(self) -> None:
        for name, choices in (
            ("head", RoIHeadName),
            ("box_coding", BoxCoding),
            ("pooling", Pooling),
            ("rfcn_pooling", PositionSensitivePooling),
        ):
            if getattr(self, name) not in get_args(choices):
                raise ValueError(
                    f"RoIConfig.{name} is {getattr(self, name)!r}; choose one of "
                    f"{get_args(choices)}."
                )
        if self.log_variance and self.box_coding != "edges":
            raise ValueError(
                "RoIConfig.log_variance needs box_coding='edges': a variance belongs to a box side."
            )
        if self.log_variance_limit is not None and not self.log_variance_limit > 0:
            raise ValueError(
                f"RoIConfig.log_variance_limit is {self.log_variance_limit}; it must be larger "
                "than 0, or None for no limit."
            )
        if self.head == "rfcn" and self.rfcn_pooling == "align" and self.sampling_ratio < 1:
            raise ValueError(
                f"RoIConfig.sampling_ratio is {self.sampling_ratio}; PSRoIAlign needs 1 or more."
            )


class RoIStage(nn.Module):
    """RoIs -> losses or candidates; Faster R-CNN's, R-FCN's and Fast R-CNN's second stage alike.

    head: (features, boxes (N, P, 4)) -> HeadOutputs, pooling included. coder: of its offsets.
    box_loss: what the box layers learn from; box_loss_terms: its summands, to watch, or None.
    log_variance_limit: see ``bounded``. The other numbers are those of ``RoIConfig``.
    """

    def __init__(
        self,
        *,
        head: nn.Module,
        coder: BoxCoder,
        box_loss: BoxLoss,
        box_loss_terms: BoxLossTerms | None,
        rois_per_image: int,
        positive_share: float,
        positive_iou: float,
        hardest: int | None,
        log_variance_limit: float | None,
    ) -> None:
        super().__init__()
        self.head, self.coder = head, coder
        self.box_loss, self.box_loss_terms = box_loss, box_loss_terms
        self.rois_per_image, self.positive_share = rois_per_image, positive_share
        self.positive_iou, self.hardest = positive_iou, hardest
        self.log_variance_limit = log_variance_limit

    def forward(
        self, features: Features, boxes: Tensor, generators: Generators | None = None
    ) -> HeadOutputs:
        """Class logits, offsets and log variances of boxes (N, P, 4) network px, rows in their
        order; generators: of each image's dropout, in training."""
        logits, offsets, log_variance = self.head(features, boxes, generators)
        if log_variance is not None and self.log_variance_limit is not None:
            log_variance = bounded(log_variance, self.log_variance_limit)
        return logits, offsets, log_variance

    def sample(self, proposals: Sequence[Tensor], batch: Batch) -> RoITargets:
        """The RoIs that the stage is trained on, drawn at random from proposals and ground truth.

        Args:
            proposals: (P_i, 4) network px of each image.
            batch: with targets in network px.
        """
        assert batch.targets is not None
        images = [
            sample_rois(
                boxes,
                target,
                self.coder,
                rois_per_image=self.rois_per_image,
                positive_share=self.positive_share,
                positive_iou=self.positive_iou,
                generator=generator,
            )
            for boxes, target, generator in zip(
                proposals, batch.targets, image_generators(batch, "rois"), strict=True
            )
        ]
        boxes, labels, target_offsets, index = (
            torch.stack(parts) for parts in zip(*images, strict=True)
        )
        return RoITargets(boxes=boxes, labels=labels, target_offsets=target_offsets, gt_index=index)

    def losses(
        self, features: Features, targets: RoITargets, generators: Generators | None = None
    ) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """The loss terms roi_class and roi_box of the sampled RoIs, scalars, and statistics.

        Args:
            features: of the images.
            targets: the sampled RoIs.
            generators: of each image's dropout; None is enough for a head without dropout.
        """
        outputs = self(features, targets.boxes, generators)
        if self.hardest is not None:
            targets = hardest_rois(outputs, targets, self.hardest, self.box_loss)
        losses = roi_losses(outputs, targets, self.box_loss)
        return losses, roi_statistics(outputs, targets, self.box_loss_terms)

    def candidates(
        self,
        features: Features,
        proposals: Sequence[Tensor],
        batch: Batch,
        score_threshold: float,
        rounds: int = 1,
        *,
        with_probabilities: bool = False,
    ) -> list[Candidates]:
        """Decoded, clipped, scored boxes of each image in original px.

        Args:
            features: of the images of ``batch``.
            proposals: (P_i, 4) network px of each image.
            batch: the images.
            score_threshold: candidates have a larger class score.
            rounds: how often boxes go through the head. 2 is MR-CNN's iterative localization: the
                candidates of a round are the next one's RoIs, each for its own class, and all
                rounds' candidates are returned.
            with_probabilities: whether candidates have those of all classes.

        Raises:
            ValueError: outputs that are not finite; names the image.
        """
        latest = [
            decode_all(
                to_original(boxes, batch, i),
                outputs,
                self.coder,
                batch.original_sizes[i],
                score_threshold,
                batch.image_ids[i],
                with_probabilities=with_probabilities,
            )
            for i, (boxes, outputs) in enumerate(
                zip(proposals, self.outputs_of_images(features, proposals), strict=True)
            )
        ]
        candidates = latest
        for _ in range(rounds - 1):
            rois = [to_network(image.boxes, batch, i) for i, image in enumerate(latest)]
            latest = [
                decode_own(
                    previous,
                    outputs,
                    self.coder,
                    batch.original_sizes[i],
                    score_threshold,
                    batch.image_ids[i],
                    with_probabilities=with_probabilities,
                )
                for i, (previous, outputs) in enumerate(
                    zip(latest, self.outputs_of_images(features, rois), strict=True)
                )
            ]
            candidates = [join(*pair) for pair in zip(candidates, latest, strict=True)]
        return candidates

    def outputs_of_images(self, features: Features, rois: Sequence[Tensor]) -> list[HeadOutputs]:
        """The head's outputs of the RoIs (P_i, 4) in network px of each image, in float32."""
        boxes = padded(rois)
        outputs = self(features, boxes)
        split = [
            None if part is None else part.float().unflatten(0, boxes.shape[:2]) for part in outputs
        ]
        images: list[HeadOutputs] = []
        for i, own in enumerate(rois):
            logits, offsets, log_variance = (
                None if part is None else part[i, : len(own)] for part in split
            )
            assert logits is not None
            assert offsets is not None
            images.append((logits, offsets, log_variance))
        return images
