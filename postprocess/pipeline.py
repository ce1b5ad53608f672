"""Candidates -> Detections: score threshold, suppression in each class, the best D per image,
variance or box voting.

Letters: N images, T rows (candidates above the score threshold, of all images), M candidates, D
detections. KL Loss section 3.3, Algorithm 1, and the methods that its tables compare with. All
classes of all images advance together.
"""

from collections.abc import Sequence
from dataclasses import fields, replace
from functools import partial
from itertools import accumulate
from typing import NamedTuple, overload

import torch
from torch import Tensor

from data.records import Candidates, Detections
from postprocess.box_voting import vote_boxes, vote_scores
from postprocess.checks import check_candidates
from postprocess.config import AUTHOR_RELEASE as AUTHOR_RELEASE
from postprocess.config import PostprocessConfig
from postprocess.config import Suppression as Suppression
from postprocess.groups import Groups, group_rows
from postprocess.iou_nms import iou_guided
from postprocess.qubo import AUTHORS_GREEDY, AUTHORS_TABU, greedy, qubo_select, tabu_search
from postprocess.suppression import (
    REMOVED,
    Decay,
    Selection,
    gaussian_decay,
    hard_decay,
    linear_decay,
    select,
)
from postprocess.variance_voting import all_voters, remaining_voters, vote_selected


class SelectedRows(NamedTuple):
    """Detections of all images, by image and then best first: rows (D,) i64, boxes (D, 4), scores
    (D,).
    """

    rows: Tensor
    boxes: Tensor
    scores: Tensor


def decay_and_floor(config: PostprocessConfig) -> tuple[Decay, float]:
    """The decay function and the score floor that ``config.suppression`` names."""
    if config.suppression == "hard":
        return partial(hard_decay, threshold=config.iou_threshold), -torch.inf
    if config.suppression == "soft_linear":
        return partial(linear_decay, threshold=config.iou_threshold), config.score_floor
    return partial(gaussian_decay, sigma=config.soft_nms_sigma), config.score_floor


def suppress(candidates: Candidates, groups: Groups, config: PostprocessConfig) -> Selection:
    """The method that ``config.suppression`` names, in each group."""
    boxes, scores = candidates.boxes[groups.members], candidates.scores[groups.members]
    if config.suppression == "iou_guided":
        assert candidates.localization is not None
        localization = candidates.localization[groups.members]
        return iou_guided(boxes, scores, localization, groups.valid, threshold=config.iou_threshold)
    if config.suppression == "qubo_greedy":
        return qubo_select(
            boxes, scores, groups.valid, qubo=config.qubo or AUTHORS_GREEDY, search=greedy
        )
    if config.suppression == "qubo_tabu":
        qubo = config.qubo or AUTHORS_TABU
        search = tabu_search(
            scores.shape[1], torch.Generator().manual_seed(qubo.seed), scores.device
        )
        return qubo_select(boxes, scores, groups.valid, qubo=qubo, search=search)
    decay, floor = decay_and_floor(config)
    # A vote may raise the score of a box that would come too late otherwise.
    rescored = config.box_voting is not None and config.box_voting.scoring != "ID"
    steps = scores.shape[1] if rescored else config.max_detections
    return select(boxes, scores, groups.valid, decay=decay, floor=floor, max_steps=steps)


def vote_on(
    candidates: Candidates,
    groups: Groups,
    selection: Selection,
    group: Tensor,
    step: Tensor,
    config: PostprocessConfig,
) -> Tensor:
    """Boxes (D, 4) px, after the vote if there is one, of those selected in ``step`` (D,) of
    ``group`` (D,).
    """
    slot = selection.slots[group, step]
    if config.box_voting is not None:
        return vote_boxes(
            candidates.boxes,
            candidates.scores,
            groups,
            group=group,
            slot=slot,
            voting=config.box_voting,
        )
    if config.sigma_t == 0:
        return candidates.boxes[groups.members[group, slot]]
    assert candidates.variances is not None
    return vote_selected(
        candidates.boxes,
        candidates.variances[:, [0, 2, 1, 3]] if config.swap_y1_x2 else candidates.variances,
        groups,
        selection.exit_step,
        group=group,
        slot=slot,
        step=step,
        sigma_t=config.sigma_t,
        voter_iou=config.voter_iou,
        may_vote=all_voters if config.voters == "all" else remaining_voters,
    )


