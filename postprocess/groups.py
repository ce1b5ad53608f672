"""Puts flat rows into padded groups, so that all classes of all images can be processed side by
side.

Letters: T rows, G groups, M width of the largest group, D detections. A group is one (image, class)
pair that occurs. Memory is G x M index entries; nothing of size M x M is built here.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from data.boxes import box_iou

CHUNK = 2**16  # (detection, neighbor) pairs handled at a time: bounds memory to a few MB


@dataclass(frozen=True, kw_only=True)
class Groups:
    """members (G, M) i64: the row in each slot (0 in the padding); valid (G, M) bool: True where a
    slot is filled.

    Groups are sorted by size, largest first. Inside a group rows keep their order, and the filled
    slots come first.
    """

    members: Tensor
    valid: Tensor


def group_rows(keys: Tensor) -> Groups:
    """Groups of the rows that share a key.

    Args:
        keys: (T,) i64 with T >= 1; equal keys mean the same group.

    Law: ``members[valid]`` is a permutation of 0..T-1.
    """
    _, group, sizes = torch.unique(keys, return_inverse=True, return_counts=True)
    sizes, by_size = sizes.sort(descending=True, stable=True)
    group = by_size.argsort()[group]
    group, row = group.sort(stable=True)
    slot = torch.arange(len(row), device=keys.device) - (sizes.cumsum(0) - sizes)[group]
    members = row.new_zeros(len(sizes), int(sizes[0]))
    members[group, slot] = row
    valid = torch.arange(members.shape[1], device=keys.device) < sizes[:, None]
    return Groups(members=members, valid=valid)


class Neighbors(NamedTuple):
    """All boxes in the groups of some detections.

    part: which detections these are; rows (D, M) i64; valid (D, M) bool, False in the padding; iou
    (D, M) with the selected box, and 1 at that box itself, even if it has no area.
    """

    part: slice
    rows: Tensor
    valid: Tensor
    iou: Tensor


def neighborhoods(
    boxes: Tensor, groups: Groups, group: Tensor, slot: Tensor
) -> Iterator[Neighbors]:
    """The neighbors of D selected boxes, a bounded number at a time, in order.

    Args:
        boxes: (T, 4) px of all rows.
        groups: the rows of each group.
        group, slot: (D,) where each selected box is.
    """
    size = max(1, CHUNK // groups.members.shape[1])
    for start in range(0, len(group), size):
        part = slice(start, start + size)
        rows = groups.members[group[part]]
        own = slot[part, None]
        iou = box_iou(boxes[rows.gather(1, own)], boxes[rows])[:, 0].scatter(1, own, 1.0)
        yield Neighbors(part, rows, groups.valid[group[part]], iou)
