"""Types of NumPy arrays, and the one function that an equation on tensors or arrays needs.

NumPy, not torch, works on the host: its operations start in a third of the time, and torch splits
an exp() of more than 2,048 numbers over threads, which wait for each other on a busy machine.
"""

from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

Floats = NDArray[np.float32]
Doubles = NDArray[np.float64]
Indices = NDArray[np.int64]
Flags = NDArray[np.bool_]
Values = TypeVar("Values", Tensor, NDArray[np.float32])


def exp(values: Values) -> Values:
    """e^x of each value."""
    return values.exp() if isinstance(values, Tensor) else np.exp(values)
