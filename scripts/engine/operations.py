"""The core operations, torchvision's, and a plain loop, timed in one process.

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
# of FPN: px after padding, channels, and the RoIs of a step
PYRAMID_IMAGE, PYRAMID_CHANNELS, PYRAMID_ROIS = (800, 1344), 256, 512
STRIDES, BINS, SAMPLES = (4, 8, 16, 32), 7, 2  # of FPN
Pair = tuple[str, Action, str, Action]  # what is timed, ours, whose the other is, the other


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


def rois_of_all_sizes(count: int, size: tuple[int, int], generator: torch.Generator) -> Tensor:
    """Boxes (1, count, 4) px in an image, of all sizes, so that every level of a pyramid has some.

    The logarithm of their sides is uniform, from 16 to 800 px.
    """
    image = torch.tensor([size[1], size[0]], dtype=torch.float32)
    sides = uniform((count, 2), math.log(16), math.log(800), generator).exp().minimum(image)
    corner = uniform((count, 2), 0.0, 1.0, generator) * (image - sides)
    return torch.cat([corner, corner + sides], dim=1)[None]


def forward_and_backward(pooled: Tensor, inputs: list[Tensor]) -> tuple[Tensor, ...]:
    """Forward, as the rows that fc6 reads, and backward from a dense gradient, as from fc6."""
    rows = pooled.reshape(-1, BINS**2 * pooled.shape[-3])
    return torch.autograd.grad(rows, inputs, torch.ones_like(rows))


def pyramid_pairs(generator: torch.Generator, device: torch.device) -> list[Pair]:
    """RoIAlign on a pyramid of FPN's size, and precise RoI pooling on one level.

    torchvision does not have the latter. Each gets the maps in the memory layout that suits it:
    ours channels last, as our backbones return them.
    """
    boxes = rois_of_all_sizes(PYRAMID_ROIS, PYRAMID_IMAGE, generator).to(device)
    maps = [pyramid_map(stride, generator).to(device).requires_grad_() for stride in STRIDES]
    plain = [each.detach().contiguous().requires_grad_() for each in maps]
    named = {str(level): each for level, each in enumerate(plain)}
    theirs = ops.MultiScaleRoIAlign(list(named), BINS, SAMPLES)
    rois = with_image_index(boxes)
    moving = rois.clone().requires_grad_()
    height, width = PYRAMID_IMAGE
    sizes = f"{PYRAMID_ROIS} RoIs, {PYRAMID_CHANNELS} channels, {height} x {width} px"
    return [
        (
            f"RoIAlign on a pyramid forward and backward, {sizes}",
            lambda: forward_and_backward(
                multi_level_roi_align(maps, boxes, BINS, STRIDES, SAMPLES), maps
            ),
            "torchvision",
            lambda: forward_and_backward(theirs(named, [boxes[0]], [PYRAMID_IMAGE]), plain),
        ),
        (
            "precise RoI pooling forward and backward, with the boxes' gradient, "
            f"{sizes}, stride 16",
            lambda: forward_and_backward(
                prroi_pool(maps[2], moving, BINS, 1 / 16), [maps[2], moving]
            ),
            "torchvision's RoIAlign, one sample a cell",
            lambda: forward_and_backward(
                ops.roi_align(plain[2], rois, BINS, 1 / 16, 0), [plain[2]]
            ),
        ),
    ]


def pyramid_map(stride: int, generator: torch.Generator) -> Tensor:
    """A random feature map of one level, channels last."""
    height, width = (side // stride for side in PYRAMID_IMAGE)
    features = torch.randn(1, PYRAMID_CHANNELS, height, width, generator=generator)
    return features.contiguous(memory_format=torch.channels_last)


def roi_align_pair(
    run: Run, size: tuple[int, int], generator: torch.Generator, device: torch.device
) -> Pair:
    """RoIAlign on one map, with the RoIs of a training step of ``run``."""
    height, width = (math.ceil(side / 16) for side in size)
    features = torch.randn(1, 512, height, width, generator=generator).to(device).requires_grad_()
    count, bins = run.model.roi.rois_per_image, run.model.roi.pool_size
    boxes = random_boxes(count, size, generator)
    rois = torch.cat([torch.zeros(count, 1), boxes], dim=1).to(device)

    def ours() -> object:
        pooled = roi_align(features, rois, bins, 1 / 16, 2)
        return torch.autograd.grad(pooled.sum(), features)

    def theirs() -> object:
        pooled = ops.roi_align(features, rois, bins, 1 / 16, 2)
        return torch.autograd.grad(pooled.sum(), features)

    title = f"RoIAlign forward and backward, {count} RoIs on {tuple(features.shape)}"
    return title, ours, "torchvision", theirs


def crowd_pair(
    boxes: int,
    classes: int,
    size: tuple[int, int],
    generator: torch.Generator,
    device: torch.device,
) -> Pair:
    """The worst-case post-processing: every box is a candidate of every class."""
    config = PostprocessConfig(suppression="soft_gaussian", sigma_t=0.02)
    crowd = dense_candidates(rois=boxes, num_classes=classes, size=size, generator=generator)
    candidates = crowd.to(device)
    return (
        f"soft-NMS and voting, {boxes} boxes x {classes} classes",
        lambda: postprocess(candidates, config),
        "numpy loop",
        lambda: loop_soft_nms_and_vote(candidates, config),
    )


def time_operations(run: Run, repeats: int, device: torch.device) -> list[dict[str, Any]]:
    """Times our operations and those of others in turn, in the sizes of ``run``, and prints them.

    Returns:
        one record for each operation.
    """
    size = largest_size(run.data)
    generator = torch.Generator().manual_seed(2)
    pairs = [roi_align_pair(run, size, generator, device), *pyramid_pairs(generator, device)]
    for boxes, classes in CROWDS:
        pairs.append(crowd_pair(boxes, classes, size, generator, device))
    records = []
    for name, ours, other, theirs in pairs:
        mine, others = interleaved([ours, theirs], repeats, device)
        speedup = others.median / mine.median
        print(
            f"{name}: ours {mine} ms, {other} {others} ms, {speedup:.2f} times as fast", flush=True
        )
        record = {"operation": name, "ours_ms": asdict(mine), "other": other}
        records.append({**record, "other_ms": asdict(others), "speedup": speedup})
    return records
