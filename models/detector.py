"""The two-stage detector: features -> proposals -> RoI stage.

The first stage is an RPN, a KL-RPN, or a file of saved proposals (Fast R-CNN). The second is that
of Faster R-CNN or R-FCN, with a mask branch or an IoU branch. Each part owns its rules
(models/rpn.py, roi.py, mask.py, iou_net.py). ``losses`` trains and ``candidates`` detects;
suppression and voting are pure functions in postprocess/. ``mask.masks`` and ``iou.predict`` read
the features again, for the final boxes.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from data.records import Batch, Candidates, Proposals
from models.backbones.base import freeze_norms
from models.decode import to_original
from models.draws import image_generators
from models.iou_net import IoUBranch
from models.mask import MaskBranch
from models.pooling.pool import Features
from models.proposals import proposals_of
from models.roi import RoIStage
from models.rpn import RegionProposalNetwork
from models.rpn_head import Losses


class Detector(nn.Module):
    """Faster R-CNN or R-FCN, with or without a log variance for each box side;
    models.build.build_detector makes it.

    rpn: None if the batches bring their proposals (Fast R-CNN). roi: None for a region proposal
    network alone.
    """

    def __init__(
        self,
        *,
        backbone: nn.Module,
        rpn: RegionProposalNetwork | None,
        roi: RoIStage | None,
        mask: MaskBranch | None = None,
        iou: IoUBranch | None = None,
    ) -> None:
        super().__init__()
        self.backbone, self.rpn, self.roi, self.mask, self.iou = backbone, rpn, roi, mask, iou

    def forward(
        self, batch: Batch, statistics: dict[str, Tensor] | None = None
    ) -> dict[str, Tensor] | list[Candidates]:
        """``losses`` of a batch with targets, else ``candidates``."""
        if batch.targets is None:
            return self.candidates(batch)
        return self.losses(batch, statistics)

    def losses(
        self, batch: Batch, statistics: dict[str, Tensor] | None = None
    ) -> dict[str, Tensor]:
        """The loss terms of a batch with targets, scalars.

        They are rpn_objectness and rpn_box (or rpn_kl), roi_class, roi_box, and roi_mask, roi_iou
        where there is such a branch. If nothing but the IoU branch is trained, its term alone.
        Sampled anchors and RoIs, jitter and dropout are drawn for each image by itself
        (models/draws.py).

        Args:
            batch: with targets in network px.
            statistics: if given, receives detached scalars to watch (foreground share, log variance
                percentiles).

        Raises:
            ValueError: a batch without targets.
        """
        if batch.targets is None:
            raise ValueError("Detector.losses needs a batch with targets; this is a test batch.")
        features = self.features(batch)
        losses: dict[str, Tensor] = {}
        stage_statistics: dict[str, Tensor] = {}
        if self.trains_stages():
            losses, stage_statistics = self.stage_losses(features, batch)
        if self.iou is not None:
            losses["roi_iou"] = self.iou.loss(features, batch)
        if statistics is not None:
            statistics |= stage_statistics
        return losses

    def stage_losses(self, features: Features, batch: Batch) -> Losses:
        """Loss terms and statistics of both stages and the mask branch."""
        losses: dict[str, Tensor] = {}
        statistics: dict[str, Tensor] = {}
        proposals: Sequence[Tensor] | None = batch.proposals
        if self.rpn is not None:
            predictions = self.rpn(features, batch.padded_size)
            losses, statistics = self.rpn.losses(predictions, batch)
        if self.roi is None:
            return losses, statistics
        if self.rpn is not None:
            proposals, _ = self.rpn.propose(predictions, batch, self.rpn.train_counts)
        targets = self.roi.sample(proposals_of(proposals), batch)
        generators = image_generators(batch, "dropout")
        roi_losses, roi_statistics = self.roi.losses(features, targets, generators)
        if self.mask is not None:
            roi_losses["roi_mask"] = self.mask.loss(features, targets, batch)
        return losses | roi_losses, statistics | roi_statistics

    @torch.no_grad()
    def candidates(
        self,
        batch: Batch,
        score_threshold: float = 0.05,
        features: Features | None = None,
        rounds: int = 1,
        *,
        with_probabilities: bool = False,
    ) -> list[Candidates]:
        """Decoded, clipped, scored boxes of each image in original px.

        Args:
            batch: the images.
            score_threshold: candidates have a larger class score.
            features: of ``self.features(batch)``, if they are there already.
            rounds: how often boxes go through the box head, see ``RoIStage.candidates``.
            with_probabilities: whether candidates have those of all classes.

        Raises:
            ValueError: outputs that are not finite, naming the image; or a network without a second
            stage.
        """
        if self.roi is None:
            raise ValueError("This region proposal network alone has proposals, but no candidates.")
        features = self.features(batch) if features is None else features
        proposals: Sequence[Tensor] | None = batch.proposals
        if self.rpn is not None:
            proposals, _ = self.rpn.detect(features, batch)
        candidates = self.roi.candidates(
            features,
            proposals_of(proposals),
            batch,
            score_threshold,
            rounds,
            with_probabilities=with_probabilities,
        )
        return candidates if self.iou is None else self.iou.rate(features, batch, candidates)

    @torch.no_grad()
    def proposals(self, batch: Batch, count: int) -> list[Proposals]:
        """The first stage alone: the best boxes of each image after suppression, in original px.

        Args:
            batch: the images.
            count: how many boxes of each image.

        Raises:
            ValueError: outputs that are not finite, naming the image; or a network without a first
            stage.
        """
        if self.rpn is None:
            raise ValueError("This Fast R-CNN has no proposals of its own: they come from a file.")
        boxes, objectness = self.rpn.detect(self.features(batch), batch, count)
        return [
            Proposals(boxes=to_original(boxes[i], batch, i), objectness=objectness[i])
            for i in range(len(boxes))
        ]

    def features(self, batch: Batch) -> Features:
        """The maps of all levels."""
        return self.backbone(batch.images.contiguous(memory_format=torch.channels_last))

    def freeze(self, stages: int) -> None:
        """Stops training of the backbone's first stages and of every batch norm: for pretrained
        weights.

        Args:
            stages: how many stages.
        """
        self.backbone.freeze(stages)  # type: ignore[operator]
        freeze_norms(self)

    def trains_stages(self) -> bool:
        """Whether some parameter outside the IoU branch is trained."""
        parameters = self.named_parameters()
        return any(p.requires_grad for name, p in parameters if not name.startswith("iou."))
