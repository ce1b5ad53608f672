"""Draws what a network makes of an image: a panel for each stage."""

from collections.abc import Sequence
from typing import Any

import torch
from PIL import Image, ImageDraw
from torch import Tensor
from torchvision.transforms import functional as TF

from data.boxes import box_iou
from data.records import Detections, Target
from scripts.engine.detection.drawing import Color, overlay
from scripts.engine.detection.files import detections_as_lines
from scripts.engine.tensorboard.panels import panels
from scripts.engine.tensorboard.sights import Sight

LEAST_SCORE = 0.3  # of a detection that is drawn
LONGER_SIDE = 576  # px of each panel, whatever the size of the image
RIGHT_IOU = 0.5  # of a proposal that is of use
GREEN, ORANGE, WHITE = (40, 255, 40), (240, 130, 20), (255, 255, 255)


def picture_of_sight(sight: Sight, classes: Sequence[str]) -> Image.Image:
    """The panels of an image: objects, proposals, detections before and after the vote.

    Args:
        sight: of the image.
        classes: the names of the labels 1..K; each has a color.
    """
    image, factor = at_one_size(sight.sample.image)
    target, before, after = sight.sample.target, sight.before, sight.after
    noise = "" if target.sigma_true is None else "; bands: sigma of its labels"
    truth = overlay(image, target_lines(target, classes, factor), classes)
    shown = [(f"ground truth{noise}", truth)]
    hits = int((best_iou(sight.proposals, target.boxes) >= RIGHT_IOU).sum())
    title = f"best {len(sight.proposals)} proposals, {hits} on an object (green)"
    shown.append((title, proposal_picture(image, sight.proposals, target.boxes, factor)))
    if before is not None:
        lines = detection_lines(before, classes, factor)
        shown.append((f"before voting, {drawn_of(before)}", overlay(image, lines, classes)))
    if after is not None:
        title, ground = f"detections, {drawn_of(after)}", image
        if before is not None:
            title = "after voting (white: before it)"
            ground = outlined(image, shown_boxes(before) * factor, WHITE)
        shown.append((title, overlay(ground, detection_lines(after, classes, factor), classes)))
    return panels(shown)


def drawn_of(detections: Detections) -> str:
    """What is drawn of detections, in words."""
    bands = "" if detections.sigma is None else "; bands: one sigma"
    return f"score from {LEAST_SCORE:g}{bands}"


def at_one_size(image: Tensor, longer_side: int = LONGER_SIDE) -> tuple[Tensor, float]:
    """An image (3, H, W) uint8 with ``longer_side`` px at its longer side, and the factor to it."""
    factor = longer_side / max(image.shape[-2:])
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
    """Proposals (P, 4) px, those on an object (G, 4) px in green above the others in orange."""
    hits = best_iou(proposals, gt_boxes) >= RIGHT_IOU
    drawn = outlined(image, proposals[~hits] * factor, ORANGE)
    return picture_of_image(outlined(drawn, proposals[hits] * factor, GREEN, width=2))


def best_iou(boxes: Tensor, gt_boxes: Tensor) -> Tensor:
    """The IoU (P,) of boxes with the object that they overlap most; 0 without objects."""
    if not len(gt_boxes):
        return torch.zeros(len(boxes))
    return box_iou(boxes, gt_boxes).amax(1)


def outlined(image: Tensor, boxes: Tensor, tint: Color, width: int = 1) -> Tensor:
    """An image (3, H, W) uint8 with boxes (n, 4) px."""
    picture = picture_of_image(image)
    pen = ImageDraw.Draw(picture)
    for box in boxes.tolist():
        pen.rectangle(box, outline=tint, width=width)
    return TF.pil_to_tensor(picture)


def picture_of_image(image: Tensor) -> Image.Image:
    """An image (3, H, W) uint8 as a picture."""
    return Image.fromarray(image.permute(1, 2, 0).contiguous().numpy())
