"""How fast a training is: images a second, the share of waiting for data, and memory."""

import resource
import sys
import time
from collections import deque
from dataclasses import dataclass, field

import torch

GIB = 2**30
RECENT = 100  # updates whose pace is shown: on a GPU the first ones are many times slower
RSS_UNIT = 1 if sys.platform == "darwin" else 1024  # bytes of ru_maxrss


@dataclass(kw_only=True)
class Pace:
    """What this process has done since it began.

    images: of the batches so far, those of all processes. waited: seconds for data. updates: how
    many. paused: seconds between them, for validations and checkpoints. recent: images, seconds of
    waiting and seconds of each of the last updates. ended: the last update or pause, as waited and
    time. marked: images, waited and the time at the last call of ``since_last``.
    """

    images: int = 0
    waited: float = 0.0
    updates: int = 0
    paused: float = 0.0
    recent: deque[tuple[int, float, float]] = field(default_factory=lambda: deque(maxlen=RECENT))
    ended: tuple[float, float] = field(default_factory=lambda: (0.0, time.monotonic()))
    marked: tuple[int, float, float] = field(default_factory=lambda: (0, 0.0, time.monotonic()))

    def updated(self, images: int) -> None:
        """One more update is made, from ``images`` images."""
        self.recent.append((images, *self.since_ended()))
        self.images += images
        self.updates += 1

    def pause_ended(self) -> None:
        """What was done since the last update belongs to no update."""
        self.paused += self.since_ended()[1]

    def since_ended(self) -> tuple[float, float]:
        """Seconds of waiting and all seconds since the last update or pause; another one ends."""
        (waited, then), self.ended = self.ended, (self.waited, time.monotonic())
        return self.waited - waited, self.ended[1] - then

    def lately(self) -> tuple[float, float]:
        """Images a second and the share of waiting in the last updates; ``updated`` comes first."""
        images, waited, seconds = (sum(each) for each in zip(*self.recent, strict=True))
        return images / max(seconds, 1e-9), waited / max(seconds, 1e-9)

    def seconds_for(self, updates: int) -> float:
        """How long ``updates`` more will take: as long each as the last ones, with as many pauses
        as until now; ``updated`` comes first."""
        each = sum(seconds for _, _, seconds in self.recent) / len(self.recent)
        return updates * (each + self.paused / self.updates)

    def since_last(self) -> dict[str, float]:
        """Images a second and the share of waiting since the last call, with validations and
        checkpoints in the time, and the most memory so far in GiB. No device is waited for.
        """
        images, waited, then = self.marked
        now = time.monotonic()
        self.marked = (self.images, self.waited, now)
        seconds = max(now - then, 1e-9)
        return {
            "speed/images_per_second": (self.images - images) / seconds,
            "speed/waiting_for_data": (self.waited - waited) / seconds,
            **most_memory(),
        }


def most_memory() -> dict[str, float]:
    """The most memory that this process has had, GiB: its own, and on a GPU that of its tensors."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * RSS_UNIT
    memory = {"memory/process_gib": peak / GIB}
    if torch.cuda.is_available() and torch.cuda.is_initialized():
        memory["memory/gpu_gib"] = torch.cuda.max_memory_allocated() / GIB
    return memory
