"""Targets of one class for the tests of what is measured on proposals."""

import torch

from data.records import Target


def target(boxes, crowd=None, difficult=None):
    def mask(flags):
        return None if flags is None else torch.tensor(flags)

    return Target(
        boxes=torch.tensor(boxes).reshape(-1, 4).float(),
        labels=torch.ones(len(boxes), dtype=torch.long),
        crowd=mask(crowd),
        difficult=mask(difficult),
    )
