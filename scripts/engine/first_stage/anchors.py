"""What a first stage says of the anchors themselves: its ranking, its means, its log variances."""

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from data.boxes import resize_boxes
from data.config import DataConfig
from data.reader import training_target
from data.records import Batch, Target
from data.scoring.offset_distribution import median
from data.scoring.ranking import ranking_auc
from models.matching import NEGATIVE, POSITIVE
from models.rpn import AnchorPredictions, RegionProposalNetwork
from scripts.engine.environment import Environment, pick_device
from scripts.engine.evaluation.scoring import LabeledDataset
from scripts.engine.trained.trained import TrainedRun, trained_batches, trained_detector

# of the anchors of one image: objectness of positives and negatives, absolute errors of the means
# of positives (P, 4), log variances of positives (P, 4) and negatives (M, 4)
AnchorValues = dict[str, Tensor]


def anchor_measures(
    trained: TrainedRun, labeled: LabeledDataset, environment: Environment
) -> dict[str, float]:
    """The numbers of one network over all anchors of its test images, labeled as in training.

    Args:
        trained: a network with a first stage of its own.
        labeled: its test images.
        environment: of the command.

    Returns:
        "auc" (percent; see ``ranking_auc``), "offset_error" (the median absolute error of the four
        means of positive anchors) and, with KL-RPN, "log_variance_positive" and
        "log_variance_negative" (means). nan where there are no such anchors.
    """
    device = pick_device(environment.device)
    detector = trained_detector(trained, device)
    assert detector.rpn is not None
    values: list[AnchorValues] = []
    chosen = range(len(labeled.targets))
    for batch in trained_batches(trained, labeled.dataset, environment, indices=chosen):
        on_device = batch.to(device)
        with torch.no_grad():
            predictions = detector.rpn(detector.features(on_device), on_device.padded_size)
        targets = [labeled.targets[index].to(device) for index in batch.indices]
        values += batch_values(detector.rpn, predictions, on_device, targets, trained.run.data)
    return summarized(values)


def batch_values(
    rpn: RegionProposalNetwork,
    predictions: AnchorPredictions,
    batch: Batch,
    targets: Sequence[Target],
    data: DataConfig,
) -> Iterator[AnchorValues]:
    """What is measured of the anchors of each image.

    Args:
        rpn: whose rules label the anchors.
        predictions: of the images of ``batch``.
        batch: the images.
        targets: of the same images, original px.
        data: says which of their objects training uses.
    """
    anchors, output = predictions.anchors, predictions.output
    sizes = zip(batch.image_sizes, batch.original_sizes, targets, strict=True)
    for i, (network, original, target) in enumerate(sizes):
        boxes = resize_boxes(training_target(target, data).boxes, original, network)
        labels, index = rpn.labels(anchors, boxes, network)
        positive, negative = labels == POSITIVE, labels == NEGATIVE
        errors = output.offsets[i][:0].float()
        if len(boxes):
            encoded = rpn.coder.encode(boxes[index[positive]], anchors[positive])
            errors = (output.offsets[i][positive].float() - encoded).abs()
        parts = {
            "positive": output.objectness[i][positive],
            "negative": output.objectness[i][negative],
            "errors": errors,
        }
        if output.log_variance is not None:
            parts["log_variance_positive"] = output.log_variance[i][positive]
            parts["log_variance_negative"] = output.log_variance[i][negative]
        yield {name: part.cpu() for name, part in parts.items()}


def joined_values(values: Sequence[AnchorValues], name: str) -> NDArray[np.float64]:
    """One kind of value of all images, flat."""
    parts = [image[name].double().numpy().ravel() for image in values]
    return np.concatenate([np.zeros(0), *parts])


def summarized(values: Sequence[AnchorValues]) -> dict[str, float]:
    """The numbers of all images together."""
    names = values[0].keys() if values else ("positive", "negative", "errors")
    joined = {name: joined_values(values, name) for name in names}
    measures = {
        "auc": 100.0 * ranking_auc(joined["positive"], joined["negative"]),
        "offset_error": median(joined["errors"]),
    }
    for name in ("log_variance_positive", "log_variance_negative"):
        if name in joined:
            measures[name] = float(joined[name].mean()) if len(joined[name]) else float("nan")
    return measures
