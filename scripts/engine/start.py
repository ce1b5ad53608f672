"""What a network starts from: nothing, ImageNet, or the finished network of another run."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from experiments.records import Run
from models.backbones.base import freeze_norms
from models.build import ModelConfig, build_detector, parameter_counts
from models.detector import Detector
from models.weights.imagenet import load_pretrained, torchvision_state
from scripts.engine.checkpoint import (
    check_format_in,
    check_same_classes,
    load_checkpoint,
    newest_checkpoint,
)
from scripts.engine.places import RunPlace
from scripts.engine.weight_file import read_weights

# the layers whose outputs mean something else in another box coding, by the group of ModelConfig
CODED = {"rpn": "rpn.head.offsets.", "roi": "roi.head.predictor.offsets."}
FROM_NO_RUN = ("imagenet", "scratch")  # values of Run.start that name no other run


def prepared_detector(run: Run, weights: str, place: RunPlace, *, resumed: bool) -> Detector:
    """The network with its starting weights, frozen as it is to be trained.

    Only what is pretrained is frozen: the first stages, and every batch norm.

    Args:
        run: at its scale.
        weights: "auto" (torchvision's), "none", or a file; for a start from ImageNet.
        place: of ``run``; the run that it starts from is its sibling.
        resumed: whether a checkpoint will bring the weights.
    """
    detector = build_detector(run.model)
    if run.start == "scratch" or not resumed:
        print(load_starting_weights(detector, run, weights, place))
    if is_pretrained(run, place):
        detector.freeze(run.model.backbone.frozen_stages)
    if run.train.trainable_part:
        freeze_all_but(detector, run.train.trainable_part)
    total, trainable = parameter_counts(detector)
    print(
        f"network: {run.model.backbone.name}, {total / 1e6:.2f} M parameters, "
        f"{trainable / 1e6:.2f} M trained"
    )
    return detector


def load_starting_weights(detector: Detector, run: Run, weights: str, place: RunPlace) -> str:
    """Loads what ``run`` starts from into ``detector`` in place; returns a line that says so."""
    if run.start == "scratch":
        unused = f" ({weights} is not used: this scale starts from scratch)"
        return (
            f"weights: none{'' if weights in ('auto', 'none') else unused}; training from scratch, "
            "nothing is frozen"
        )
    if run.start != "imagenet":
        return warm_start(detector, run, place.sibling(run.start))
    if weights == "auto":
        state, source = torchvision_state(run.model.backbone.name)
    else:
        state, source = read_weights(Path(weights)), weights
    return load_pretrained(detector, run.model.backbone.name, state, source)


def recorded_run(place: RunPlace) -> dict[str, Any]:
    """The run that was trained at ``place``, as plain values.

    Raises:
        ValueError: if it is not there, or was trained by another version of this code.
    """
    check_format_in(place.folder)
    try:
        return json.loads(place.record.read_text())
    except (OSError, ValueError) as error:
        raise ValueError(
            f"{place.record} cannot be read ({error}), and a later network started from the one "
            "that was trained there; keep that folder, or train it again."
        ) from error


def with_pixels_of(run: Run, earlier: RunPlace) -> Run:
    """A run with the pixels and padding of the one it starts from: its weights expect them."""
    if not earlier.record.is_file():
        return run  # ``warm_start`` will say so
    known = recorded_run(earlier)
    return replace(
        run,
        model=with_padding(run.model, known["model"]["backbone"]["tf_padding"]),
        data=replace(run.data, pixels=known["data"]["pixels"]),
    )


def warm_start(detector: nn.Module, run: Run, earlier: RunPlace) -> str:
    """Puts the finished network at ``earlier`` into ``detector`` in place.

    Layers that the earlier network lacks keep their initial weights, and so do the box layers if
    the boxes are coded in another way: an offset of the center is no offset of an edge.

    Returns:
        a line that says so.

    Raises:
        ValueError: if there is no finished network, or it is not of the same size.
    """
    path = finished_checkpoint(run, earlier)
    state = load_checkpoint(path)
    own = detector.state_dict()
    known = {name: value for name, value in state["model"].items() if name in own}
    known = without_coded_layers(known, state["run"]["model"], asdict(run.model))
    misfits = [name for name, value in known.items() if value.shape != own[name].shape]
    if misfits:
        raise ValueError(
            f"{run.name} cannot start from {path}: {misfits[0]} (and {len(misfits) - 1} more) has "
            "another shape there; both runs need the same network and the same classes."
        )
    detector.load_state_dict(known, strict=False)
    new = sorted({name.rpartition(".")[0] for name in own if name not in known})
    return (
        f"weights: {len(known)} of {len(own)} tensors from {path}; new: {', '.join(new) or 'none'}"
    )


def check_start_classes(run: Run, place: RunPlace, classes: Sequence[str]) -> None:
    """Checks that the network that ``run`` starts from learned these classes in this order.

    Args:
        run: at its scale.
        place: of ``run``.
        classes: of its data set.

    Raises:
        ValueError: if it did not: their number alone would fit.
    """
    if run.start not in FROM_NO_RUN:
        path = finished_checkpoint(run, place.sibling(run.start))
        check_same_classes(path, load_checkpoint(path)["classes"], classes, "start from it")


def finished_checkpoint(run: Run, earlier: RunPlace) -> Path:
    """The checkpoint of the finished network at ``earlier``, which ``run`` starts from.

    Raises:
        ValueError: if there is none, naming the command that trains it.
    """
    path = newest_checkpoint(earlier.folder)
    if path is None or not earlier.is_finished:
        raise ValueError(
            f"{run.name} starts from the finished network of {run.start}, and {earlier.folder} has "
            f"none; train it first: python -m scripts.train {earlier.paper}/{run.start} "
            f"--scale {earlier.scale} --seed {earlier.seed} --out {earlier.out}"
        )
    return path


def with_padding(model: ModelConfig, tf_padding: bool) -> ModelConfig:
    """The network with or without the padding of weights from TensorFlow."""
    return replace(model, backbone=replace(model.backbone, tf_padding=tf_padding))


def without_coded_layers(
    state: Mapping[str, Tensor], theirs: Mapping[str, Any], ours: Mapping[str, Any]
) -> dict[str, Tensor]:
    """The weights without the layers whose outputs mean something else in another box coding.

    Args:
        state: the weights.
        theirs: the groups of the ModelConfig that they are of, as plain values.
        ours: those of the network that takes them over.
    """
    changed = tuple(
        layer
        for group, layer in CODED.items()
        if theirs[group]["box_coding"] != ours[group]["box_coding"]
    )
    return {name: value for name, value in state.items() if not name.startswith(changed)}


def is_pretrained(run: Run, place: RunPlace) -> bool:
    """Whether the first of the networks that led to ``run`` started from ImageNet weights."""
    if run.start in FROM_NO_RUN:
        return run.start == "imagenet"
    return first_start(place.sibling(run.start)) == "imagenet"


def first_start(place: RunPlace) -> str:
    """What the first of the networks that led to the one at ``place`` started from.

    Returns:
        "imagenet" or "scratch".

    Raises:
        ValueError: if a network of that line is not there any more.
    """
    start: str = recorded_run(place)["start"]
    return start if start in FROM_NO_RUN else first_start(place.sibling(start))


def freeze_all_but(detector: nn.Module, part: str) -> None:
    """Freezes every weight and norm but those of the submodule ``part``."""
    detector.requires_grad_(False)
    freeze_norms(detector)
    detector.get_submodule(part).requires_grad_(True)
