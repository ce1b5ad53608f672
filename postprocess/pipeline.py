"""Candidates -> Detections: score threshold, suppression in each class, the best D per image,
variance or box voting.

Letters: N images, T rows (candidates above the score threshold, of all images), M candidates, D
detections. KL Loss section 3.3, Algorithm 1, and the methods that its tables compare with.

All of it runs on the host: a hundred short steps, each of which depends on the one before. From a
GPU the candidates are copied once, and the detections once back.
"""

from collections.abc import Sequence
from dataclasses import fields, replace
from itertools import accumulate
from typing import NamedTuple, overload

import numpy as np
import torch
from torch import Tensor

from data.records import Candidates, Detections
from postprocess.arrays import Floats, Indices
from postprocess.best_first import Selected, decay_and_floor, select_best
from postprocess.checks import check_candidates
from postprocess.class_slices import slice_classes
from postprocess.compared import compared_best
from postprocess.config import AUTHOR_RELEASE as AUTHOR_RELEASE
from postprocess.config import PostprocessConfig
from postprocess.config import Suppression as Suppression
from postprocess.hard_nms import best_after_nms
from postprocess.overlaps import Overlaps
from postprocess.variance_voting import Leaving, vote_selected


class SelectedRows(NamedTuple):
    """Detections of all images, by image and then best first: rows (D,) i64, boxes (D, 4), scores
    (D,).
    """

    rows: Tensor
    boxes: Tensor
    scores: Tensor


def suppress_and_vote(
    candidates: Candidates, images: Tensor, config: PostprocessConfig
) -> SelectedRows:
    """Algorithm 1 in each class of each image, then the best ``max_detections`` of each image.

    Args:
        candidates: of all images, one after the other; float32, on the host. ``variances`` are
            those that vote.
        images: (M,) i64, ascending.
        config: see PostprocessConfig.
    """
    scores, image_of = candidates.scores.numpy(), images.numpy()
    above = np.flatnonzero(scores > config.score_threshold)
    if len(above) == 0:
        nothing = torch.from_numpy(above)
        return SelectedRows(nothing, candidates.boxes[nothing], candidates.scores[nothing])
    scores, image_of = scores[above], image_of[above]
    labels = candidates.labels.numpy()[above]
    keys = image_of * (labels.max() + 1) + labels
    corners = candidates.boxes.numpy()[above]
    overlaps = Overlaps(slices=slice_classes(corners, keys))
    if config.box_voting is None and config.suppression in ("hard", "soft_linear", "soft_gaussian"):
        selected = suppress(overlaps, scores, image_of, config)
        boxes = corners[overlaps.slices.order[selected.place]]
    else:
        part = candidates.select(torch.from_numpy(above))
        keys_and_images = torch.from_numpy(keys), torch.from_numpy(image_of)
        selected, boxes = compared_best(part, *keys_and_images, overlaps.slices, config)
    if config.sigma_t > 0:
        assert candidates.variances is not None
        boxes = vote_on(candidates.variances.numpy()[above], overlaps, selected, config)
    rows = above[overlaps.slices.order[selected.place]]
    arrays = rows, boxes, selected.scores.astype(np.float32)
    return SelectedRows(*(torch.from_numpy(array) for array in arrays))


def suppress(
    overlaps: Overlaps, scores: Floats, images: Indices, config: PostprocessConfig
) -> Selected:
    """NMS or soft-NMS, as ``config.suppression`` says.

    Args:
        overlaps: of the candidates.
        scores, images: (T,) by row.
        config: see PostprocessConfig.
    """
    slices = overlaps.slices
    by_place = scores[slices.order].astype(np.float64)
    image = images[slices.order[slices.first]]
    exits = config.sigma_t > 0 and config.voters == "remaining"
    if config.suppression == "hard":
        return best_after_nms(
            overlaps,
            by_place,
            image,
            threshold=config.iou_threshold,
            max_detections=config.max_detections,
            exits=exits,
        )
    decay, floor = decay_and_floor(config)
    return select_best(
        overlaps,
        by_place,
        image,
        decay=decay,
        floor=floor,
        max_detections=config.max_detections,
        exits=exits,
    )


def vote_on(
    variances: Floats, overlaps: Overlaps, selected: Selected, config: PostprocessConfig
) -> Floats:
    """Boxes (D, 4) px of the selected ones after the variance vote; variances (T, 4) by row."""
    leaving = None
    if config.voters == "remaining":
        assert selected.exit_step is not None
        leaving = Leaving(selected.exit_step, selected.step)
    return vote_selected(
        overlaps,
        selected.place,
        variances[:, [0, 2, 1, 3]] if config.swap_y1_x2 else variances,
        sigma_t=config.sigma_t,
        voter_iou=config.voter_iou,
        leaving=leaving,
    )


