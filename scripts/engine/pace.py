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


Mark = tuple[int, float, float]  # images, seconds of waiting, time


def first_mark() -> Mark:
    return 0, 0.0, time.monotonic()


def first_marks() -> deque[Mark]:
    return deque([first_mark()], maxlen=RECENT + 1)


@dataclass(kw_only=True)
class Pace:
    """What this process has done since it began.

    images: of the batches so far, those of all processes. waited: seconds for data. marked: at the
    last call of ``since_last``. recent: at the beginning, and after each of the last updates.
    """

    images: int = 0
    waited: float = 0.0
    marked: Mark = field(default_factory=first_mark)
    recent: deque[Mark] = field(default_factory=first_marks)

    def updated(self, images: int) -> None:
        """One more update is made, from ``images`` images."""
        self.images += images
        self.recent.append((self.images, self.waited, time.monotonic()))

    def lately(self) -> tuple[float, float, float]:
        """Images a second, the share of waiting and the seconds of an update, over the last
        updates; call ``updated`` first."""
        (images, waited, then), (images_now, waited_now, now) = self.recent[0], self.recent[-1]
        seconds = max(now - then, 1e-9)
        each = seconds / (len(self.recent) - 1)
        return (images_now - images) / seconds, (waited_now - waited) / seconds, each

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
