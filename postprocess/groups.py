"""Puts flat rows into padded groups, so that all classes of all images can be processed side by side.

Letters: T rows, G groups, M width of the largest group. A group is one (image, class) pair that occurs. Memory is
G x M index entries; nothing of size M x M is ever built.
"""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class Groups:
    """members (G, M) i64: the row in each slot (0 in the padding); valid (G, M) bool: True where a slot is filled.

    Groups are sorted by size, largest first. Inside a group rows keep their order, and the filled slots come first.
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
