"""Candidates -> Detections: score threshold, (soft-)NMS in each class, the best D per image, variance voting.

Letters: N images, T rows (candidates above the score threshold, of all images), M candidates, D detections.
KL Loss section 3.3, Algorithm 1. All classes of all images take part in one selection loop.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from itertools import accumulate
from typing import Literal, NamedTuple, get_args, overload

import torch
from torch import Tensor

from data.records import Candidates, Detections
from postprocess.groups import Groups, group_rows
from postprocess.suppression import GONE, Decay, Selection, gaussian_decay, hard_decay, linear_decay, select
from postprocess.variance_voting import all_voters, remaining_voters, vote_selected

Suppression = Literal["hard", "soft_linear", "soft_gaussian"]
VoterSet = Literal["all", "remaining"]
VarianceSpace = Literal["offset", "pixel"]

LARGEST_COORDINATE = 1e18  # px; float32 holds the area of such a box, but not of one ten times as wide and high


@dataclass(frozen=True, kw_only=True)
class PostprocessConfig:
    """How candidates become detections. The defaults are plain NMS without voting."""

    suppression: Suppression = "hard"
    iou_threshold: float = 0.5  # IoU; hard and soft_linear act on boxes that overlap the winner by more
    soft_nms_sigma: float = 0.5  # the sigma of soft_gaussian, IoU^2
    score_floor: float = 0.001  # soft: an overlapping box whose decayed score is below drops out
    sigma_t: float = 0.0  # the vote's temperature, Eq. 11; 0 means no voting
    voters: VoterSet = "all"  # "all": Algorithm 1; "remaining": the released code, see variance_voting.py
    voter_iou: float = 0.0  # a box votes if its IoU with the selected box is larger
    variance_space: VarianceSpace = "offset"  # which variances vote: of the offsets (released code) or of the pixels
    swap_y1_x2: bool = False  # the released code's channel mix-up: y1 votes with the variance of x2 and x2 with y1's
    score_threshold: float = 0.05  # a candidate takes part if its score is larger
    max_detections: int = 100  # per image, over all classes

    def __post_init__(self) -> None:
        for name, choices in (("suppression", Suppression), ("voters", VoterSet), ("variance_space", VarianceSpace)):
            if getattr(self, name) not in get_args(choices):
                given = getattr(self, name)
                raise ValueError(f"PostprocessConfig.{name} is {given!r}; choose one of {get_args(choices)}.")
        for name, good, rule in (
            ("iou_threshold", 0 <= self.iou_threshold <= 1, "in [0, 1]"),
            ("soft_nms_sigma", self.soft_nms_sigma > 0, "larger than 0"),
            ("score_floor", self.score_floor >= 0, "0 or larger"),
            ("sigma_t", self.sigma_t >= 0, "0 (no voting) or larger"),
            ("voter_iou", 0 <= self.voter_iou < 1, "in [0, 1)"),
            ("max_detections", self.max_detections >= 1, "1 or larger"),
        ):
            if not good:
                raise ValueError(f"PostprocessConfig.{name} is {getattr(self, name)}; it must be {rule}.")


# What the released test code does (experiments/kl_loss/README.md, points 16, 18-20, 23, 24), where it differs.
AUTHOR_RELEASE = PostprocessConfig(
    suppression="soft_gaussian", sigma_t=0.01, voters="remaining", voter_iou=0.01, swap_y1_x2=True
)


class Kept(NamedTuple):
    """Detections of all images, by image and then best first: rows (D,) i64, boxes (D, 4), scores (D,)."""

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


def best_of_each_image(
    selection: Selection, groups: Groups, images: Tensor, max_detections: int
) -> tuple[Tensor, Tensor]:
    """(group, step), each (D,), of the ``max_detections`` best selected boxes of every image.

    Sorted by image, then by score, best first, then by row: of equal scores the earlier candidate comes first.
    """
    group, step = (selection.scores > GONE).nonzero(as_tuple=True)
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
    boxes: Tensor, scores: Tensor, variances: Tensor | None, images: Tensor, labels: Tensor, config: PostprocessConfig
) -> Kept:
    """Algorithm 1 in each class of each image, then the best ``max_detections`` of each image.

    Args:
        boxes, scores: (M, 4) px and (M,), the candidates of all images one after the other.
        variances: (M, 4) that vote, or None for no voting.
        images, labels: (M,) i64, images ascending.
        config: see PostprocessConfig.
    """
    above = (scores > config.score_threshold).nonzero()[:, 0]
    if len(above) == 0:
        return Kept(above, boxes[above], scores[above])
    boxes, scores, images, labels = boxes[above], scores[above], images[above], labels[above]
    groups = group_rows(images * (labels.max() + 1) + labels)
    decay, floor = decay_and_floor(config)
    selection = select(
        boxes[groups.members],
        scores[groups.members],
        groups.valid,
        decay=decay,
        floor=floor,
        max_steps=config.max_detections,
    )
    group, step = best_of_each_image(selection, groups, images, config.max_detections)
    slot = selection.slots[group, step]
    rows = groups.members[group, slot]
    if variances is None:
        return Kept(above[rows], boxes[rows], selection.scores[group, step])
    variances = variances[above]
    voted = vote_selected(
        boxes,
        variances[:, [0, 2, 1, 3]] if config.swap_y1_x2 else variances,
        groups,
        selection.exit_step,
        group=group,
        slot=slot,
        step=step,
        sigma_t=config.sigma_t,
        voter_iou=config.voter_iou,
        may_vote=all_voters if config.voters == "all" else remaining_voters,
    )
    return Kept(above[rows], voted, selection.scores[group, step])


def check(
    where: str, boxes: Tensor, scores: Tensor, variances: Sequence[Tensor | None], config: PostprocessConfig
) -> None:
    """Stops at numbers that would otherwise win or vanish without a word.

    Args:
        where: what the message calls the input.
        boxes, scores: (M, 4), (M,).
        variances: each (M, 4) or None; the first is the one that votes.
        config: see PostprocessConfig.

    Raises: ValueError if shapes do not fit together, a number is not finite, a variance is negative, or the variances
        for the vote are missing.
    """
    count = len(scores)
    given = [v for v in variances if v is not None]
    if scores.shape != (count,) or any(x.shape != (count, 4) for x in (boxes, *given)):
        shapes = ", ".join(str(tuple(x.shape)) for x in (boxes, scores, *given))
        raise ValueError(f"{where}: the shapes are {shapes}; give boxes (M, 4), scores (M,) and variances (M, 4).")
    if config.sigma_t > 0 and variances[0] is None:
        raise ValueError(
            f"{where}: sigma_t is {config.sigma_t}, but there are no variances (in {config.variance_space!r} space) to "
            "vote with; use a network that predicts log variances, or set sigma_t to 0."
        )
    usable = [("boxes", boxes.abs() < LARGEST_COORDINATE), ("scores", scores.abs() < torch.inf)]  # False for NaN
    usable += [("variances", (v >= 0) & (v < torch.inf)) for v in given]
    for name, good in usable:
        if not good.all():
            rows = (~good).reshape(count, -1).any(dim=1)
            raise ValueError(
                f"{where}: {int(rows.sum())} of {count} {name} are NaN, infinite or (a variance) negative; "
                "the network has probably diverged, look at its losses."
            )


def postprocess_class(
    boxes: Tensor, scores: Tensor, variances: Tensor | None, config: PostprocessConfig
) -> tuple[Tensor, Tensor, Tensor]:
    """Algorithm 1 for one class of one image.

    Args:
        boxes: (M, 4) px.
        scores: (M,) probabilities.
        variances: (M, 4) that vote, in whichever unit; None is fine if ``config.sigma_t`` is 0.
        config: see PostprocessConfig; ``variance_space`` has no effect here.

    Returns: boxes (D, 4) px after voting, scores (D,) after decay, and keep (D,) i64, the row of each, in the order of
        selection, which is that of falling scores.
    Raises: ValueError if a number is not finite, or if a vote is asked for without variances.
    """
    check("postprocess_class", boxes, scores, [variances], config)
    same = torch.zeros_like(scores, dtype=torch.int64)
    voting = None if variances is None or config.sigma_t == 0 else variances.float()
    kept = suppress_and_vote(boxes.float(), scores.float(), voting, same, same, config)
    return kept.boxes, kept.scores, kept.rows


def postprocess_images(candidates: Sequence[Candidates], config: PostprocessConfig) -> list[Detections]:
    """``postprocess`` for several images."""
    voting = []
    for index, image in enumerate(candidates):
        pair = [image.variances, image.pixel_variances]
        pair = pair if config.variance_space == "offset" else pair[::-1]
        check(f"postprocess, image {index}", image.boxes, image.scores, pair, config)
        voting.append(pair[0])
    if not candidates:
        return []
    labels = torch.cat([image.labels for image in candidates])
    images = torch.cat([torch.full_like(image.labels, index) for index, image in enumerate(candidates)])
    kept = suppress_and_vote(
        torch.cat([image.boxes for image in candidates]).float(),
        torch.cat([image.scores for image in candidates]).float(),
        None if config.sigma_t == 0 else torch.cat([v for v in voting if v is not None]).float(),
        images,
        labels,
        config,
    )
    counts = torch.bincount(images[kept.rows], minlength=len(candidates)).tolist()
    firsts = accumulate([0] + [len(image.scores) for image in candidates])
    per_image = zip(candidates, firsts, *(part.split(counts) for part in kept), strict=False)
    return [_detections(image, rows - first, boxes, scores) for image, first, rows, boxes, scores in per_image]


def _detections(image: Candidates, rows: Tensor, boxes: Tensor, scores: Tensor) -> Detections:
    """The record of one image: the candidates ``rows`` (D,) at their new boxes (D, 4) with their new scores (D,)."""
    sigma = None if image.pixel_variances is None else image.pixel_variances[rows].sqrt()
    return Detections(boxes=boxes, scores=scores, labels=image.labels[rows], sigma=sigma)


@overload
def postprocess(candidates: Candidates, config: PostprocessConfig) -> Detections: ...


@overload
def postprocess(candidates: Sequence[Candidates], config: PostprocessConfig) -> list[Detections]: ...


def postprocess(
    candidates: Candidates | Sequence[Candidates], config: PostprocessConfig
) -> Detections | list[Detections]:
    """What a user gets: suppressed, voted, at most ``max_detections`` per image, best score first.

    Args:
        candidates: of one image, or of several images on one device.
        config: see PostprocessConfig.

    Returns: Detections, or a list with one per image; sigma is the square root of the selected box's own
        ``pixel_variances``, also after voting.
    Raises: ValueError if a number is not finite, or if a vote is asked for without the variances that it needs.
    Law: the detections of an image do not depend on the other images.
    """
    if isinstance(candidates, Candidates):
        return postprocess_images([candidates], config)[0]
    return postprocess_images(candidates, config)