def postprocess_class(
    boxes: Tensor,
    scores: Tensor,
    variances: Tensor | None,
    config: PostprocessConfig,
    localization: Tensor | None = None,
) -> tuple[Tensor, Tensor, Tensor]:
    """Algorithm 1 for one class of one image.

    Args:
        boxes: (M, 4) px.
        scores: (M,) probabilities.
        variances: (M, 4) that vote, in whichever unit; None is fine if ``config.sigma_t`` is 0.
        config: see PostprocessConfig; ``variance_space`` has no effect here.
        localization: (M,) predicted IoU, which ``suppression="iou_guided"`` needs.

    Returns:
        boxes (D, 4) px after voting, scores (D,) after decay, and keep (D,) i64, the row of each,
        in the order of falling scores, which is that of selection in NMS and soft-NMS.

    Raises:
        ValueError: a number is not finite, or if what the vote or the suppression needs is missing.
    """
    same = torch.zeros_like(scores, dtype=torch.int64)
    candidates = Candidates(
        boxes=boxes, scores=scores, labels=same, variances=variances, localization=localization
    )
    host = on_host([candidates])[0]
    check_candidates("postprocess_class", host, config)
    selected = suppress_and_vote(_floats([host], config), same.cpu(), config)
    return (
        selected.boxes.to(boxes.device),
        selected.scores.to(boxes.device),
        selected.rows.to(boxes.device),
    )


def _floats(candidates: Sequence[Candidates], config: PostprocessConfig) -> Candidates:
    """The candidates of all images as one float32 record, without what ``config`` ignores."""
    unused = {"pixel_variances", "probabilities"}
    unused |= {"variances"} if config.sigma_t == 0 else set()
    unused |= {"localization"} if config.suppression != "iou_guided" else set()
    used = [f.name for f in fields(Candidates) if f.name not in unused]
    columns = {name: torch.cat([getattr(image, name) for image in candidates]) for name in used}
    return Candidates(**{name: x if name == "labels" else x.float() for name, x in columns.items()})


def on_host(candidates: Sequence[Candidates]) -> list[Candidates]:
    """The candidates on the host; a GPU is waited for once, whatever their number."""
    copies = [
        replace(
            image,
            **{
                column.name: value.to("cpu", non_blocking=True)
                for column in fields(Candidates)
                if (value := getattr(image, column.name)) is not None
            },
        )
        for image in candidates
    ]
    if candidates[0].boxes.is_cuda:
        torch.cuda.current_stream(candidates[0].boxes.device).synchronize()
    return copies


def postprocess_images(
    candidates: Sequence[Candidates], config: PostprocessConfig
) -> list[Detections]:
    """``postprocess`` for several images."""
    if not candidates:
        return []
    host = voting = on_host(candidates)
    if config.variance_space == "pixel":
        voting = [
            replace(c, variances=c.pixel_variances, pixel_variances=c.variances) for c in host
        ]
    for index, image in enumerate(voting):
        check_candidates(f"postprocess, image {index}", image, config)
    images = torch.cat([torch.full_like(image.labels, index) for index, image in enumerate(voting)])
    selected = suppress_and_vote(_floats(voting, config), images, config)
    counts = torch.bincount(images[selected.rows], minlength=len(candidates)).tolist()
    firsts = accumulate([0] + [len(image.scores) for image in candidates])
    per_image = zip(host, firsts, *(part.split(counts) for part in selected), strict=False)
    detections = [
        _detections(image, rows - first, boxes, scores)
        for image, first, rows, boxes, scores in per_image
    ]
    device = candidates[0].boxes.device
    return detections if device.type == "cpu" else [image.to(device) for image in detections]


def _detections(image: Candidates, rows: Tensor, boxes: Tensor, scores: Tensor) -> Detections:
    """The record of one image: the candidates ``rows`` (D,) at their new boxes (D, 4) with their
    new scores (D,).
    """
    sigma = None
    if image.pixel_variances is not None:
        # torch would split even this short root over its threads
        sigma = torch.from_numpy(np.sqrt(image.pixel_variances[rows].numpy()))
    return Detections(
        boxes=boxes,
        scores=scores,
        labels=image.labels[rows],
        sigma=sigma,
        probabilities=None if image.probabilities is None else image.probabilities[rows],
    )


@overload
def postprocess(candidates: Candidates, config: PostprocessConfig) -> Detections: ...


@overload
def postprocess(
    candidates: Sequence[Candidates], config: PostprocessConfig
) -> list[Detections]: ...


def postprocess(
    candidates: Candidates | Sequence[Candidates], config: PostprocessConfig
) -> Detections | list[Detections]:
    """What a user gets: suppressed, voted, at most ``max_detections`` per image, best score first.

    Args:
        candidates: of one image, or of several images on one device.
        config: see PostprocessConfig.

    Returns:
        Detections, or a list with one per image; sigma is the square root of the selected box's own
        ``pixel_variances``, also after voting.

    Raises:
        ValueError: a number is not finite, or if what the vote or the suppression needs is missing.

    Law: the detections of an image do not depend on the other images.
    """
    if isinstance(candidates, Candidates):
        return postprocess_images([candidates], config)[0]
    return postprocess_images(candidates, config)
