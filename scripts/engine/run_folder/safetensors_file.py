"""A trained network as one safetensors file: weights, and what is needed to use them."""

import json
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch

from scripts.engine.files import write_atomically

SUFFIX = ".safetensors"
KEY = "checkpoint"  # of the file's metadata
KEPT = ("step", "run", "classes", "format", "recalibration")  # of a checkpoint, beside the model


def write_safetensors(path: Path, state: dict[str, Any]) -> None:
    """Writes what detecting needs of a checkpoint's ``state``, so without optimizer."""
    facts = json.dumps({name: state[name] for name in KEPT if name in state})
    tensors = {name: value.contiguous() for name, value in state["model"].items()}
    write_atomically(path, safetensors.torch.save(tensors, metadata={KEY: facts}))


def read_safetensors(path: Path) -> dict[str, Any]:
    """The state of a checkpoint that ``write_safetensors`` wrote.

    Raises:
        ValueError: the file is damaged, or someone else's.
    """
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except safetensors.SafetensorError as error:
        raise ValueError(f"The file {path} cannot be read as safetensors ({error}).") from error
    if KEY not in metadata:
        raise ValueError(
            f"{path} was not written by scripts.export_weights: it does not say which network its "
            "weights are of; scripts.convert_weights reads weights of other programs."
        )
    try:
        facts = json.loads(metadata[KEY])
    except (ValueError, RecursionError):
        facts = None
    if not isinstance(facts, dict):
        raise ValueError(
            f"{path} does not say in JSON which network its weights are of; export it again with "
            "scripts.export_weights."
        )
    return {**facts, "model": tensors}
