"""The network of a checkpoint, its post-processing, and its detections in images."""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

import torch
from torch import Tensor

from data.records import Batch, Detections
from data.transforms import pad, to_network
from experiments.records import Run
from models.build import build_detector
from models.detector import Detector
from postprocess.pipeline import PostprocessConfig, Suppression, postprocess
from scripts.engine.numbers import not_negative, share
from scripts.engine.run_folder.checkpoint import load_checkpoint
from scripts.engine.run_folder.recalibration import Recalibration, read_recalibration, recalibrated
from scripts.engine.saved_record import saved_record

SIGMA_T = 0.02  # KL Loss section 4
BATCH = 8  # images at once


@dataclass(frozen=True, kw_only=True)
class LoadedDetector:
    """The network of a checkpoint, the run that it is of, its class names, its updates, and the
    factors of its sigmas if it was recalibrated.
    """

    detector: Detector
    run: Run
    classes: list[str]
    updates: int
    recalibration: Recalibration | None = None


def load_detector(path: Path, device: torch.device, *, with_factors: bool = True) -> LoadedDetector:
    """The trained network of a checkpoint on ``device``.

    Args:
        path: of the checkpoint.
        device: where the network goes.
        with_factors: whether it has the factors of its sigmas, if the checkpoint has some.

    Raises:
        ValueError: if the network needs more than images, or gives no boxes of classes.
    """
    state = load_checkpoint(path)
    run = saved_record(Run, state["run"], path)
    if run.model.roi.head == "none":
        raise ValueError(
            f"The checkpoint {path} is of a region proposal network alone, whose boxes have no "
            "classes; give the one of a detector."
        )
    if run.model.rpn.kind == "saved":
        raise ValueError(
            f"The checkpoint {path} is of a Fast R-CNN, which has no proposals for new images; "
            "give the one of a detector with a region proposal network."
        )
    detector = build_detector(run.model)
    detector.load_state_dict(state["model"])
    detector = detector.to(device).eval().requires_grad_(False)
    return LoadedDetector(
        detector=detector,
        run=run,
        classes=state["classes"],
        updates=state["step"],
        recalibration=read_recalibration(state, path) if with_factors else None,
    )


def add_postprocess_options(parser: argparse._ActionsContainer) -> None:
    """The options that change the post-processing of a network: --nms-iou, --sigma-t,
    --suppression.
    """
    parser.add_argument(
        "--nms-iou",
        type=share,
        default=None,
        metavar="IOU",
        help="NMS removes a box that overlaps a better one by more (default: the run's)",
    )
    parser.add_argument(
        "--sigma-t",
        type=not_negative,
        default=None,
        help=f"temperature of var voting, 0 for none (default: {SIGMA_T:g} if the network "
        "predicts log variances, else 0)",
    )
    parser.add_argument("--suppression", choices=get_args(Suppression), default="hard")


def choose_postprocess(
    run: Run,
    sigma_t: float | None = None,
    suppression: Suppression = "hard",
    *,
    nms_iou: float | None = None,
) -> PostprocessConfig:
    """NMS at the threshold of the network's tables, with variance voting if it can.

    The least score is not part of it: boxes with lower scores still take part in suppression and
    voting.

    Args:
        run: the network's.
        sigma_t: temperature of variance voting; None: SIGMA_T if the network predicts log
            variances, else 0.
        suppression: its kind.
        nms_iou: its threshold; None: the run's.

    Raises:
        ValueError: a value is not possible, or the network predicts no log variances to vote with.
    """
    if sigma_t is None:
        sigma_t = SIGMA_T if run.model.roi.log_variance else 0.0
    if sigma_t > 0 and not run.model.roi.log_variance:
        raise ValueError(
            f"--sigma-t {sigma_t:g}: this network predicts no log variances to vote with; leave "
            "the option out, or give a checkpoint of a run whose name ends in _kl."
        )
    threshold = run.nms_iou if nms_iou is None else nms_iou
    return PostprocessConfig(suppression=suppression, iou_threshold=threshold, sigma_t=sigma_t)


def detect(
    loaded: LoadedDetector,
    images: Sequence[Tensor],
    names: Sequence[str],
    config: PostprocessConfig,
    device: torch.device,
    *,
    with_probabilities: bool = False,
) -> list[Detections]:
    """The detections of each image, on the CPU, in its own px, with masks if there is a mask head.

    Images of one size in the network go through it together, BATCH at once, so that none is padded
    to the size of another and each has the detections that it has alone.

    Args:
        loaded: the network.
        images: each (3, H, W) uint8, RGB.
        names: of the images, for errors.
        config: the post-processing.
        device: where the network is.
        with_probabilities: whether detections have those of all classes.
    """
    data = loaded.run.data
    resized = [
        to_network(
            image, None, short_side=data.short_side, long_side=data.long_side, pixels=data.pixels
        )[0]
        for image in images
    ]
    of_size: dict[tuple[int, int], list[int]] = {}
    for index, image in enumerate(resized):
        of_size.setdefault(size_of(image), []).append(index)
    found: dict[int, Detections] = {}
    for indices in of_size.values():
        for start in range(0, len(indices), BATCH):
            chosen = indices[start : start + BATCH]
            batch = Batch(
                images=pad([resized[i] for i in chosen], data.size_divisor),
                image_sizes=tuple(size_of(resized[i]) for i in chosen),
                original_sizes=tuple(size_of(images[i]) for i in chosen),
                image_ids=tuple(names[i] for i in chosen),
            ).to(device)
            detections = detect_batch(loaded, batch, config, with_probabilities=with_probabilities)
            found |= dict(zip(chosen, detections, strict=True))
    return [found[index] for index in range(len(images))]


def detect_batch(
    loaded: LoadedDetector,
    batch: Batch,
    config: PostprocessConfig,
    *,
    with_probabilities: bool = False,
) -> list[Detections]:
    """The detections of each image of a batch; see ``detect``."""
    detector = loaded.detector
    features = detector.features(batch)
    candidates = detector.candidates(
        batch, config.score_threshold, features, with_probabilities=with_probabilities
    )
    detections = [postprocess(image, config) for image in candidates]
    if detector.mask is not None:
        detections = detector.mask.masks(features, batch, detections)
    return [recalibrated(image.to("cpu"), loaded.recalibration) for image in detections]


def size_of(image: Tensor) -> tuple[int, int]:
    """(height, width) px of an image (3, H, W)."""
    return image.shape[-2], image.shape[-1]
