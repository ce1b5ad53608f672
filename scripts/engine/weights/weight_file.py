"""Reads the weights of a file, whoever wrote it: names to tensors, float32, on the CPU.

.pth, .pt: a state dict that torch.save wrote, alone or under one of NESTED, read with
``weights_only=True``; what lies beside it (optimizers, options) plays no part, whatever it is. A
prefix that a wrapper gave to every name ("module." of nn.DataParallel) is taken off.
.safetensors: as that library writes it. .pkl: a pickle of Detectron, {"blobs": {name: array}} or
the names alone, or of Detectron2's model zoo, {"model": {name: array}}, read without running
anything in it (data/formats/plain_pickle.py).
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.torch
import torch
from torch import Tensor

from data.formats.plain_pickle import load_plain_pickle
from scripts.engine.files import why_not_loaded

NESTED = (  # keys under which files keep the weights
    "state_dict",
    "model",
    "model_state_dict",
    "model_state",
    "net",
    "network",
    "detector",
    "weights",
    "blobs",
)
PREFIXES = ("module.", "_orig_mod.", "model.")  # of DataParallel, torch.compile, Lightning
LISTED = 6  # keys in a sentence
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
            f"The weight file {path} holds no state dict (names to tensors) but {described(state)};"
            " save model.state_dict(), alone or under the key model_state_dict."
        )
    return without_prefixes(
        {
            name: value.float() if value.is_floating_point() else value
            for name, value in state.items()
        }
    )


def described(content: Any) -> str:
    """What a file holds instead of weights, for a sentence."""
    if isinstance(content, Foreign):
        return f"a pickled object of class {content.name}"
    if isinstance(content, Mapping):
        foreign = [f"{key} is a {value.name}" for key, value in content.items()
                   if isinstance(value, Foreign)]  # fmt: skip
        if foreign and len(foreign) == len(content):
            return f"objects of other classes ({foreign[0]})"
        keys = ", ".join(str(key)[:40] for key in list(content)[:LISTED])
        return f"the keys {keys}{', ...' if len(content) > LISTED else ''}"
    return f"a {type(content).__name__}"


def without_prefixes(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """The weights without the prefixes that wrappers put before every name."""
    for prefix in PREFIXES * 2:
        if state and all(name.startswith(prefix) for name in state):
            state = {name.removeprefix(prefix): value for name, value in state.items()}
    return state


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


class Foreign:
    """What an object of an unknown class in a file becomes: nothing of that class is run."""

    name = ""

    def __init__(self, *_: Any, **__: Any) -> None:
        pass


def foreign_classes(path: Path) -> list[Callable[..., Any] | tuple[Callable[..., Any], str]]:
    """A Foreign for each class in a file of torch.save that ``weights_only`` does not know.

    Files of the older format name none.
    """
    try:
        names = torch.serialization.get_unsafe_globals_in_checkpoint(path)
    except ValueError:
        return []
    return [(type("Foreign", (Foreign,), {"name": name}), name) for name in names]


def read_torch(path: Path) -> Any:
    """The content of a file of torch.save; objects of unknown classes are Foreign.

    Raises:
        ValueError: if it cannot be read.
    """
    try:
        with torch.serialization.safe_globals(foreign_classes(path)):
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
        name = key.decode(errors="replace") if isinstance(key, bytes) else str(key)
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
