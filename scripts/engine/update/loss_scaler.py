"""Scales the losses of float16, and counts the updates that it skips."""

import math
from typing import Any

import torch

MOST_SKIPPED = 20  # updates in a row; the scale has then fallen by a factor of a million


class LossScaler(torch.amp.GradScaler):
    """A GradScaler that counts; not enabled, it scales nothing and every update is made.

    Under float16 an infinite gradient is normal now and then: that update is skipped and the next
    losses are scaled less.
    skipped: updates that were not made. in_a_row: how many of them are the newest ones.
    """

    def __init__(self, device: str, *, enabled: bool) -> None:
        super().__init__(device, enabled=enabled)
        self.skipped = self.in_a_row = 0

    def step_if_finite(self, optimizer: torch.optim.Optimizer, gradient_norm: float) -> None:
        """Makes the optimizer's step, or skips it because gradients are not finite, and chooses the
        next scale.

        Args:
            optimizer: whose gradients were unscaled.
            gradient_norm: of all of them, which the host has read already.
        """
        if math.isfinite(gradient_norm):
            self.step(optimizer)
            self.in_a_row = 0
        else:
            self.skipped += 1
            self.in_a_row += 1
        self.update()

    def state_dict(self) -> dict[str, Any]:
        """The scale and the counts; empty if it is not enabled."""
        state = super().state_dict()
        return {**state, "skipped": self.skipped, "in_a_row": self.in_a_row} if state else state

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Takes over what another scaler saved; one of torch's own has counted nothing."""
        super().load_state_dict(state_dict)
        self.skipped = state_dict.get("skipped", 0)
        self.in_a_row = state_dict.get("in_a_row", 0)
