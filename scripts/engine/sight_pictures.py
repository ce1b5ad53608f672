"""Draws what a network makes of an image: a panel for each stage."""

from collections.abc import Sequence
from typing import Any

import torch
from PIL import Image, ImageDraw
from torch import Tensor
from torchvision.transforms import functional as TF

from data.boxes import box_iou
from data.records import Detections, Target
from scripts.engine.detection_files import detections_as_lines
from scripts.engine.drawing import Color, enlarged, overlay
from scripts.engine.panels import panels
from scripts.engine.sights import Sight

LEAST_SCORE = 0.3  # of a detection that is drawn
LARGEST_SIDE = 800  # px: a larger image is reduced before it is drawn on
RIGHT_IOU = 0.5  # of a proposal that is of use
GREEN, ORANGE, WHITE = (60, 230, 60), (255, 140, 0), (255, 255, 255)


def picture_of_sight(sight: Sight, classes: Sequence[str]) -> Image.Image:
    """The panels of an image: objects, proposals, detections before and after the vote.

    Args:
        sight: of the image.
        classes: the names of the labels 1..K; each has a color.
    """
    image, factor = reduced(sight.sample.image)
    target = sight.sample.target
    truth = overlay(image, target_lines(target, classes, factor), classes)
    noise = "" if target.sigma_true is None else ", bands: its labels' own sigma"
    shown = [(f"ground truth{noise}", truth)]
    if sight.proposals is not None:
        hits = int((best_iou(sight.proposals, target.boxes) >= RIGHT_IOU).sum())
        title = f"the best {len(sight.proposals)} proposals: {hits} on an object (green, IoU 0.5)"
        shown.append((title, proposal_picture(image, sight.proposals, target.boxes, factor)))
    after = f"score from {LEAST_SCORE:g}, bands: one sigma"
    if sight.after is not None and sight.after.sigma is None:
        after = f"score from {LEAST_SCORE:g}"
    if sight.before is not None:
        lines = detection_lines(sight.before, classes, factor)
        shown.append((f"before the vote ({after})", overlay(image, lines, classes)))
    if sight.after is not None:
        picture = overlay(image, detection_lines(sight.after, classes, factor), classes)
        title = f"detections ({after})"
        if sight.before is not None:
            title = "after the vote (white: the box before it)"
            outline(picture, shown_boxes(sight.before) * factor, image, WHITE)
        shown.append((title, picture))
    return panels(shown)


def reduced(image: Tensor) -> tuple[Tensor, float]:
    """An image (3, H, W) uint8 with sides of at most LARGEST_SIDE px, and what it was multiplied
    by.
    """
    factor = min(1.0, LARGEST_SIDE / max(image.shape[-2:]))
    if factor == 1:
        return image, 1.0
    size = [max(1, round(side * factor)) for side in image.shape[-2:]]
    return TF.resize(image, size, antialias=True), factor


def target_lines(target: Target, classes: Sequence[str], factor: float) -> list[dict[str, Any]]:
    """The objects as ``overlay`` draws them, with their own sigma where it is known."""
    sigma = target.sigma_true
    return [
        {
            "class": classes[label - 1],
            "score": None,
            "box": (target.boxes[index] * factor).tolist(),
            "sigma": None if sigma is None else (sigma[index] * factor).tolist(),
        }
        for index, label in enumerate(target.labels.tolist())
    ]


def detection_lines(
    detections: Detections, classes: Sequence[str], factor: float
) -> list[dict[str, Any]]:
    """The detections as ``overlay`` draws them, without their masks."""
    sigma = detections.sigma
    scaled = Detections(
        boxes=detections.boxes * factor,
        scores=detections.scores,
        labels=detections.labels,
        sigma=None if sigma is None else sigma * factor,
    )
    return detections_as_lines(scaled, classes, LEAST_SCORE, (0, 0))


def shown_boxes(detections: Detections) -> Tensor:
    """The boxes (D, 4) px of the detections that are drawn."""
    return detections.boxes[detections.scores >= LEAST_SCORE]


def proposal_picture(
    image: Tensor, proposals: Tensor, gt_boxes: Tensor, factor: float
) -> Image.Image:
    """Proposals (P, 4) px, those on an object (G, 4) px in green, the others in orange."""
    picture = enlarged(image)[0].convert("RGB")
    hits = best_iou(proposals, gt_boxes) >= RIGHT_IOU
    outline(picture, proposals[~hits] * factor, image, ORANGE)
    outline(picture, proposals[hits] * factor, image, GREEN)
    return picture


def best_iou(boxes: Tensor, gt_boxes: Tensor) -> Tensor:
    """The IoU (P,) of boxes with the object that they overlap most; 0 without objects."""
    if not len(gt_boxes):
        return torch.zeros(len(boxes))
    return box_iou(boxes, gt_boxes).amax(1)


def outline(picture: Image.Image, boxes: Tensor, image: Tensor, tint: Color) -> None:
    """Draws boxes (n, 4) px of an image (3, H, W) with thin lines onto its enlarged picture."""
    pen = ImageDraw.Draw(picture)
    for box in (boxes * (picture.width / image.shape[-1])).tolist():
        pen.rectangle(box, outline=tint, width=1)
