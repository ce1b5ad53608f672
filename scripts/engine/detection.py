"""Detects in image files with the network of a checkpoint."""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

import torch
from torch import Tensor

from data.errors import DataError
from data.images import read_image
from data.records import Batch, Detections
from data.transforms import pad, to_network
from experiments.records import Run
from models.build import build_detector
from models.detector import Detector
from postprocess.pipeline import PostprocessConfig, Suppression, postprocess
from scripts.engine.checkpoint import checkpoint_of, load_checkpoint
from scripts.engine.detection_files import (
    detections_as_lines,
    find_images,
    json_text,
    overlay_file,
)
from scripts.engine.drawing import overlay
from scripts.engine.environment import pick_device
from scripts.engine.files import write_atomically
from scripts.engine.numbers import not_negative, share
from scripts.engine.saved_record import saved_record

SIGMA_T = 0.02  # KL Loss section 4
SKIPPED = 1  # exit code: some images could not be read


@dataclass(frozen=True, kw_only=True)
class DetectOptions:
    """The options of scripts.detect.

    checkpoint: of the network, or the folder of a run. images: files, or folders of them. out: the
    folder of the results. device: "auto", "cpu" or "cuda". least_score: of a detection that is
    reported. sigma_t: the temperature of variance voting; None: SIGMA_T if the network predicts log
    variances, else 0.
    suppression: its kind. nms_iou: its threshold; None: the run's.
    """

    checkpoint: Path
    images: Sequence[Path]
    out: Path
    device: str = "auto"
    least_score: float = 0.5
    sigma_t: float | None = None
    suppression: Suppression = "hard"
    nms_iou: float | None = None


@dataclass(frozen=True, kw_only=True)
class LoadedDetector:
    """The network of a checkpoint, the run that it is of, its class names, and its updates."""

    detector: Detector
    run: Run
    classes: list[str]
    updates: int


def detect_in_files(options: DetectOptions) -> int:
    """Writes detections.json and one overlay for each image; returns the exit code, 0 or SKIPPED.

    Raises:
        ValueError: if nothing can be done.
    """
    device = pick_device(options.device)
    loaded = load_detector(checkpoint_of(options.checkpoint), device)
    config = choose_postprocess(
        loaded.run, options.sigma_t, options.suppression, nms_iou=options.nms_iou
    )
    paths = find_images(options.images, options.out)
    options.out.mkdir(parents=True, exist_ok=True)
    results: dict[str, list[dict[str, Any]]] = {}
    drawn: set[Path] = set()
    for path in paths:
        try:
            image = read_image(path)
        except DataError as error:
            print(f"skipped: {error}", file=sys.stderr)
            continue
        detections = detect(loaded, image, str(path), config, device)
        size = (image.shape[-2], image.shape[-1])
        lines = detections_as_lines(detections, loaded.classes, options.least_score, size)
        results[str(path)] = lines
        overlay(image, lines).save(overlay_file(options.out, path, drawn))
    if not results:
        raise ValueError(f"None of the {len(paths)} images could be read; nothing was written.")
    write_atomically(options.out / "detections.json", json_text(results))
    print(
        f"{sum(map(len, results.values()))} detections in {len(results)} of {len(paths)} images; "
        f"{options.out / 'detections.json'}"
    )
    return 0 if len(results) == len(paths) else SKIPPED


def load_detector(path: Path, device: torch.device) -> LoadedDetector:
    """The trained network of a checkpoint on ``device``.

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
        detector=detector, run=run, classes=state["classes"], updates=state["step"]
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
    image: Tensor,
    name: str,
    config: PostprocessConfig,
    device: torch.device,
) -> Detections:
    """The detections of one image, on the CPU, in its own px, with masks if there is a mask head.

    Args:
        loaded: the network.
        image: (3, H, W) uint8, RGB.
        name: of the image, for errors.
        config: the post-processing.
        device: where the network is.
    """
    data, detector = loaded.run.data, loaded.detector
    resized, _ = to_network(
        image, None, short_side=data.short_side, long_side=data.long_side, pixels=data.pixels
    )
    batch = Batch(
        images=pad([resized], data.size_divisor),
        image_sizes=((resized.shape[-2], resized.shape[-1]),),
        original_sizes=((image.shape[-2], image.shape[-1]),),
        image_ids=(name,),
    ).to(device)
    features = detector.features(batch)
    candidates = detector.candidates(batch, config.score_threshold, features)[0]
    detections = postprocess(candidates, config)
    if detector.mask is not None:
        detections = detector.mask.masks(features, batch, [detections])[0]
    return detections.to("cpu")
