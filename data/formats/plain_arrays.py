"""Reads .npz archives of NumPy arrays that hold numbers and text, and nothing that is unpickled."""

import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

MOST_RATIO = 20  # of unpacked to packed bytes; NumPy's own archives are not packed at all


def load_plain_arrays(path: Path, names: Sequence[str]) -> dict[str, NDArray[Any]]:
    """Some arrays of a .npz file.

    Raises:
        ValueError: the file is not there, something else, or damaged, or it would take much more
            memory than it has bytes; the text says which, without the file.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            sizes = [info.file_size for info in archive.infolist()]
        if sum(sizes) > MOST_RATIO * path.stat().st_size:
            raise ValueError(f"it would unpack to {sum(sizes):,} bytes")
        with np.load(path, allow_pickle=False) as content:
            arrays = {name: content[name] for name in names}
        if not all(isinstance(array, np.ndarray) for array in arrays.values()):
            raise ValueError("it holds other things than arrays")
        return arrays
    except Exception as error:  # bytes that are no such file make the readers raise anything
        raise ValueError((str(error) or type(error).__name__).splitlines()[0]) from error
