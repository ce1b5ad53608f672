"""Reads the weights of a file, whoever wrote it: names to tensors, float32, on the CPU.

.pth, .pt: a state dict that torch.save wrote, alone or under "state_dict" or "model", read with
``weights_only=True``. .safetensors: as that library writes it. .pkl: a pickle of Detectron,
{"blobs": {name: array}} or the names alone, or of Detectron2's model zoo, {"model": {name: array}},
read without running anything in it (data/formats/plain_pickle.py).
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.torch
import torch
from torch import Tensor

from data.formats.plain_pickle import load_plain_pickle
from scripts.engine.files import why_not_loaded

NESTED = ("state_dict", "model", "blobs")  # keys under which files keep the weights
COUNTERS = ("lr", "weight_order")  # of Detectron's training


def read_weights(path: Path) -> dict[str, Tensor]:
    """The tensors of a weight file, float32 (whole numbers stay whole), without optimizer state.

    Raises:
        ValueError: for a file that is missing, damaged, unsafe, or holds something else.
    """
    if not path.exists():
        raise ValueError(
            f"The weight file {path} does not exist; give the path of a .pth, .safetensors or .pkl "
            "file."
        )
    if path.suffix == ".pkl":
        return from_pickle(load_plain_pickle(path), path)
    state = unwrapped(read_safetensors(path) if path.suffix == ".safetensors" else read_torch(path))
    if not is_state_dict(state):
        raise ValueError(
            f"The weight file {path} holds no state dict (names to tensors); save "
            "model.state_dict()."
        )
    return {
        name: value.float() if value.is_floating_point() else value for name, value in state.items()
    }


def is_state_dict(content: Any) -> bool:
    """Whether ``content`` maps names to tensors."""
    if not isinstance(content, Mapping):
        return False
    return all(isinstance(k, str) and isinstance(v, Tensor) for k, v in content.items())


def unwrapped(content: Any) -> Any:
    """What a file keeps under one of NESTED, or its whole content."""
    if isinstance(content, Mapping):
        for key in NESTED:
            if isinstance(content.get(key), Mapping):
                return content[key]
    return content


def read_torch(path: Path) -> Any:
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # bytes that are no state dict make the unpickler raise anything
        raise ValueError(
            f"The weight file {path} cannot be read as a plain state dict "
            f"({why_not_loaded(error)}); save it again with torch.save(model.state_dict(), path)."
        ) from error


def read_safetensors(path: Path) -> dict[str, Tensor]:
    try:
        return safetensors.torch.load_file(path)
    except Exception as error:  # the library has error types of its own, and passes others on
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise ValueError(
            f"The weight file {path} cannot be read as safetensors ({reason}); fetch it again, or "
            "save it with safetensors.torch.save_file."
        ) from error


def from_pickle(content: Any, path: Path) -> dict[str, Tensor]:
    """The floating-point arrays of Detectron or Detectron2, without momentum and counters.

    Raises:
        ValueError: if there is none.
    """
    blobs = unwrapped(content)
    tensors = {}
    for key, value in blobs.items() if isinstance(blobs, Mapping) else ():
        name = key.decode() if isinstance(key, bytes) else str(key)
        is_number = isinstance(value, np.ndarray) and value.dtype.kind == "f"
        if is_number and not name.endswith("_momentum") and name not in COUNTERS:
            # a copy, in this machine's byte order
            tensors[name] = torch.from_numpy(value.astype(np.float32, order="C"))
    if not tensors:
        raise ValueError(
            f"The weight file {path} holds no arrays by name; a .pkl must be one of Detectron or "
            "Detectron2."
        )
    return tensors
