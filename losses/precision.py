"""The precision in which exponentials, sums and box arithmetic are computed under autocast."""

import torch
from torch import Tensor


def at_least_float32(values: Tensor) -> Tensor:
    """``values`` in float32, or in float64 if they are that already.

    Args:
        values: of any shape and any floating or integer type.
    """
    return values.to(torch.promote_types(values.dtype, torch.float32))
