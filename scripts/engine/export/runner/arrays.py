"""Types of NumPy arrays that the runner passes around."""

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Doubles = NDArray[np.float64]
Indices = NDArray[np.int64]
Flags = NDArray[np.bool_]
Bytes = NDArray[np.uint8]
Outputs = Mapping[str, Floats]  # of an exported part, by name
Part = Callable[[Floats], Outputs]  # an exported part of the network, however it is run
EMPTY = np.zeros(0, np.float32)
