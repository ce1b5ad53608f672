"""The arithmetic floor: a machine's rate of matrix products, and how much a call multiplies."""

import torch
from torch.utils.flop_counter import FlopCounterMode

from scripts.engine.timing import Action, interleaved

SIDE = {"cpu": 1536, "cuda": 8192}  # of the matrices: large enough for the best rate
CALLS = 7


def matrix_rate(device: torch.device) -> float:
    """Operations a second of a float32 matrix product, from the fastest quarter of several."""
    side = SIDE[device.type]
    left, right = (torch.randn(side, side, device=device) for _ in range(2))
    times = interleaved([lambda: left @ right], CALLS, device)[0]
    return 2 * side**3 / (times.q1 / 1000)


def count_flops(action: Action) -> float:
    """Multiplications and additions of the matrix products and convolutions of one call.

    Those of the backward pass count too, where the call has one.
    """
    with FlopCounterMode(display=False) as counter:
        action()
    return float(counter.get_total_flops())
