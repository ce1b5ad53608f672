"""COCO scoring beside pycocotools, over growing numbers of images."""

from collections.abc import Iterator
from functools import partial

import torch

from data.records import Detections, Target
from data.scoring.coco import evaluate_coco
from data.scoring.coco_evaluators import evaluator_with_version
from scripts.engine.speed.work import Work
from scripts.engine.synthetic import around, random_boxes, uniform

IMAGES, DETECTIONS, OBJECTS = (64, 576), 100, 8  # detections and objects of each image
CLASSES, SIZE = 80, (480, 640)


def scoring(device: torch.device) -> Iterator[Work]:
    """``evaluate_coco`` as it runs by default, and with pycocotools; 576 images have 57,600
    detections.
    """
    ours = evaluator_with_version()
    for images in IMAGES:
        detections, targets = crowd(images)
        yield Work(
            part="scoring",
            name=f"COCO's AP and AR of {DETECTIONS} detections an image, {ours}",
            grows="images",
            size=images,
            ours=partial(evaluate_coco, detections, targets, CLASSES),
            peer_name="pycocotools",
            peer=partial(evaluate_coco, detections, targets, CLASSES, evaluator="pycocotools"),
        )


def crowd(images: int) -> tuple[list[Detections], list[Target]]:
    """Random objects, and detections of which half are near one."""
    generator = torch.Generator().manual_seed(3)
    detections, targets = [], []
    for _ in range(images):
        objects = random_boxes(OBJECTS, SIZE, generator)
        labels = torch.randint(1, CLASSES + 1, (OBJECTS,), generator=generator)
        near = torch.randint(OBJECTS, (DETECTIONS // 2,), generator=generator)
        others = DETECTIONS - len(near)
        far = torch.randint(1, CLASSES + 1, (others,), generator=generator)
        boxes = [
            around(objects[near], 0.1, SIZE, generator),
            random_boxes(others, SIZE, generator),
        ]
        detections.append(
            Detections(
                boxes=torch.cat(boxes),
                scores=uniform((DETECTIONS,), 0.0, 1.0, generator),
                labels=torch.cat([labels[near], far]),
            )
        )
        targets.append(Target(boxes=objects, labels=labels))
    return detections, targets
