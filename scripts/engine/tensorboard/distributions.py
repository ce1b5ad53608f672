"""What the histograms of a training show: the network's outputs for a batch that it has learned
from.

A forward pass of its own, in evaluation mode and without gradients, so that nothing of it can reach
what is trained: weights, statistics of batch norms, and random draws, which belong to the images.
Letters: N images, A anchors of one image, R RoIs of all images, S sampled anchors of one image.
"""

from collections.abc import Iterator

import torch
from torch import Tensor

from data.records import Batch
from data.scoring.reliability import SIDES
from models.detector import Detector
from models.matching import RoITargets, match, sampled_indices
from models.proposals import proposals_of
from models.roi_losses import own_class_outputs
from models.rpn import AnchorPredictions, RegionProposalNetwork

NAN = float("nan")


@torch.no_grad()
def distributions(
    detector: Detector, batch: Batch, amp: torch.dtype | None = None
) -> dict[str, Tensor]:
    """Values (n,) by the name of their histogram, on the device, NaN where one does not count.

    Their shapes are fixed, so that the host waits for nothing.

    Args:
        detector: in training mode, and so afterwards.
        batch: with targets, on the network's device.
        amp: the type of mixed precision; None for none.
    """
    detector.eval()
    try:
        with torch.autocast(batch.images.device.type, dtype=amp, enabled=amp is not None):
            return dict(of_stages(detector, batch))
    finally:
        detector.train()


def of_stages(detector: Detector, batch: Batch) -> Iterator[tuple[str, Tensor]]:
    """The histograms of those stages that the network has."""
    features = detector.features(batch)
    proposals = None if batch.proposals is None else list(batch.proposals)
    if detector.rpn is not None:
        predictions = detector.rpn(features, batch.padded_size)
        yield from of_anchors(detector.rpn, predictions, batch)
        proposals, _ = detector.rpn.propose(predictions, batch, detector.rpn.train_counts)
    if detector.roi is None:
        return
    targets = detector.roi.sample(proposals_of(proposals), batch)
    yield from of_overlaps(targets, batch)
    _, offsets, log_variance = detector.roi(features, targets.boxes)
    own = own_class_outputs(offsets, log_variance, targets).log_variance
    if own is not None:
        foreground = targets.labels.flatten() > 0
        for side, values in zip(SIDES, own.float().unbind(1), strict=True):
            yield f"box_head/log_variance_{side}", values.masked_fill(~foreground, NAN)


def of_anchors(
    rpn: RegionProposalNetwork, predictions: AnchorPredictions, batch: Batch
) -> Iterator[tuple[str, Tensor]]:
    """The objectness of the sampled positive and negative anchors; of KL-RPN their log variances,
    all four of an anchor.
    """
    sampled = rpn.targets(predictions, batch)
    log_variance = predictions.output.log_variance
    name = "objectness" if log_variance is None else "log_variance"
    values = predictions.output.objectness[..., None] if log_variance is None else log_variance
    kinds: dict[str, list[Tensor]] = {"positive": [], "negative": []}
    for own, positive, negative in zip(values, sampled.positive, sampled.negative, strict=True):
        index, filled = sampled_indices(positive, negative, rpn.anchors_per_image)
        chosen = own.float()[index]
        for kind, mask in (("positive", positive), ("negative", negative)):
            is_kind = (mask[index] & filled)[:, None]
            kinds[kind].append(chosen.masked_fill(~is_kind, NAN).flatten())
    for kind, parts in kinds.items():
        yield f"anchors/{name}_{kind}", torch.cat(parts)


def of_overlaps(targets: RoITargets, batch: Batch) -> Iterator[tuple[str, Tensor]]:
    """The IoU of the sampled RoIs with the object that they are matched to."""
    assert batch.targets is not None
    overlaps = torch.stack(
        [
            match(boxes, target.boxes)[0]
            for boxes, target in zip(targets.boxes, batch.targets, strict=True)
        ]
    )
    yield "rois/iou_foreground", overlaps.masked_fill(targets.labels <= 0, NAN).flatten()
    background = overlaps.masked_fill(targets.labels != 0, NAN)
    yield "rois/iou_background", background.flatten()
