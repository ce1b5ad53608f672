"""What one training step costs at full size: floating-point operations for one image of a run."""

import math
from dataclasses import replace
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

from data.records import Batch
from experiments.records import Run
from models.build import build_detector
from scripts.engine.synthetic import batch_for, shrink_residual_branches
from scripts.engine.update.update import weighted_sum
from scripts.engine.weights.start import freeze_for_training

WIDTH_TO_HEIGHT = 4 / 3  # of most photos of COCO and VOC
OBJECTS = 128  # so that as many RoIs are foreground as the recipes allow


def same_cost(run: Run) -> tuple[Any, ...]:
    """What two runs must share to cost the same for each image.

    The coding of boxes, their loss and the layer of log variances do not count: that layer is below
    0.2 % of the operations.
    """
    model, data = run.model, run.data
    return (
        model.num_classes,
        model.backbone,
        replace(model.roi, box_coding="center_size", box_loss="smooth_l1", log_variance=False),
        model.rpn.kind == "saved",
        model.rpn.channels,
        model.mask,
        model.iou,
        data.short_side,
        data.train_short_sides,
        run.train.trainable_part,
    )


def typical_size(run: Run) -> tuple[int, int]:
    """(height, width) px of a 4:3 photo in training; with several short sides, of their root mean
    square, to which the operations are proportional.
    """
    sides = run.data.train_short_sides or (run.data.short_side,)
    height = math.sqrt(sum(side**2 for side in sides) / len(sides))
    return round(height), round(height * WIDTH_TO_HEIGHT)


def typical_image(run: Run) -> Batch:
    """One picture of noise of ``typical_size`` with many objects, and what else the run needs."""
    return batch_for(run, images=1, size=typical_size(run), boxes=OBJECTS)


def step_flops(run: Run) -> int:
    """The operations of one forward and backward pass on one image: two for a multiplication and
    addition, as ``torch.utils.flop_counter`` counts convolutions and matrix products.

    Frozen layers have no gradients, and what is before them no backward pass. Pooling, norms and
    suppression do not count.

    Args:
        run: at full size; its network gets random weights.
    """
    torch.manual_seed(0)
    detector = build_detector(run.model)
    shrink_residual_branches(detector)
    freeze_for_training(detector, run, pretrained=run.start != "scratch")
    batch = typical_image(run)
    detector.train()
    with FlopCounterMode(display=False) as counter:
        weighted_sum(detector.losses(batch), run.train.roi_loss_weight).backward()
    return int(counter.get_total_flops())
