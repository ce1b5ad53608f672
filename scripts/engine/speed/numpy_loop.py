"""Algorithm 1 as the released code of KL Loss writes it: class by class and box by box in NumPy."""

import numpy as np

from data.records import Candidates
from postprocess.config import PostprocessConfig


def loop_soft_nms_and_vote(
    candidates: Candidates, config: PostprocessConfig
) -> tuple[np.ndarray, np.ndarray]:
    """Algorithm 1 with Gaussian decay, class by class and box by box in numpy.

    The released code is written like this. All candidates of a class vote.

    Returns:
        boxes (D, 4) px and scores (D,), best first.
    """
    assert candidates.variances is not None
    columns = (candidates.boxes, candidates.scores, candidates.labels, candidates.variances)
    boxes, scores, labels, variances = (column.cpu().numpy() for column in columns)
    sides = (boxes[:, 2:] - boxes[:, :2]).prod(axis=1)
    detections = []
    for label in np.unique(labels):
        rows = np.flatnonzero((labels == label) & (scores > config.score_threshold))
        b, area, left = boxes[rows], sides[rows], scores[rows].copy()
        for _ in range(min(len(rows), config.max_detections)):
            best = int(left.argmax())
            if left[best] == -np.inf:
                break
            corners = np.maximum(b[best, :2], b[:, :2]), np.minimum(b[best, 2:], b[:, 2:])
            overlap = (corners[1] - corners[0]).clip(min=0).prod(axis=1)
            iou = overlap / (area[best] + area - overlap)
            near = iou > config.voter_iou
            weights = (
                np.exp(-((1 - iou[near]) ** 2) / config.sigma_t)[:, None] / variances[rows][near]
            )
            detections.append((left[best], (weights * b[near]).sum(axis=0) / weights.sum(axis=0)))
            left = left * np.exp(-(iou**2) / config.soft_nms_sigma)
            left[
                ((iou > 0) & (left < config.score_floor)) | (np.arange(len(rows)) == best)
            ] = -np.inf
    detections.sort(key=lambda item: -item[0])
    kept = detections[: config.max_detections]
    return np.array([box for _, box in kept]).reshape(-1, 4), np.array([score for score, _ in kept])
