"""The core operations beside torchvision's and beside a plain loop, timed in one process.

Letters: D detections.
"""

import math
from dataclasses import asdict
from typing import Any

import numpy as np
import torch
from torchvision import ops

from data.records import Candidates
from experiments.records import Run
from models.roi_align import roi_align
from postprocess.pipeline import PostprocessConfig, postprocess
from scripts.synthetic import dense_candidates, largest_size, random_boxes
from scripts.timing import Action, interleaved

CROWDS = ((300, 20), (1000, 80))  # (boxes in each class, classes) of the worst-case post-processing


def loop_soft_nms_and_vote(candidates: Candidates, config: PostprocessConfig) -> tuple[np.ndarray, np.ndarray]:
    """Algorithm 1 class by class and box by box in numpy, as the released code is written, with Gaussian decay.

    Returns: boxes (D, 4) px and scores (D,), best first; all candidates of a class vote.
    """
    assert candidates.variances is not None
    columns = (candidates.boxes, candidates.scores, candidates.labels, candidates.variances)
    boxes, scores, labels, variances = (column.cpu().numpy() for column in columns)
    sides = (boxes[:, 2:] - boxes[:, :2]).prod(axis=1)
    found = []
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
            weights = np.exp(-((1 - iou[near]) ** 2) / config.sigma_t)[:, None] / variances[rows][near]
            found.append((left[best], (weights * b[near]).sum(axis=0) / weights.sum(axis=0)))
            left = left * np.exp(-(iou**2) / config.soft_nms_sigma)
            left[((iou > 0) & (left < config.score_floor)) | (np.arange(len(rows)) == best)] = -np.inf
    found.sort(key=lambda item: -item[0])
    kept = found[: config.max_detections]
    return np.array([box for _, box in kept]).reshape(-1, 4), np.array([score for score, _ in kept])


def time_operations(run: Run, repeats: int, device: torch.device) -> list[dict[str, Any]]:
    """Our operations beside the others', in the sizes of ``run``; prints them and returns one record for each."""
    size = largest_size(run.data)
    generator = torch.Generator().manual_seed(2)
    height, width = (math.ceil(side / 16) for side in size)
    features = torch.randn(1, 512, height, width, generator=generator).to(device).requires_grad_()
    count, bins = run.model.rois_per_image, run.model.pool_size
    rois = torch.cat([torch.zeros(count, 1), random_boxes(count, size, generator)], dim=1).to(device)
    config = PostprocessConfig(suppression="soft_gaussian", sigma_t=0.02)
    pairs: list[tuple[str, Action, str, Action]] = [(
        f"RoIAlign forward and backward, {count} RoIs on {tuple(features.shape)}",
        lambda: torch.autograd.grad(roi_align(features, rois, bins, 1 / 16, 2).sum(), features),
        "torchvision", lambda: torch.autograd.grad(ops.roi_align(features, rois, bins, 1 / 16, 2).sum(), features))]
    for boxes, classes in CROWDS:
        crowd = dense_candidates(rois=boxes, num_classes=classes, size=size, generator=generator).to(device)
        pairs.append((f"soft-NMS and voting, {boxes} boxes x {classes} classes",
                      lambda crowd=crowd: postprocess(crowd, config),  # type: ignore[misc]
                      "numpy loop", lambda crowd=crowd: loop_soft_nms_and_vote(crowd, config)))  # type: ignore[misc]
    records = []
    for name, ours, other, theirs in pairs:
        mine, others = interleaved([ours, theirs], repeats, device)
        speedup = others.median / mine.median
        records.append({"operation": name, "ours_ms": asdict(mine), "other": other, "other_ms": asdict(others),
                        "speedup": speedup})
        print(f"{name}: ours {mine} ms, {other} {others} ms, {speedup:.2f} times as fast", flush=True)
    return records
