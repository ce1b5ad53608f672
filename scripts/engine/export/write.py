"""Writes parts of a detector as .pt2 or ONNX files with torch.export, and their description."""

import importlib
import io
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from torch import nn
from torch.export import Dim, ExportedProgram

from scripts.engine.detection.detection import LoadedDetector, load_detector
from scripts.engine.export.describe import describe
from scripts.engine.export.parts import PARTS, DensePart, HeadPart, Sample
from scripts.engine.export.runner.description import FILE, Description, read_description, to_json
from scripts.engine.files import write_atomically
from scripts.engine.run_folder.checkpoint import checkpoint_of

PartName = Literal["dense", "head"]
Format = Literal["torch", "onnx"]
ENDINGS = {"torch": ".pt2", "onnx": ".onnx"}
# large enough that no map of a pyramid is one cell wide, which tracing would take for a constant
TRACED_SIZE = (256, 320)
TRACED_ROIS = 3
OPSET = 20


@dataclass(frozen=True, kw_only=True)
class ExportOptions:
    """What is exported, and where to.

    checkpoint: or the folder of a run. part: None: all that the network has. size: (height, width)
    px, the one padded size that the dense part takes; None: any.
    """

    checkpoint: Path
    to: Path
    part: PartName | None = None
    format: Format = "torch"
    size: tuple[int, int] | None = None


def export(options: ExportOptions) -> list[Path]:
    """Writes the parts and their description, and says what is left out.

    Returns:
        the files of the parts.

    Raises:
        ValueError: the checkpoint cannot be used, the network has no such part, the folder has a
            part of another network, or ONNX is not installed.
    """
    if options.format == "onnx":
        check_onnx()
    loaded = load_detector(checkpoint_of(options.checkpoint), torch.device("cpu"))
    description = describe(loaded, options.size)
    names = parts_of(options.part, description)
    paths = {name: options.to / f"{name}{ENDINGS[options.format]}" for name in names}
    check_folder(options.to, description, [path.name for path in paths.values()])
    contents = {
        path: exported_bytes(*module_and_sample(name, loaded, options.size), options.format)
        for name, path in paths.items()
    }
    options.to.mkdir(parents=True, exist_ok=True)
    # so that a process that is killed leaves no new part with the description of an old one
    (options.to / FILE).unlink(missing_ok=True)
    for path, content in contents.items():
        write_atomically(path, content)
        print(f"{path}, {len(content) / 1e6:.1f} MB")
    write_atomically(options.to / FILE, to_json(description))
    print(options.to / FILE)
    for sentence in description.left_out:
        print(sentence)
    return list(contents)


def parts_of(part: PartName | None, description: Description) -> tuple[PartName, ...]:
    """The parts to write.

    Raises:
        ValueError: the head of an R-FCN, which has none.
    """
    if description.second.head == "pooled":
        return ("dense", "head") if part is None else (part,)
    if part == "head":
        raise ValueError(
            "--part head: R-FCN has no layers after its pooling, so the dense part is all of it; "
            "use --part dense."
        )
    return ("dense",)


def check_folder(folder: Path, description: Description, written: Sequence[str]) -> None:
    """Refuses to put a part beside one of another network or for other inputs, in whatever format.

    Args:
        folder: of the parts; it may not be there yet.
        description: of the parts that are to be written.
        written: the names of their files.

    Raises:
        ValueError: the folder has such a part, or one of which that is not known, and it would not
            be written anew.
    """
    files = [f"{name}{ending}" for name in PARTS for ending in ENDINGS.values()]
    stay = [file for file in files if file not in written and (folder / file).exists()]
    if not stay:
        return
    if not (folder / FILE).exists():
        raise ValueError(
            f"{folder} has a {stay[0]} and no {FILE}, so whose it is is not known; give another "
            "--to, or remove it."
        )
    before = read_description(folder)
    if before.weights != description.weights:
        raise ValueError(
            f"{folder} has the {stay[0]} of another network; give another --to, or remove it."
        )
    if any(file.startswith("dense") for file in stay) and before.input != description.input:
        raise ValueError(
            f"{folder} has a dense part of another input size; give the --size that it was "
            "exported with."
        )


def module_and_sample(
    name: PartName, loaded: LoadedDetector, size: tuple[int, int] | None
) -> tuple[nn.Module, Sample]:
    """A part and an input to trace it with."""
    detector, roi = loaded.detector, loaded.run.model.roi
    # in training and detecting they are channels last, which other runtimes need not know
    detector.to(memory_format=torch.contiguous_format)
    if name == "dense":
        images = torch.zeros(1, 3, *(size or TRACED_SIZE))
        return DensePart(detector).eval(), Sample("images", images, () if size else (2, 3))
    channels = detector.backbone.out_channels
    pooled = torch.zeros(TRACED_ROIS, int(channels), roi.pool_size, roi.pool_size)  # type: ignore[arg-type]
    return HeadPart(detector).eval(), Sample("pooled", pooled, (0,))


def trace(module: nn.Module, sample: Sample) -> ExportedProgram:
    """The part as a graph of tensor operators."""
    shapes = dict.fromkeys(sample.dynamic, Dim.DYNAMIC)
    # torch warns on inequalities that it leaves unsolved; the sizes of the maps are not affected
    symbolic = logging.getLogger("torch.fx.experimental.symbolic_shapes")
    level = symbolic.level
    symbolic.setLevel(logging.ERROR)
    try:
        with torch.no_grad():
            return torch.export.export(module, (sample.values,), dynamic_shapes=(shapes,))
    finally:
        symbolic.setLevel(level)


def exported_bytes(module: nn.Module, sample: Sample, format: Format) -> bytes:
    """The file of a part."""
    program = trace(module, sample)
    file = io.BytesIO()
    if format == "torch":
        torch.export.save(program, file)
        return file.getvalue()
    with torch.no_grad():
        names = list(module(sample.values))
    model = torch.onnx.export(
        program,
        input_names=[sample.name],
        output_names=names,
        opset_version=OPSET,
        verbose=False,
    )
    assert model is not None
    return bytes(model.model_proto.SerializeToString())


def check_onnx() -> None:
    """Checks that ONNX files can be written.

    Raises:
        ValueError: what it needs is not installed.
    """
    for module in ("onnx", "onnxscript"):
        try:
            importlib.import_module(module)
        except ImportError as error:
            raise ValueError(
                f"--format onnx needs {module}, which is not installed: "
                'pip install ".[onnx]", or leave --format out.'
            ) from error