def best_of_each_image(
    selection: Selection, groups: Groups, images: Tensor, max_detections: int
) -> tuple[Tensor, Tensor]:
    """(group, step), each (D,), of the ``max_detections`` best selected boxes of every image.

    Sorted by image, then by score, best first, then by row: of equal scores the earlier candidate
    comes first.
    """
    group, step = (selection.scores > REMOVED).nonzero(as_tuple=True)
    row = groups.members[group, selection.slots[group, step]]
    image, score = images[row], selection.scores[group, step]
    order = row.argsort()
    order = order[score[order].argsort(descending=True, stable=True)]
    order = order[image[order].argsort(stable=True)]
    _, per_image = image[order].unique_consecutive(return_counts=True)
    first = (per_image.cumsum(0) - per_image).repeat_interleave(per_image)
    rank = torch.arange(len(order), device=order.device) - first
    order = order[rank < max_detections]
    return group[order], step[order]


def suppress_and_vote(
    candidates: Candidates, images: Tensor, config: PostprocessConfig
) -> SelectedRows:
    """Algorithm 1 in each class of each image, then the best ``max_detections`` of each image.

    Args:
        candidates: of all images, one after the other; float32. ``variances`` are those that vote.
        images: (M,) i64, ascending.
        config: see PostprocessConfig.
    """
    above = (candidates.scores > config.score_threshold).nonzero()[:, 0]
    candidates, images = candidates.select(above), images[above]
    if len(above) == 0:
        return SelectedRows(above, candidates.boxes, candidates.scores)
    groups = group_rows(images * (candidates.labels.max() + 1) + candidates.labels)
    selection = suppress(candidates, groups, config)
    if config.box_voting is not None:
        selection = vote_scores(
            selection, candidates.boxes, candidates.scores, groups, voting=config.box_voting
        )
    group, step = best_of_each_image(selection, groups, images, config.max_detections)
    rows = groups.members[group, selection.slots[group, step]]
    boxes = vote_on(candidates, groups, selection, group, step, config)
    return SelectedRows(above[rows], boxes, selection.scores[group, step])


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
    check_candidates("postprocess_class", candidates, config)
    selected = suppress_and_vote(_floats([candidates], config), same, config)
    return selected.boxes, selected.scores, selected.rows


def _floats(candidates: Sequence[Candidates], config: PostprocessConfig) -> Candidates:
    """The candidates of all images as one float32 record, without what ``config`` ignores."""
    unused = {"pixel_variances", "probabilities"}
    unused |= {"variances"} if config.sigma_t == 0 else set()
    unused |= {"localization"} if config.suppression != "iou_guided" else set()
    used = [f.name for f in fields(Candidates) if f.name not in unused]
    columns = {name: torch.cat([getattr(image, name) for image in candidates]) for name in used}
    return Candidates(**{name: x if name == "labels" else x.float() for name, x in columns.items()})


def postprocess_images(
    candidates: Sequence[Candidates], config: PostprocessConfig
) -> list[Detections]:
    """``postprocess`` for several images."""
    voting = list(candidates)
    if config.variance_space == "pixel":
        voting = [
            replace(c, variances=c.pixel_variances, pixel_variances=c.variances) for c in candidates
        ]
    for index, image in enumerate(voting):
        check_candidates(f"postprocess, image {index}", image, config)
    if not candidates:
        return []
    images = torch.cat(
        [torch.full_like(image.labels, index) for index, image in enumerate(candidates)]
    )
    selected = suppress_and_vote(_floats(voting, config), images, config)
    counts = torch.bincount(images[selected.rows], minlength=len(candidates)).tolist()
    firsts = accumulate([0] + [len(image.scores) for image in candidates])
    per_image = zip(candidates, firsts, *(part.split(counts) for part in selected), strict=False)
    return [
        _detections(image, rows - first, boxes, scores)
        for image, first, rows, boxes, scores in per_image
    ]


def _detections(image: Candidates, rows: Tensor, boxes: Tensor, scores: Tensor) -> Detections:
    """The record of one image: the candidates ``rows`` (D,) at their new boxes (D, 4) with their
    new scores (D,).
    """
    sigma = None if image.pixel_variances is None else image.pixel_variances[rows].sqrt()
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
