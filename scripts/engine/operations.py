"""The core operations beside torchvision's and beside a plain loop, timed in one process.

Letters: D detections, P RoIs.
"""

import math
from dataclasses import asdict
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torchvision import ops

from data.records import Candidates
from experiments.records import Run
from models.pooling.multi_level import multi_level_roi_align
from models.pooling.prroi_pool import prroi_pool
from models.pooling.roi_align import roi_align, with_image_index
from postprocess.pipeline import PostprocessConfig, postprocess
from scripts.engine.synthetic import dense_candidates, largest_size, random_boxes, uniform
from scripts.engine.timing import Action, interleaved

CROWDS = ((300, 20), (1000, 80))  # (boxes in each class, classes) of the worst-case post-processing
PYRAMID_IMAGE, PYRAMID_CHANNELS, PYRAMID_ROIS = (800, 1344), 256, 512  # of FPN: px after padding, and a step's RoIs
STRIDES, BINS, SAMPLES = (4, 8, 16, 32), 7, 2  # of FPN
Pair = tuple[str, Action, str, Action]  # what is timed, ours, whose the other is, the other


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


def rois_of_all_sizes(count: int, size: tuple[int, int], generator: torch.Generator) -> Tensor:
    """Boxes (1, count, 4) px in an image; ln of their sides is uniform from 16 to 800 px, so every level has some."""
    image = torch.tensor([size[1], size[0]], dtype=torch.float32)
    sides = uniform((count, 2), math.log(16), math.log(800), generator).exp().minimum(image)
    corner = uniform((count, 2), 0.0, 1.0, generator) * (image - sides)
    return torch.cat([corner, corner + sides], dim=1)[None]


def there_and_back(pooled: Tensor, learned: list[Tensor]) -> tuple[Tensor, ...]:
    """Forward, as the rows that fc6 reads, and backward from a dense gradient, which is what fc6 returns."""
    rows = pooled.reshape(-1, BINS**2 * pooled.shape[-3])
    return torch.autograd.grad(rows, learned, torch.ones_like(rows))


def pyramid_pairs(generator: torch.Generator, device: torch.device) -> list[Pair]:
    """RoIAlign on a pyramid of FPN's size, and precise RoI pooling, which torchvision does not have, on one level.

    Each gets the maps in the memory layout that suits it: ours channels last, as our backbones return them.
    """
    boxes = rois_of_all_sizes(PYRAMID_ROIS, PYRAMID_IMAGE, generator).to(device)
    maps = [torch.randn(1, PYRAMID_CHANNELS, *(side // stride for side in PYRAMID_IMAGE), generator=generator)
            .to(device).contiguous(memory_format=torch.channels_last).requires_grad_() for stride in STRIDES]
    plain = [each.detach().contiguous().requires_grad_() for each in maps]
    named = {str(level): each for level, each in enumerate(plain)}
    theirs = ops.MultiScaleRoIAlign(list(named), BINS, SAMPLES)
    rois = with_image_index(boxes)
    moving = rois.clone().requires_grad_()
    sizes = f"{PYRAMID_ROIS} RoIs, {PYRAMID_CHANNELS} channels, {PYRAMID_IMAGE[0]} x {PYRAMID_IMAGE[1]} px"
    return [(
        f"RoIAlign on a pyramid forward and backward, {sizes}",
        lambda: there_and_back(multi_level_roi_align(maps, boxes, BINS, STRIDES, SAMPLES), maps),
        "torchvision", lambda: there_and_back(theirs(named, [boxes[0]], [PYRAMID_IMAGE]), plain),
    ), (
        f"precise RoI pooling forward and backward, with the boxes' gradient, {sizes}, stride 16",
        lambda: there_and_back(prroi_pool(maps[2], moving, BINS, 1 / 16), [maps[2], moving]),
        "torchvision's RoIAlign, one sample a cell",
        lambda: there_and_back(ops.roi_align(plain[2], rois, BINS, 1 / 16, 0), [plain[2]]))]


def time_operations(run: Run, repeats: int, device: torch.device) -> list[dict[str, Any]]:
    """Our operations beside the others', in the sizes of ``run``; prints them and returns one record for each."""
    size = largest_size(run.data)
    generator = torch.Generator().manual_seed(2)
    height, width = (math.ceil(side / 16) for side in size)
    features = torch.randn(1, 512, height, width, generator=generator).to(device).requires_grad_()
    count, bins = run.model.rois_per_image, run.model.pool_size
    rois = torch.cat([torch.zeros(count, 1), random_boxes(count, size, generator)], dim=1).to(device)
    config = PostprocessConfig(suppression="soft_gaussian", sigma_t=0.02)
    pairs: list[Pair] = [(
        f"RoIAlign forward and backward, {count} RoIs on {tuple(features.shape)}",
        lambda: torch.autograd.grad(roi_align(features, rois, bins, 1 / 16, 2).sum(), features),
        "torchvision", lambda: torch.autograd.grad(ops.roi_align(features, rois, bins, 1 / 16, 2).sum(), features))]
    pairs += pyramid_pairs(generator, device)
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
