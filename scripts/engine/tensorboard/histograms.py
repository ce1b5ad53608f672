"""Histograms of a training, whose values leave the device while the next update is under way."""

from collections.abc import Mapping

import torch
from torch import Tensor

from scripts.engine.tensorboard.event_log import EventLog

HISTOGRAMS_EVERY = 100  # updates


class Histograms:
    """Copies values without waiting, and writes them when the host has waited for a later update.

    Args:
        log: gets the histograms.
    """

    def __init__(self, log: EventLog) -> None:
        self.log = log
        self.copies: dict[str, Tensor] = {}
        self.updates = 0
        self.copied: torch.cuda.Event | None = None

    def take(self, values: Mapping[str, Tensor], updates: int) -> None:
        """Begins to copy values, NaN where one does not count.

        Args:
            values: (n,) by the name of their histogram.
            updates: that are made.
        """
        self.write()
        self.updates = updates
        self.copies = {name: value.to("cpu", non_blocking=True) for name, value in values.items()}
        if any(value.is_cuda for value in values.values()):
            self.copied = torch.cuda.Event()
            self.copied.record()

    def write(self) -> None:
        """Writes what was copied; after another update nothing has to be waited for."""
        if self.copied is not None:
            self.copied.synchronize()
        for name, values in self.copies.items():
            finite = values[values.isfinite()]
            if len(finite):
                self.log.add_histogram(name, finite, self.updates)
        self.copies, self.copied = {}, None
