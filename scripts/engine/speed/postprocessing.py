"""Suppression and voting: candidates of one class, of many classes, of several images, of a photo.

The peer of soft-NMS is the loop as the released code writes it; that of NMS is torchvision's
batched_nms, which does not vote.
"""

from collections.abc import Iterator
from dataclasses import replace

import torch
from torchvision import ops

from data.records import Candidates
from postprocess.config import PostprocessConfig
from postprocess.pipeline import postprocess
from scripts.engine.speed.numpy_loop import loop_soft_nms_and_vote
from scripts.engine.speed.work import Work
from scripts.engine.synthetic import dense_candidates, trained_candidates

PART = "postprocessing"
SIZE = (600, 1000)  # of the image, px
SOFT = PostprocessConfig(suppression="soft_gaussian", sigma_t=0.02)
HARD = replace(SOFT, suppression="hard")
IN_A_CLASS = (10, 30, 100, 300, 1000, 3000, 10_000)
CLASSES, EACH = (1, 5, 20, 80), 100  # candidates of each class
IMAGES = (1, 2, 4, 8)


def postprocessing(device: torch.device) -> Iterator[Work]:
    """All sizes of post-processing."""
    generator = torch.Generator().manual_seed(2)
    for count in IN_A_CLASS:
        crowd = dense_candidates(rois=count, num_classes=1, size=SIZE, generator=generator)
        yield soft("soft-NMS and voting of one class", "candidates", count, crowd.to(device))
    for count in IN_A_CLASS:
        crowd = dense_candidates(rois=count, num_classes=1, size=SIZE, generator=generator)
        yield hard("NMS and voting of one class", "candidates", count, crowd.to(device))
    for classes in CLASSES:
        crowd = dense_candidates(rois=EACH, num_classes=classes, size=SIZE, generator=generator)
        name = f"soft-NMS and voting, {EACH} candidates a class"
        yield soft(name, "classes", classes, crowd.to(device))
    real = trained_candidates(size=SIZE, num_classes=80, generator=generator).to(device)
    count = len(real.scores)
    yield soft("soft-NMS and voting of a photo, 80 classes", "candidates", count, real)
    yield hard("NMS and voting of a photo, 80 classes", "candidates", count, real)
    for images in IMAGES:
        yield soft("soft-NMS and voting of photos", "images", images, *[real] * images)


def soft(name: str, grows: str, size: int, *images: Candidates) -> Work:
    """Soft-NMS with voting of one image, or of several at once."""
    return Work(
        part=PART,
        name=name,
        grows=grows,
        size=size,
        ours=lambda: postprocess(images, SOFT),
        peer_name="NumPy loop",
        peer=lambda: [loop_soft_nms_and_vote(image, SOFT) for image in images],
    )


def hard(name: str, grows: str, size: int, candidates: Candidates) -> Work:
    """Hard NMS with voting of one image."""
    boxes, scores, labels = candidates.boxes, candidates.scores, candidates.labels
    return Work(
        part=PART,
        name=name,
        grows=grows,
        size=size,
        ours=lambda: postprocess(candidates, HARD),
        peer_name="torchvision's batched_nms, no vote",
        peer=lambda: ops.batched_nms(boxes, scores, labels, HARD.iou_threshold),
    )
