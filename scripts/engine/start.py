"""What a network starts from, nothing, ImageNet or the finished network of another run, and which part of it learns."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from torch import nn

from experiments.records import Run
from experiments.scales import SCALES
from models.backbones.base import freeze_norms
from models.build import build_detector, parameter_counts
from models.detector import Detector
from models.weights.imagenet import load_pretrained, torchvision_state
from scripts.engine.checkpoint import load_checkpoint, newest_checkpoint
from scripts.engine.places import find_run
from scripts.engine.weight_file import read_weights

CODED = ("roi_head.predictor.offsets.", "rpn_head.offsets.")  # whose outputs mean something else in another box coding


def prepared_detector(run: Run, weights: str, folder: Path, *, resumed: bool) -> Detector:
    """The network with its starting weights (unless a checkpoint brings them); only what is pretrained is frozen: the
    first stages, and every batch norm.

    Args:
        weights: "auto" (torchvision's), "none", or a file; for a start from ImageNet.
        folder: of this run and seed; those of other runs lie beside it.
    """
    detector = build_detector(run.model)
    if run.start == "scratch":
        unused = "" if weights in ("auto", "none") else f" ({weights} is not used: this scale starts from scratch)"
        print(f"weights: none{unused}; training from scratch, nothing is frozen")
    elif run.start == "imagenet":
        if not resumed:
            state, source = (
                torchvision_state(run.model.backbone) if weights == "auto" else (read_weights(Path(weights)), weights))
            print(load_pretrained(detector, run.model.backbone, state, source))
        detector.freeze(run.model.frozen_stages)
    else:
        earlier = beside(folder, run.start)
        if not resumed:
            print(warm_start(detector, run, earlier))
        if first_start(earlier) != "scratch":
            detector.freeze(run.model.frozen_stages)
    if run.train.only:
        learn_only(detector, run.train.only)
    total, trainable = parameter_counts(detector)
    print(f"network: {run.model.backbone}, {total / 1e6:.2f} M parameters, {trainable / 1e6:.2f} M trained")
    return detector


def recorded_run(folder: Path) -> dict[str, Any]:
    """The run that was trained in ``folder``, as plain values. Raises ValueError if it is not there."""
    try:
        return json.loads((folder / "run.json").read_text())
    except (OSError, ValueError) as error:
        raise ValueError(f"{folder / 'run.json'} cannot be read ({error}), and a later network started from the one "
                         "that was trained there; keep that folder, or train it again.") from error


def with_pixels_of(run: Run, earlier: Path) -> Run:
    """A run that starts from another one, with that one's pixels and padding: the weights expect them."""
    if not (earlier / "run.json").is_file():
        return run  # ``warm_start`` will say so
    known = recorded_run(earlier)
    return replace(run, model=replace(run.model, tf_padding=known["model"]["tf_padding"]),
                   data=replace(run.data, pixels=known["data"]["pixels"]))


def beside(folder: Path, run_name: str) -> Path:
    """The folder of another run, named as in runs.py, with the same scale, paper and seed."""
    scale, paper = folder.parts[-4], folder.parts[-3]
    return folder.parents[1] / SCALES[scale](find_run(f"{paper}/{run_name}")).name / folder.name


def warm_start(detector: nn.Module, run: Run, earlier: Path) -> str:
    """Puts the finished network in ``earlier`` into ``detector`` in place and returns a line that says so.

    Layers that the earlier network lacks keep their initial weights, and so do the box layers if the boxes are coded in
    another way: an offset of the center is no offset of an edge.

    Raises: ValueError if there is no finished network, or it is not of the same size.
    """
    path = newest_checkpoint(earlier)
    if path is None or not (earlier / "finished.json").is_file():
        scale, paper = earlier.parts[-4], earlier.parts[-3]
        raise ValueError(f"{run.name} starts from the finished network of {run.start}, and {earlier} has none; train "
                         f"it first: python -m scripts.train {paper}/{run.start} --scale {scale}.")
    state = load_checkpoint(path)
    coded_alike = state["run"]["model"]["box_coding"] == run.model.box_coding
    own = detector.state_dict()
    known = {name: value for name, value in state["model"].items()
             if name in own and (coded_alike or not name.startswith(CODED))}
    misfits = [name for name, value in known.items() if value.shape != own[name].shape]
    if misfits:
        raise ValueError(f"{run.name} cannot start from {path}: {misfits[0]} (and {len(misfits) - 1} more) has another "
                         "shape there; both runs need the same network and the same classes.")
    detector.load_state_dict(known, strict=False)
    new = sorted({name.rpartition(".")[0] for name in own if name not in known})
    return f"weights: {len(known)} of {len(own)} tensors from {path}; new: {', '.join(new) or 'none'}"


def first_start(folder: Path) -> str:
    """What the first of the networks that led to the one in ``folder`` started from: "imagenet" or "scratch".

    Raises: ValueError if a network of that line is not there any more.
    """
    start: str = recorded_run(folder)["start"]
    return start if start in ("imagenet", "scratch") else first_start(beside(folder, start))


def learn_only(detector: nn.Module, part: str) -> None:
    """Fixes every weight and norm but those of the submodule ``part``."""
    detector.requires_grad_(False)
    freeze_norms(detector)
    detector.get_submodule(part).requires_grad_(True)
