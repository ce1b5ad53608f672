"""IoU-Net (Jiang et al., 2018, sections 3.1 and 4): a head that predicts the IoU of a box with its
object.

It learns from jittered ground truth (models/iou_jitter.py), not from proposals.
Letters: R RoIs, K foreground classes, C channels, B x B bins, D boxes.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from data.records import Batch, Candidates
from losses.iou_loss import iou_loss, to_iou
from models.across_processes import share_of_count
from models.backbones.base import initialize
from models.decode import to_network
from models.draws import image_generators
from models.heads import linear
from models.iou_jitter import iou_targets, jitter_table_on, jittered_rois
from models.pooling.pool import Features, Pool


@dataclass(frozen=True, kw_only=True)
class IoUConfig:
    """IoU-Net's branch. It has fc_dims and pool_size of the box head (RoIConfig) and always pools
    precisely."""

    rois: int = 256  # jittered ground-truth boxes an image that it learns from
    # not stated in IoU-Net; that of the reimplementation which reaches its gain
    loss_weight: float = 5.0


class IoUBranch(nn.Module):
    """Boxes -> the IoU loss on jittered ground truth, or the IoU that each box is expected to have.

    head: (R, C, B, B) -> (R, K + 1); pool: what it reads, with a gradient to the boxes. The numbers
    are those of ``IoUConfig``.
    """

    def __init__(self, *, head: nn.Module, pool: Pool, rois: int, loss_weight: float) -> None:
        super().__init__()
        self.head, self.pool = head, pool
        self.rois, self.loss_weight = rois, loss_weight

    def loss(self, features: Features, batch: Batch) -> Tensor:
        """The weighted loss of a batch with targets, a scalar; the jitter is drawn at random."""
        assert batch.targets is not None
        table = jitter_table_on(features[0].device)
        boxes, labels, iou = [], [], []
        images = zip(
            batch.targets, batch.image_sizes, image_generators(batch, "jitter"), strict=True
        )
        for target, size, generator in images:
            rois = jittered_rois(
                target.boxes, size, count=self.rois, table=table, generator=generator
            )
            own_labels, own_iou = iou_targets(rois, target)
            boxes.append(rois)
            labels.append(own_labels)
            iou.append(own_iou)
        raw = self.head(self.pool(features, torch.stack(boxes)).flatten(0, 1))
        losses = iou_losses(raw, torch.cat(labels), torch.cat(iou), images=batch.counted_images)
        return self.loss_weight * losses

    def predict(
        self, features: Features, batch: Batch, index: int, boxes: Tensor, labels: Tensor
    ) -> Tensor:
        """The IoU (D,) with its object that the head expects of each box, differentiable in the
        boxes.

        Args:
            features: of the images of ``batch``.
            index: of the image in the batch.
            boxes: (D, 4) in original px.
            labels: (D,) the class of each box.
        """
        own = tuple(level[index : index + 1] for level in features)
        pooled = self.pool(own, to_network(boxes, batch, index)[None])
        return predicted_iou(self.head(pooled.flatten(0, 1)).float(), labels)

    def rate(
        self, features: Features, batch: Batch, candidates: Sequence[Candidates]
    ) -> list[Candidates]:
        """The candidates of each image with ``localization``, the IoU that the head expects of
        their boxes.

        Args:
            features: of the images of ``batch``.
            batch: the images.
            candidates: of each image, original px.
        """
        rated = []
        for index, image in enumerate(candidates):
            iou = self.predict(features, batch, index, image.boxes, image.labels)
            rated.append(replace(image, localization=iou))
        return rated


class IoUHead(nn.Module):
    """(R, C, B, B) -> fc6 -> fc7 -> one output a class (R, K + 1), the normalized IoU; that of
    class 0 is not used."""

    def __init__(self, *, in_features: int, fc_dims: tuple[int, int], num_classes: int) -> None:
        super().__init__()
        self.fc6 = nn.Linear(in_features, fc_dims[0])
        self.fc7 = nn.Linear(fc_dims[0], fc_dims[1])
        initialize(self)
        self.iou = linear(fc_dims[1], num_classes + 1, std=0.01)

    def forward(self, pooled: Tensor) -> Tensor:
        return self.iou(F.relu(self.fc7(F.relu(self.fc6(pooled.flatten(1))))))


def predicted_iou(raw: Tensor, labels: Tensor) -> Tensor:
    """The IoU (R,) that outputs (R, K + 1) predict for boxes of the classes ``labels`` (R,); not
    clipped."""
    return to_iou(raw.gather(1, labels[:, None])[:, 0])


def iou_losses(raw: Tensor, labels: Tensor, iou: Tensor, *, images: int) -> Tensor:
    """The mean of ``iou_loss`` over the RoIs of the batch that count, those of other processes
    included (``share_of_count``); 0 if there are none.

    Args:
        raw: outputs of the head (R, K + 1), of which the one of the own class is trained.
        labels: (R,) the class of each RoI, 0 where it does not count.
        iou: (R,) the IoU that it has with its object.
        images: whose RoIs these are; 0 if they stand in for none.

    Returns:
        A scalar.
    """
    counted = labels > 0
    own = raw.gather(1, labels[:, None])[:, 0].masked_fill(~counted, 0.0)
    values = iou_loss(own, iou).masked_fill(~counted, 0.0)
    return values.sum() / share_of_count(counted.sum(), images)
