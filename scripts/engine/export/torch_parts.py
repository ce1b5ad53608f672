"""A folder of .pt2 files as a detector: torch runs the parts, NumPy does the rest."""

from pathlib import Path

import torch
from torch import nn

from scripts.engine.export.runner.arrays import Floats, Outputs, Part
from scripts.engine.export.runner.description import read_description
from scripts.engine.export.runner.detector import ExportedDetector


def open_torch(folder: Path) -> ExportedDetector:
    """The detector whose parts scripts.export wrote into ``folder``.

    Raises:
        ValueError: a part is missing or damaged.
    """
    description = read_description(folder)
    names = ("dense", "head") if description.second.head == "pooled" else ("dense",)
    parts = {name: read_part(folder, name) for name in names}
    return ExportedDetector(description, parts["dense"], parts.get("head"))


def read_part(folder: Path, name: str) -> Part:
    """A part from its file.

    Raises:
        ValueError: it is missing or damaged.
    """
    path = folder / f"{name}.pt2"
    if not path.is_file():
        raise ValueError(
            f"{path} does not exist; write it: scripts.export CHECKPOINT --part {name} --to "
            f"{folder}."
        )
    try:
        program = torch.export.load(path)
    except Exception as error:
        raise ValueError(f"{path} cannot be read ({error}); run scripts.export again.") from error
    return part_of(program.module())


def part_of(module: nn.Module) -> Part:
    """A module from a tensor to named tensors as a part from an array to named arrays."""

    def run(values: Floats) -> Outputs:
        with torch.no_grad():
            outputs = module(torch.from_numpy(values))
        return {name: output.numpy() for name, output in outputs.items()}

    return run
