"""Reads the weights of a file, whoever wrote it: names to tensors, float32, on the CPU.

.pth, .pt: a state dict that torch.save wrote, alone or under "state_dict" or "model", read with ``weights_only=True``.
.safetensors: as that library writes it. .pkl: a pickle of Detectron, {"blobs": {name: array}} or the names alone, or of
Detectron2's model zoo, {"model": {name: array}}, read without running anything in it (data/formats/plain_pickle.py).
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.torch
import torch
from torch import Tensor

from data.formats.plain_pickle import load_plain_pickle

NESTED = ("state_dict", "model", "blobs")  # keys under which files keep the weights


def read_weights(path: Path) -> dict[str, Tensor]:
    """The tensors of a weight file, float32 (whole numbers stay whole), without optimizer state.

    Raises: ValueError, in one sentence, for a file that is missing, damaged, unsafe, or holds something else.
    """
    if not path.exists():
        raise ValueError(f"The weight file {path} does not exist; give the path of a .pth, .safetensors or .pkl file.")
    if path.suffix == ".pkl":
        return from_pickle(load_plain_pickle(path), path)
    state = unwrapped(read_safetensors(path) if path.suffix == ".safetensors" else read_torch(path))
    if not isinstance(state, Mapping) or not all(
            isinstance(name, str) and isinstance(value, Tensor) for name, value in state.items()):
        raise ValueError(f"The weight file {path} holds no state dict (names to tensors); save model.state_dict().")
    return {name: value.float() if value.is_floating_point() else value for name, value in state.items()}


def unwrapped(content: Any) -> Any:
    """What a file keeps under one of NESTED, or its whole content."""
    key = next((k for k in NESTED if isinstance(content, Mapping) and isinstance(content.get(k), Mapping)), None)
    return content if key is None else content[key]


def read_torch(path: Path) -> Any:
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # bytes that are no state dict make the unpickler raise anything, KeyError included
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise ValueError(f"The weight file {path} cannot be read as a plain state dict ({reason}); save it again with "
                         "torch.save(model.state_dict(), path).") from error


def read_safetensors(path: Path) -> dict[str, Tensor]:
    try:
        return safetensors.torch.load_file(path)
    except Exception as error:  # the library has error types of its own, and passes others on
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise ValueError(f"The weight file {path} cannot be read as safetensors ({reason}); fetch it again, or save it "
                         "with safetensors.torch.save_file.") from error


def from_pickle(content: Any, path: Path) -> dict[str, Tensor]:
    """The arrays of floating-point numbers in a pickle of Detectron or Detectron2, without momentum and counters."""
    blobs = unwrapped(content)
    found = {}
    for key, value in blobs.items() if isinstance(blobs, Mapping) else ():
        name = key.decode() if isinstance(key, bytes) else str(key)
        if (isinstance(value, np.ndarray) and value.dtype.kind == "f"
                and not name.endswith("_momentum") and name not in ("lr", "weight_order")):
            found[name] = torch.from_numpy(value.astype(np.float32, order="C"))  # a copy, in this machine's byte order
    if not found:
        raise ValueError(f"The weight file {path} holds no arrays by name; a .pkl must be one of Detectron or "
                         "Detectron2.")
    return found
