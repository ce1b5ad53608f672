"""Times calls fairly: in turn, from an idle device to an idle device, after a warm-up."""

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch

Action = Callable[[], object]
# untimed calls: memory pools, choice of convolution algorithms, clock rate
WARM_UP = {"cpu": 1, "cuda": 10}


@dataclass(frozen=True, kw_only=True)
class Times:
    """Quartiles in ms."""

    q1: float
    median: float
    q3: float

    def __str__(self) -> str:
        return f"{self.median:.1f} ({self.q1:.1f} .. {self.q3:.1f})"


def milliseconds(action: Action, device: torch.device) -> float:
    """Wall time of one call, from an idle device to an idle device: what a caller waits."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    began = time.perf_counter()
    action()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return 1000 * (time.perf_counter() - began)


def interleaved(actions: list[Action], repeats: int, device: torch.device) -> list[Times]:
    """The times of each action, all called in turn ``repeats`` times."""
    for action in actions * WARM_UP[device.type]:
        action()
    rounds = [[milliseconds(action, device) for action in actions] for _ in range(repeats)]
    quartiles = np.percentile(np.array(rounds), [25, 50, 75], axis=0).T.tolist()
    return [Times(q1=q1, median=median, q3=q3) for q1, median, q3 in quartiles]
