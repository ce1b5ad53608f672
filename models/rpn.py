"""The region proposal network: anchors, a head, a box coder and a loss (Faster R-CNN, section 3.1).

Head and loss are those of the RPN (models/rpn_head.py) or of KL-RPN (models/kl_rpn.py). Objectness
is larger for better anchors.
Letters: N images, A anchors of all levels, G ground-truth boxes, P proposals.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple, get_args

import torch
from torch import Tensor, nn

from data.boxes import BoxCoder
from data.records import Batch
from models.anchors import AnchorGenerator
from models.decode import check_finite
from models.draws import image_generators
from models.matching import label_anchors
from models.proposals import propose
from models.rpn_head import (
    AnchorTargets,
    Losses,
    RPNLoss,
    RPNOutput,
    anchor_targets,
    join_levels,
    usable_anchors,
)

RPNKind = Literal["rpn", "kl_rpn", "saved"]
BoxCoding = Literal["center_size", "edges"]
AnchorRule = Literal["caffe", "torchvision", "detectron2"]
CoordinateReduction = Literal["sum", "mean"]
MeanErrorWeightPlace = Literal["factor", "exponent"]


@dataclass(frozen=True, kw_only=True)
class RPNConfig:
    """The region proposal network. Defaults: py-faster-rcnn's end-to-end recipe.

    Raises:
        ValueError: a value that is not one of the choices, edge offsets with KL-RPN, or a limit of
            log variances that is not positive.
    """

    # "kl_rpn": mean and log variance, no class; "saved": a file of proposals, no network
    kind: RPNKind = "rpn"
    box_coding: BoxCoding = "center_size"  # "edges" is KL Loss Eq. 1
    # False: center-size decoding is 1 px too large, as in faster-rcnn.pytorch
    decode_minus_one: bool = True
    # px, network; with a pyramid one a level
    anchor_sizes: tuple[float, ...] = (64.0, 128.0, 256.0, 512.0)
    anchor_ratios: tuple[float, ...] = (0.5, 1.0, 2.0)  # height / width
    # how a cell's anchors are centered and rounded, models/anchors.py
    anchor_rule: AnchorRule = "caffe"
    straddling_anchors: bool = False  # whether anchors across the image boundary are trained
    channels: int = 512  # of the 3x3 convolution
    softmax: bool = True  # objectness by a two-way softmax (Caffe) instead of one logit (Detectron)
    anchors_per_image: int = 256  # sampled for the loss
    positive_share: float = 0.5  # of them, at most
    positive_iou: float = 0.7
    negative_iou: float = 0.3
    nms_iou: float = 0.7
    pre_nms_train: int = 12000
    post_nms_train: int = 2000
    pre_nms_test: int = 6000
    post_nms_test: int = 300
    min_size: float = 16.0  # px, original image: least side of a proposal
    mean_error_weight: float = 0.5  # KL-RPN: gamma of Eq. 4 and 7; 1 is the textbook divergence
    # KL-RPN: where gamma stands in Eq. 7; the text of the paper allows both
    mean_error_weight_place: MeanErrorWeightPlace = "factor"
    # KL-RPN: whether negative anchors train the means; False: their variance alone
    train_negative_means: bool = True
    # KL-RPN: variance that a negative anchor's offsets should have
    negative_variance: float = 1 / 3
    coordinate_reduction: CoordinateReduction = "sum"  # KL-RPN: of an anchor's four losses
    # KL-RPN: standard deviation of the initial weights of the log variances
    log_variance_std: float = 1e-5
    log_variance_bias: float = 0.0  # KL-RPN: initial bias of the log variances
    # KL-RPN: bound of |ln sigma^2| in the loss; not in the paper
    log_variance_limit: float | None = 20.0

    def __post_init__(self) -> None:
        for name, choices in (
            ("kind", RPNKind),
            ("box_coding", BoxCoding),
            ("anchor_rule", AnchorRule),
            ("coordinate_reduction", CoordinateReduction),
            ("mean_error_weight_place", MeanErrorWeightPlace),
        ):
            if getattr(self, name) not in get_args(choices):
                raise ValueError(
                    f"RPNConfig.{name} is {getattr(self, name)!r}; choose one of "
                    f"{get_args(choices)}."
                )
        if self.log_variance_limit is not None and not self.log_variance_limit > 0:
            raise ValueError(
                f"RPNConfig.log_variance_limit is {self.log_variance_limit}; it must be larger "
                "than 0, or None for no limit."
            )
        if self.kind == "kl_rpn" and self.box_coding != "center_size":
            raise ValueError("RPNConfig.box_coding must be 'center_size' with kind='kl_rpn'.")


class AnchorPredictions(NamedTuple):
    """Anchors (A, 4) network px, how many each level has, and the head's output for them."""

    anchors: Tensor
    levels: tuple[int, ...]
    output: RPNOutput


