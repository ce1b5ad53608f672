"""Of a trained detector everything but its weights, as the record that the runner reads."""

import hashlib
from collections.abc import Mapping

import numpy as np
from torch import Tensor

from data.boxes import BoxCoder, CenterSizeCoder, EdgeCoder
from data.transforms import PIXELS
from models.pooling.pool import ROI_LEVELS
from postprocess.config import PostprocessConfig
from scripts.engine.detection.detection import LoadedDetector, choose_postprocess
from scripts.engine.export.runner.description import (
    Coder,
    Description,
    FirstStage,
    Input,
    Pooling,
    Postprocess,
    SecondStage,
    SigmaFactors,
)

# of the coarsest map: one cell is a size that tracing takes for a constant
LEAST_CELLS = 2
MASKS_STAY = (
    "The mask branch of this Mask R-CNN is not exported: the parts give its boxes, scores and "
    "sigmas, and no masks."
)
IOU_STAYS = (
    "The IoU branch of this IoU-Net is not exported: the parts give its boxes and class scores, "
    "without IoU-guided NMS and without the refinement of boxes."
)


def describe(loaded: LoadedDetector, fixed_size: tuple[int, int] | None) -> Description:
    """The description of a trained detector.

    Args:
        loaded: the detector.
        fixed_size: (height, width) px, the one padded size of the dense part; None: any.

    Raises:
        ValueError: the size is no multiple of what the network pads images to.
    """
    detector = loaded.detector
    left_out = {MASKS_STAY: detector.mask is not None, IOU_STAYS: detector.iou is not None}
    factors = loaded.recalibration
    return Description(
        weights=digest(detector.state_dict()),
        classes=tuple(loaded.classes),
        left_out=tuple(sentence for sentence, true in left_out.items() if true),
        input=input_of(loaded, fixed_size),
        first=first_stage(loaded),
        second=second_stage(loaded),
        postprocess=postprocess_of(choose_postprocess(loaded.run)),
        sigma=None
        if factors is None
        else SigmaFactors(edges=factors.scale.edges, factors=factors.scale.factors),
    )


def input_of(loaded: LoadedDetector, fixed_size: tuple[int, int] | None) -> Input:
    """How an image becomes the input; see ``describe``."""
    data = loaded.run.data
    if fixed_size is not None and any(side % data.size_divisor for side in fixed_size):
        raise ValueError(
            f"--size {fixed_size[0]}x{fixed_size[1]}: this network pads images to multiples of "
            f"{data.size_divisor} px; give such a height and width."
        )
    pixels = PIXELS[data.pixels]
    return Input(
        short_side=data.short_side,
        long_side=data.long_side,
        order=pixels.order,
        mean=pixels.mean,
        std=pixels.std,
        divisor=data.size_divisor,
        fixed_size=fixed_size,
        least_side=LEAST_CELLS * max(strides_of(loaded)),
    )


def strides_of(loaded: LoadedDetector) -> tuple[int, ...]:
    """The px of a cell of each map, fine to coarse."""
    assert loaded.detector.rpn is not None
    return loaded.detector.rpn.anchors.strides


def first_stage(loaded: LoadedDetector) -> FirstStage:
    """The anchors and the numbers of the region proposal network."""
    rpn = loaded.detector.rpn
    assert rpn is not None
    pre_nms, post_nms = rpn.test_counts
    return FirstStage(
        cells=tuple(tuple(map(tuple, level)) for level in rpn.anchors.cell.tolist()),
        strides=strides_of(loaded),
        fit_strides=rpn.anchors.fit_strides,
        coder=coder_of(rpn.coder),
        pre_nms=pre_nms,
        post_nms=post_nms,
        nms_iou=rpn.nms_iou,
        min_size=rpn.min_size,
    )


def second_stage(loaded: LoadedDetector) -> SecondStage:
    """The pooling and the numbers of the second stage."""
    stage, config = loaded.detector.roi, loaded.run.model.roi
    assert stage is not None
    maps = config.head == "rfcn"
    pooling: Pooling = config.pooling
    if maps:
        pooling = "ps_align" if config.rfcn_pooling == "align" else "ps_average"
    return SecondStage(
        head="maps" if maps else "pooled",
        pooling=pooling,
        bins=config.pool_size,
        strides=strides_of(loaded)[:ROI_LEVELS],
        sampling_ratio=config.sampling_ratio,
        aligned=config.aligned or maps,
        canonical_size=config.canonical_size,
        coder=coder_of(stage.coder),
        log_variance=config.log_variance,
        log_variance_limit=config.log_variance_limit,
        num_classes=loaded.run.model.num_classes,
    )


def coder_of(coder: BoxCoder) -> Coder:
    """A box coder as a record."""
    if isinstance(coder, EdgeCoder):
        return Coder(coding="edges", weights=(coder.weight,) * 4, limit=coder.limit)
    assert isinstance(coder, CenterSizeCoder)
    return Coder(
        coding="center_size",
        weights=coder.weights,
        limit=coder.limit,
        minus_one=coder.minus_one,
    )


def postprocess_of(config: PostprocessConfig) -> Postprocess:
    """The post-processing of a network; what only tables compare with is not in the runner."""
    assert config.suppression in ("hard", "soft_linear", "soft_gaussian")
    return Postprocess(
        suppression=config.suppression,
        iou_threshold=config.iou_threshold,
        soft_nms_sigma=config.soft_nms_sigma,
        score_floor=config.score_floor,
        sigma_t=config.sigma_t,
        voters=config.voters,
        voter_iou=config.voter_iou,
        score_threshold=config.score_threshold,
        max_detections=config.max_detections,
    )


def digest(weights: Mapping[str, Tensor]) -> str:
    """A number that two networks share only if all their weights are equal."""
    hashed = hashlib.sha256()
    for name, values in weights.items():
        hashed.update(name.encode())
        hashed.update(np.ascontiguousarray(values.cpu().numpy()).tobytes())
    return hashed.hexdigest()
