"""What happens to detections with the image at hand: IoU-Net's refinement, and masks on the final boxes.

Post-processing is a pure function of candidates; these two are not. One pass over the test images serves all rows of a
network: the features of an image are computed once.
"""

import argparse
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from data.formats.masks import Rle, encode_masks
from data.loader import test_batches
from data.records import Batch, Dataset, Detections
from data.sampler import in_order
from experiments.records import Run
from models.detector import Detector, Features
from postprocess.masks import paste_masks
from postprocess.refine import Refinement, refine
from scripts.engine.places import pick_device
from scripts.engine.trained import trained_detector, trained_run
from scripts.save_proposals import ensure_proposals

BATCH = 4  # images a forward pass


@dataclass(frozen=True, kw_only=True)
class Look:
    """The detections of every test image, and their masks as RLEs if the network has a mask head."""

    detections: list[Detections]
    segments: list[list[Rle]] | None = None


def second_look(run: Run, folder: Path, dataset: Dataset, args: argparse.Namespace,
                asked: Mapping[Hashable, tuple[list[Detections], Refinement | None]]) -> dict[Hashable, Look]:
    """For each key the detections after their refinement, if there is one, with masks if the network makes them.

    Args:
        asked: {key: (detections of all test images in the order of the data set, refinement)}.
    """
    if not run.model.mask and all(refinement is None for _, refinement in asked.values()):
        return {key: Look(detections=found) for key, (found, _) in asked.items()}
    trained = trained_run(run, folder, dataset, args)
    assert trained is not None
    run, _, state = trained
    device = pick_device(args.device)
    detector = trained_detector(run, state, device).requires_grad_(False)
    looks: dict[Hashable, Look] = {key: Look(detections=[], segments=[] if run.model.mask else None) for key in asked}
    indices: list[int] = []
    proposals = ensure_proposals(run, folder, args, dataset, "test")
    for batch in test_batches(dataset, run.data, batch_size=BATCH, workers=args.workers, proposals=proposals):
        batch = batch.to(device)
        features = detector.features(batch)
        for key, (detections, refinement) in asked.items():
            found = [detections[index].to(device) for index in batch.indices]
            if refinement is not None:
                found = [refined(detector, features, batch, i, image, refinement) for i, image in enumerate(found)]
            segments = looks[key].segments
            if segments is not None:
                found = detector.masks(batch, found, features)
                segments += [rles(image, size) for image, size in zip(found, batch.original_sizes, strict=True)]
            looks[key].detections.extend(replace(image, masks=None).to("cpu") for image in found)
        indices += batch.indices
    return {key: Look(detections=in_order(look.detections, indices),
                      segments=None if look.segments is None else in_order(look.segments, indices))
            for key, look in looks.items()}


def refined(detector: Detector, features: Features, batch: Batch, index: int, image: Detections,
            refinement: Refinement) -> Detections:
    """The detections of image ``index``, the best ``most_boxes`` of them at their new places, best score first."""
    best, rest = torch.arange(len(image.scores), device=image.scores.device).split_with_sizes(
        [min(refinement.most_boxes, len(image.scores)), max(0, len(image.scores) - refinement.most_boxes)])
    boxes, iou = refine(image.boxes[best], iou_of(detector, features, batch, index, image.labels[best]), refinement)
    scores = image.scores
    if refinement.multiply_score:
        scores = torch.cat([scores[best] * iou.clamp(0, 1), scores[rest]])
    order = scores.argsort(descending=True, stable=True)
    moved = replace(image, boxes=torch.cat([boxes, image.boxes[rest]]), scores=scores)
    columns = {name: None if value is None else value[order] for name, value in vars(moved).items()}
    return Detections(**columns)  # type: ignore[arg-type]


def iou_of(detector: Detector, features: Features, batch: Batch, index: int, labels: Tensor
           ) -> Callable[[Tensor], Tensor]:
    """The IoU head's view of boxes of image ``index`` and classes ``labels`` (D,), as a function of the boxes alone."""
    return lambda boxes: detector.predicted_iou(features, batch, index, boxes, labels)


def rles(image: Detections, size: tuple[int, int]) -> list[Rle]:
    """The masks of an image's detections, cut at 1/2 and encoded."""
    assert image.masks is not None
    return encode_masks(paste_masks(image.masks, image.boxes, size))
