"""A folder of ONNX files as a detector: ONNX Runtime and NumPy, without torch."""

import importlib
from pathlib import Path
from typing import Any

from scripts.engine.export.runner.arrays import Floats, Outputs, Part
from scripts.engine.export.runner.description import read_description
from scripts.engine.export.runner.detector import ExportedDetector


def open_onnx(folder: Path) -> ExportedDetector:
    """The detector whose parts scripts.export --format onnx wrote into ``folder``.

    Raises:
        ValueError: ONNX Runtime is not installed, or a part is missing.
    """
    try:
        runtime = importlib.import_module("onnxruntime")
    except ImportError as error:
        raise ValueError("ONNX files need ONNX Runtime: pip install onnxruntime.") from error
    description = read_description(folder)
    parts = {}
    for name in ("dense", "head") if description.second.head == "pooled" else ("dense",):
        path = folder / f"{name}.onnx"
        if not path.is_file():
            raise ValueError(
                f"{path} does not exist; write it: scripts.export CHECKPOINT --part {name} "
                f"--format onnx --to {folder}."
            )
        parts[name] = part_of(runtime.InferenceSession(str(path)))
    return ExportedDetector(description, parts["dense"], parts.get("head"))


def part_of(session: Any) -> Part:
    """A session of ONNX Runtime as a part."""
    names = [output.name for output in session.get_outputs()]
    entry = session.get_inputs()[0].name

    def run(values: Floats) -> Outputs:
        return dict(zip(names, session.run(names, {entry: values}), strict=True))

    return run
