"""The methods that KL Loss Tables 4, 5 and 6 compare with: IoU-guided NMS, QUBO, box voting.

Letters: T candidates of all images, G groups (an image and a class), M slots in a group, D
detections. They look at the boxes of all groups side by side.
"""

import torch
from torch import Tensor

from data.records import Candidates
from postprocess.arrays import Floats, Indices
from postprocess.best_first import SelectedPlaces, decay_and_floor
from postprocess.box_voting import vote_boxes, vote_scores
from postprocess.config import PostprocessConfig
from postprocess.groups import Groups, group_rows
from postprocess.iou_nms import iou_guided
from postprocess.qubo import AUTHORS_GREEDY, AUTHORS_TABU, greedy, qubo_select, tabu_search
from postprocess.suppression import REMOVED, SelectedSlots, select


def compared_best(
    candidates: Candidates,
    keys: Tensor,
    images: Tensor,
    order: Indices,
    config: PostprocessConfig,
) -> tuple[SelectedPlaces, Floats]:
    """What ``config.suppression`` and ``config.box_voting`` leave of every image.

    Args:
        candidates: of all images, one after the other; float32.
        keys: (T,) i64; equal keys mean the same image and class.
        images: (T,) i64, ascending.
        order: (T,) the row at each place of the class slices.
        config: see PostprocessConfig.

    Returns:
        what was selected, and its boxes (D, 4) px after box voting.
    """
    boxes, scores = candidates.boxes, candidates.scores
    groups = group_rows(keys)
    selection = suppress_groups(candidates, groups, config)
    if config.box_voting is not None:
        selection = vote_scores(selection, boxes, scores, groups, voting=config.box_voting)
    group, step = best_of_each_image(selection, groups, images, config.max_detections)
    slot = selection.slots[group, step]
    rows = groups.members[group, slot]
    voted = boxes[rows]
    if config.box_voting is not None:
        voted = vote_boxes(boxes, scores, groups, group=group, slot=slot, voting=config.box_voting)
    exit_step = torch.empty_like(keys)
    exit_step[groups.members[groups.valid]] = selection.exit_step[groups.valid]
    selected = SelectedPlaces(
        place=order.argsort()[rows.numpy()],
        scores=selection.scores[group, step].double().numpy(),
        step=step.numpy(),
        exit_step=exit_step.numpy()[order],
    )
    return selected, voted.numpy()


def suppress_groups(
    candidates: Candidates, groups: Groups, config: PostprocessConfig
) -> SelectedSlots:
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


def best_of_each_image(
    selection: SelectedSlots, groups: Groups, images: Tensor, max_detections: int
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
