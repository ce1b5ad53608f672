"""Candidates -> Detections: score threshold, suppression in each class, the best D per image,
variance or box voting.

Letters: N images, T rows (candidates above the score threshold, of all images), M candidates, D
detections. KL Loss section 3.3, Algorithm 1, and the methods that its tables compare with.

All of it runs on the host: a hundred short steps, each of which depends on the one before. From a
GPU the candidates are copied once, and the detections once back.
"""

from collections.abc import Sequence
from dataclasses import fields, replace
from typing import Any, NamedTuple, overload

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from data.records import Candidates, Detections
from postprocess.arrays import Floats, Indices
from postprocess.best_first import SelectedPlaces, decay_and_floor, select_best
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
    """Detections of all images, by image and then best first: rows (D,), boxes (D, 4) px, scores
    (D,).
    """

    rows: Indices
    boxes: Floats
    scores: Floats


def suppress_and_vote(candidates: Sequence[Candidates], config: PostprocessConfig) -> SelectedRows:
    """Algorithm 1 in each class of each image, then the best ``max_detections`` of each image.

    Args:
        candidates: of each image, on the host. ``variances`` are those that vote. Rows are numbered
            through all images.
        config: see PostprocessConfig.
    """
    scores = column([image.scores.float() for image in candidates])
    above = np.flatnonzero(scores > config.score_threshold)
    corners = column([image.boxes.float() for image in candidates])[above]
    if len(above) == 0:
        return SelectedRows(above, corners, scores[above])
    scores = scores[above]
    images = np.repeat(np.arange(len(candidates)), [len(one.scores) for one in candidates])[above]
    labels = column([image.labels for image in candidates])[above]
    keys = images * (int(labels.max()) + 1) + labels  # int(): a maximum of 255 as uint8 overflows
    overlaps = Overlaps(slices=slice_classes(corners, keys))
    order = overlaps.slices.order
    if config.box_voting is None and config.suppression in ("hard", "soft_linear", "soft_gaussian"):
        selected = suppress(overlaps, scores, images, config)
        boxes = corners[order[selected.place]]
    else:
        part = joined(candidates, config).select(torch.from_numpy(above))
        selected, boxes = compared_best(
            part, torch.from_numpy(keys), torch.from_numpy(images), order, config
        )
    if config.sigma_t > 0:
        variances = column([v.float() for one in candidates if (v := one.variances) is not None])
        boxes = vote_on(variances[above], overlaps, selected, config)
    return SelectedRows(above[order[selected.place]], boxes, selected.scores.astype(np.float32))


def column(parts: Sequence[Tensor]) -> NDArray[Any]:
    """One column of all images, each (M, ...), as one array."""
    return parts[0].numpy() if len(parts) == 1 else np.concatenate([part.numpy() for part in parts])


def suppress(
    overlaps: Overlaps, scores: Floats, images: Indices, config: PostprocessConfig
) -> SelectedPlaces:
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
    variances: Floats, overlaps: Overlaps, selected: SelectedPlaces, config: PostprocessConfig
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
        ValueError: shapes do not fit together, a number is not finite, or what the vote or the
            suppression needs is missing; see ``check_candidates``.
    """
    same = torch.zeros_like(scores, dtype=torch.int64)
    candidates = Candidates(
        boxes=boxes, scores=scores, labels=same, variances=variances, localization=localization
    )
    host = on_host([candidates])
    check_candidates("postprocess_class", host[0], config)
    rows, voted, decayed = suppress_and_vote(host, config)
    found = (torch.from_numpy(part).to(boxes.device) for part in (voted, decayed, rows))
    return tuple(found)  # type: ignore[return-value]


def joined(candidates: Sequence[Candidates], config: PostprocessConfig) -> Candidates:
    """The candidates of all images as one float32 record, without what ``config`` ignores."""
    unused = {"pixel_variances", "probabilities", "variances"}
    unused |= {"localization"} if config.suppression != "iou_guided" else set()
    used = [f.name for f in fields(Candidates) if f.name not in unused]
    columns = {name: torch.cat([getattr(image, name) for image in candidates]) for name in used}
    return Candidates(**{name: x if name == "labels" else x.float() for name, x in columns.items()})


def on_host(candidates: Sequence[Candidates]) -> list[Candidates]:
    """The candidates on the host; a GPU is waited for once, whatever their number."""
    device = candidates[0].boxes.device
    if device.type == "cpu":
        return list(candidates)
    copies = [
        replace(
            image,
            **{
                part.name: value.to("cpu", non_blocking=True)
                for part in fields(Candidates)
                if (value := getattr(image, part.name)) is not None
            },
        )
        for image in candidates
    ]
    if device.type == "cuda":
        torch.cuda.current_stream(device).synchronize()
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
    selected = suppress_and_vote(voting, config)
    ends = np.cumsum([len(image.scores) for image in host])
    bounds = ends.searchsorted(selected.rows, side="right").searchsorted(np.arange(len(host) + 1))
    detections = []
    for index, image in enumerate(host):
        own = slice(bounds[index], bounds[index + 1])
        rows = selected.rows[own] - (ends[index] - len(image.scores))
        detections.append(_detections(image, rows, selected.boxes[own], selected.scores[own]))
    device = candidates[0].boxes.device
    return detections if device.type == "cpu" else [image.to(device) for image in detections]


def _detections(image: Candidates, rows: Indices, boxes: Floats, scores: Floats) -> Detections:
    """The record of one image: the candidates ``rows`` (D,) at their new boxes (D, 4) with their
    new scores (D,).
    """
    sigma, probabilities = image.pixel_variances, image.probabilities
    chosen = torch.from_numpy(rows)
    return Detections(
        boxes=torch.from_numpy(boxes),
        scores=torch.from_numpy(scores),
        labels=image.labels[chosen],
        sigma=None if sigma is None else torch.from_numpy(np.sqrt(sigma.numpy()[rows])),
        probabilities=None if probabilities is None else probabilities[chosen],
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
        ValueError: shapes do not fit together, a number is not finite, a label is negative, or what
            the vote or the suppression needs is missing; see ``check_candidates``.

    Law: the detections of an image do not depend on the other images.
    """
    if isinstance(candidates, Candidates):
        return postprocess_images([candidates], config)[0]
    return postprocess_images(candidates, config)
