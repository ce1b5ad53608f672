"""Types of NumPy arrays that the runner passes around."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Doubles = NDArray[np.float64]
Indices = NDArray[np.int64]
Flags = NDArray[np.bool_]
Bytes = NDArray[np.uint8]
Outputs = Mapping[str, Floats]  # of an exported part, by name
EMPTY = np.zeros(0, np.float32)
Part = Callable[[Floats], Outputs]  # an exported part of the network, however it is run


def floats(values: Any) -> Floats:
    """Numbers, or an array of another type, in float32."""
    return np.asarray(values, dtype=np.float32)
