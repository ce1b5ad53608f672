"""From the outputs of the head to scored boxes, and from those to detections, as models/decode.py
and postprocess/pipeline.py.

Letters: P RoIs, K classes, M candidates, D detections.
"""

from typing import NamedTuple

import numpy as np

from scripts.engine.export.runner.arrays import EMPTY, Floats, Indices, Outputs, floats
from scripts.engine.export.runner.boxes import area, clip, decode, pixel_variances, sort_corners
from scripts.engine.export.runner.description import Postprocess, SecondStage, SigmaFactors
from scripts.engine.export.runner.image import Size
from scripts.engine.export.runner.suppression import select
from scripts.engine.export.runner.voting import vote

LOG_VARIANCE_RANGE = 60.0
NONE = np.zeros(0, np.int64)


class Candidates(NamedTuple):
    """Boxes (M, 4) original px, scores (M,), labels (M,), and variances (M, 4) of their offsets and
    in px^2, or None."""

    boxes: Floats
    scores: Floats
    labels: Indices
    variances: Floats | None
    pixel_variances: Floats | None


class Detections(NamedTuple):
    """Boxes (D, 4) original px, scores (D,), labels (D,) in 1..K, and sigma (D, 4) px or None; best
    first."""

    boxes: Floats
    scores: Floats
    labels: Indices
    sigma: Floats | None


def candidates_of(
    rois: Floats, outputs: Outputs, stage: SecondStage, size: Size, score_threshold: float
) -> Candidates:
    """A candidate for every RoI (P, 4) in original px and class whose score is larger.

    Args:
        rois: (P, 4), original px.
        outputs: class_logits (P, K + 1), offsets (P, K + 1, 4), and log_variance if there is one.
        stage: the second stage.
        size: of the image, original px.
        score_threshold: of the softmax score of a class.
    """
    scores = softmax(outputs["class_logits"])
    row, column = np.nonzero(scores[:, 1:] > score_threshold)
    label = column + 1
    references = rois[row]
    boxes = decode(outputs["offsets"][row, label], references, stage.coder)
    variances = in_px = None
    if stage.log_variance:
        limit = np.float32(min(LOG_VARIANCE_RANGE, stage.log_variance_limit or LOG_VARIANCE_RANGE))
        variances = np.exp(np.clip(outputs["log_variance"][row, label], -limit, limit))
        in_px = pixel_variances(variances, references, stage.coder)
    boxes = clip(sort_corners(boxes), size)
    return Candidates(boxes, scores[row, label], label, variances, in_px)


def softmax(logits: Floats) -> Floats:
    """Of each row."""
    powers = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return powers / powers.sum(axis=-1, keepdims=True)


def detections_of(
    candidates: Candidates, config: Postprocess, factors: SigmaFactors | None
) -> Detections:
    """Suppressed, voted, at most D of all classes, best first.

    Raises:
        ValueError: ``config`` asks for a vote, and the network predicts no variances.
    """
    if config.sigma_t > 0 and candidates.variances is None:
        raise ValueError(
            f"sigma_t is {config.sigma_t:g}, and this network predicts no variances to vote with; "
            "set it to 0."
        )
    rows, scores, boxes = [NONE], [EMPTY.astype(np.float64)], [EMPTY.reshape(0, 4)]
    for label in np.unique(candidates.labels):
        own = np.flatnonzero(candidates.labels == label)
        selected = select(candidates.boxes[own], candidates.scores[own], config)
        rows.append(own[selected.rows])
        scores.append(selected.scores)
        if config.sigma_t > 0 and candidates.variances is not None:
            voted = vote(candidates.boxes[own], candidates.variances[own], selected, config)
            boxes.append(voted)
        else:
            boxes.append(candidates.boxes[rows[-1]])
    row, score = np.concatenate(rows), np.concatenate(scores)
    best = np.lexsort((row, -score))[: config.max_detections]
    row, moved = row[best], np.concatenate(boxes)[best]
    sigma = None
    if candidates.pixel_variances is not None:
        sigma = np.sqrt(candidates.pixel_variances[row])
        if factors is not None:
            bins = np.digitize(np.sqrt(area(moved)), floats(factors.edges))
            sigma = sigma * floats(factors.factors)[bins]
    return Detections(moved, score[best].astype(np.float32), candidates.labels[row], sigma)
