"""Detects in image files with the network of a checkpoint."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor

from data.config import DataConfig
from data.errors import DataError
from data.images import read_image
from data.records import Batch, Detections
from data.transforms import pad, to_network
from models.build import ModelConfig, build_detector
from models.detector import Detector
from postprocess.pipeline import PostprocessConfig, Suppression, postprocess
from scripts.engine.checkpoint import load_checkpoint
from scripts.engine.detection_files import (
    detections_as_lines,
    find_images,
    json_text,
    overlay_file,
)
from scripts.engine.drawing import overlay
from scripts.engine.environment import pick_device
from scripts.engine.files import write_atomically

NMS_IOU, NMS_IOU_RESNET50 = 0.3, 0.5  # as in the tables: py-faster-rcnn's and Detectron's
SIGMA_T = 0.02  # KL Loss section 4
SKIPPED = 1  # exit code: some images could not be read
Config = TypeVar("Config", ModelConfig, DataConfig)


@dataclass(frozen=True, kw_only=True)
class DetectOptions:
    """The options of scripts.detect.

    checkpoint: of the network. images: files, or folders of them. out: the folder of the results.
    device: "auto", "cpu" or "cuda". least_score: of a detection that is reported. sigma_t: the
    temperature of variance voting; None: SIGMA_T if the network predicts log variances, else 0.
    """

    checkpoint: Path
    images: Sequence[Path]
    out: Path
    device: str = "auto"
    least_score: float = 0.5
    sigma_t: float | None = None
    suppression: Suppression = "hard"


@dataclass(frozen=True, kw_only=True)
class LoadedDetector:
    """The network of a checkpoint, what it is, how it wants its images, and its class names."""

    detector: Detector
    model: ModelConfig
    data: DataConfig
    classes: list[str]


def detect_in_files(options: DetectOptions) -> int:
    """Writes detections.json and one overlay for each image; returns the exit code, 0 or SKIPPED.

    Raises:
        ValueError: if nothing can be done.
    """
    device = pick_device(options.device)
    loaded = load_detector(options.checkpoint, device)
    config = choose_postprocess(loaded.model, options.sigma_t, options.suppression)
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
        overlay(image, lines, loaded.classes).save(overlay_file(options.out, path, drawn))
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
    model = saved_config(ModelConfig, state["run"]["model"], path)
    data = saved_config(DataConfig, state["run"]["data"], path)
    if model.second_stage == "none":
        raise ValueError(
            f"The checkpoint {path} is of a region proposal network alone, whose boxes have no "
            "classes; give the one of a detector."
        )
    if model.region_proposal == "saved":
        raise ValueError(
            f"The checkpoint {path} is of a Fast R-CNN, which has no proposals for new images; "
            "give the one of a detector with a region proposal network."
        )
    detector = build_detector(model)
    detector.load_state_dict(state["model"])
    detector = detector.to(device).eval().requires_grad_(False)
    return LoadedDetector(detector=detector, model=model, data=data, classes=state["classes"])


def saved_config(kind: type[Config], saved: dict[str, Any], path: Path) -> Config:
    """The config record that a checkpoint keeps as plain values, where tuples are lists.

    Raises:
        ValueError: if it has a field that this version of the code does not know.
    """
    unknown = sorted(saved.keys() - {field.name for field in fields(kind)})
    if unknown:
        raise ValueError(
            f"The checkpoint {path} has {kind.__name__} fields that this version does not know "
            f"({', '.join(unknown)}); use the version of the code that trained it."
        )
    values: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value for name, value in saved.items()
    }
    return kind(**values)


def choose_postprocess(
    model: ModelConfig, sigma_t: float | None, suppression: Suppression
) -> PostprocessConfig:
    """NMS at the threshold of the network's tables, with variance voting if it can.

    The least score is not part of it: boxes with lower scores still take part in suppression and
    voting.

    Args:
        model: the network.
        sigma_t: temperature of variance voting; None: SIGMA_T if the network predicts log
            variances, else 0.
        suppression: its kind.

    Raises:
        ValueError: if the network predicts no log variances to vote with.
    """
    if sigma_t is None:
        sigma_t = SIGMA_T if model.log_variance else 0.0
    if sigma_t > 0 and not model.log_variance:
        raise ValueError(
            f"--sigma-t {sigma_t:g}: this network predicts no log variances to vote with; leave "
            "the option out, or give a checkpoint of a run whose name ends in _kl."
        )
    like_detectron = model.pyramid or model.backbone == "resnet50"
    nms_iou = NMS_IOU_RESNET50 if like_detectron else NMS_IOU
    return replace(
        PostprocessConfig(iou_threshold=nms_iou), suppression=suppression, sigma_t=sigma_t
    )


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
    data, detector = loaded.data, loaded.detector
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
    if detector.mask_head is not None:
        detections = detector.masks(batch, [detections], features)[0]
    return detections.to("cpu")