class RegionProposalNetwork(nn.Module):
    """Features -> proposals; Faster R-CNN's RPN and KL-RPN alike.

    anchors: of all levels. head: a map -> RPNOutput, the same for all levels. coder: of its
    offsets. loss: what it learns from. The numbers are those of ``RPNConfig``; train_counts and
    test_counts: how many boxes enter suppression and how many leave it.
    """

    def __init__(
        self,
        *,
        anchors: AnchorGenerator,
        head: nn.Module,
        coder: BoxCoder,
        loss: RPNLoss,
        anchors_per_image: int,
        positive_share: float,
        positive_iou: float,
        negative_iou: float,
        straddling_anchors: bool,
        train_counts: tuple[int, int],
        test_counts: tuple[int, int],
        nms_iou: float,
        min_size: float,
    ) -> None:
        super().__init__()
        self.anchors, self.head, self.coder, self.loss = anchors, head, coder, loss
        self.anchors_per_image, self.positive_share = anchors_per_image, positive_share
        self.positive_iou, self.negative_iou = positive_iou, negative_iou
        self.straddling_anchors = straddling_anchors
        self.train_counts, self.test_counts = train_counts, test_counts
        self.nms_iou, self.min_size = nms_iou, min_size

    def forward(
        self, features: Sequence[Tensor], padded_size: tuple[int, int]
    ) -> AnchorPredictions:
        """The head's output for every anchor of every level.

        Args:
            features: a map (N, C, H, W) of each level.
            padded_size: (height, width) of the padded images, px.
        """
        anchors = self.anchors(features, padded_size)
        output = join_levels([self.head(level) for level in features])
        return AnchorPredictions(torch.cat(anchors), tuple(map(len, anchors)), output)

    def targets(self, predictions: AnchorPredictions, batch: Batch) -> AnchorTargets:
        """The targets of the anchors of a batch with targets; which are sampled is drawn at
        random."""
        assert batch.targets is not None
        images = [
            anchor_targets(
                predictions.anchors,
                target,
                *self.labels(predictions.anchors, target.boxes, size),
                self.coder,
                anchors_per_image=self.anchors_per_image,
                positive_share=self.positive_share,
                generator=generator,
            )
            for target, size, generator in zip(
                batch.targets,
                batch.image_sizes,
                image_generators(batch, "anchors"),
                strict=True,
            )
        ]
        return AnchorTargets(*(torch.stack(parts) for parts in zip(*images, strict=True)))

    def labels(
        self, anchors: Tensor, gt_boxes: Tensor, image_size: tuple[int, int]
    ) -> tuple[Tensor, Tensor]:
        """What every anchor of an image is, before any is sampled: see ``label_anchors``.

        Args:
            anchors: (A, 4), network px.
            gt_boxes: (G, 4), network px.
            image_size: (height, width) without padding, network px.
        """
        return label_anchors(
            anchors,
            gt_boxes,
            self.usable(anchors, image_size),
            positive_iou=self.positive_iou,
            negative_iou=self.negative_iou,
        )

    def usable(self, anchors: Tensor, image_size: tuple[int, int]) -> Tensor:
        """Which anchors are learned from: see ``usable_anchors``."""
        return usable_anchors(anchors, image_size, straddling=self.straddling_anchors)

    def losses(self, predictions: AnchorPredictions, batch: Batch) -> Losses:
        """The loss terms rpn_* of a batch with targets, scalars, and statistics."""
        return self.loss(predictions.output, self.targets(predictions, batch))

    def propose(
        self, predictions: AnchorPredictions, batch: Batch, counts: tuple[int, int]
    ) -> tuple[list[Tensor], list[Tensor]]:
        """Proposals (P, 4) of each image in network px, best first, and their objectness (P,).

        Args:
            predictions: for the images of ``batch``.
            batch: the least size of a proposal is meant in its original px.
            counts: how many boxes of each level enter suppression, and how many are kept over all
                levels.
        """
        boxes, objectness = [], []
        sizes = zip(batch.image_sizes, batch.original_sizes, strict=True)
        for i, (network, original) in enumerate(sizes):
            kept_boxes, kept_objectness = propose(
                predictions.anchors,
                predictions.output.objectness[i],
                predictions.output.offsets[i],
                network,
                self.coder,
                pre_nms=counts[0],
                post_nms=counts[1],
                nms_iou=self.nms_iou,
                min_size=self.min_size * network[0] / original[0],
                levels=predictions.levels,
            )
            boxes.append(kept_boxes)
            objectness.append(kept_objectness)
        return boxes, objectness

    def detect(
        self, features: Sequence[Tensor], batch: Batch, count: int | None = None
    ) -> tuple[list[Tensor], list[Tensor]]:
        """``propose`` in testing.

        Args:
            features: of the images of ``batch``.
            batch: the images.
            count: proposals an image; None: as many as the second stage gets.

        Returns:
            See ``propose``.

        Raises:
            ValueError: the outputs are not finite; names the image.
        """
        predictions = self(features, batch.padded_size)
        for i, image_id in enumerate(batch.image_ids):
            check_finite(
                image_id,
                objectness=predictions.output.objectness[i],
                proposal_offsets=predictions.output.offsets[i],
            )
        pre_nms, post_nms = self.test_counts
        return self.propose(predictions, batch, (pre_nms, post_nms if count is None else count))
