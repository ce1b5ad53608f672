"""What a network starts from: nothing, ImageNet, or the finished network of another run."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from torch import nn

from experiments.records import Run
from models.backbones.base import freeze_norms
from models.build import ModelConfig, build_detector, parameter_counts
from models.detector import Detector
from models.weights.imagenet import backbone_matches, load_pretrained, torchvision_state
from models.weights.resnets import is_detectron_resnet
from scripts.engine.files import read_json
from scripts.engine.places import RunPlace
from scripts.engine.run_folder.checkpoint import (
    check_format_in,
    differences,
    load_checkpoint,
    plain,
)
from scripts.engine.run_folder.finished import finished_network
from scripts.engine.weights.fitting import Source, fit, load_fitted
from scripts.engine.weights.weight_file import read_weights

# by group of ModelConfig: on what the same weights compute something else
CONVENTIONS = {
    "backbone": ("tf_padding", "resnet_layout"),
    "rpn": ("anchor_rule", "anchor_sizes", "anchor_ratios"),
    "roi": ("aligned", "pooling", "sampling_ratio"),
}
FROM_NO_RUN = ("imagenet", "scratch", "checkpoint")  # values of Run.start that name no other run


def prepared_detector(
    run: Run,
    weights: str,
    place: RunPlace,
    classes: Sequence[str],
    *,
    resumed: bool,
    start_from: Path | None = None,
) -> Detector:
    """The network with its starting weights, frozen as it is to be trained.

    Only what is pretrained is frozen: the first stages, and every batch norm.

    Args:
        run: at its scale.
        weights: "auto" (torchvision's), "none", or a file; for a start from ImageNet.
        place: of ``run``; the run that it starts from is its sibling.
        classes: that the network predicts.
        resumed: whether a checkpoint will bring the weights.
        start_from: the checkpoint to fine-tune; None: what ``run.start`` says.
    """
    detector = build_detector(run.model)
    if start_from is not None and not resumed:
        print(fine_tune(detector, run, start_from, classes))
    elif run.start == "scratch" or not resumed:
        print(load_starting_weights(detector, run, weights, place, classes))
    freeze_for_training(detector, run, pretrained=is_pretrained(run, place))
    total, trainable = parameter_counts(detector)
    print(
        f"network: {run.model.backbone.name}, {total / 1e6:.2f} M parameters, "
        f"{trainable / 1e6:.2f} M trained"
    )
    return detector


def load_starting_weights(
    detector: Detector, run: Run, weights: str, place: RunPlace, classes: Sequence[str]
) -> str:
    """Loads what ``run`` starts from into ``detector`` in place; returns a line that says so."""
    if run.start == "scratch":
        unused = f" ({weights} is not used: this scale starts from scratch)"
        return (
            f"weights: none{'' if weights in ('auto', 'none') else unused}; training from scratch, "
            "nothing is frozen"
        )
    if run.start != "imagenet":
        return warm_start(detector, run, place.sibling(run.start), classes)
    if weights == "auto":
        state, source = torchvision_state(run.model.backbone.name)
    else:
        state, source = read_weights(Path(weights)), weights
    loaded = load_pretrained(detector, run.model.backbone.name, state, source)
    return loaded + (caffe_note(run) if is_detectron_resnet(state) else "")


def caffe_note(run: Run) -> str:
    """A line if a run has other pixels or strides than ResNets in Detectron's names expect, which
    come from Caffe; "" if it has those."""
    pixels, layout = run.data.pixels, run.model.backbone.resnet_layout
    if pixels == "caffe" and layout != "torchvision":
        return ""
    return (
        "\n  note: weights in Detectron's names expect Caffe's pixels and strides, and this run "
        f"has pixels {pixels!r} and resnet_layout {layout!r}; give torchvision's weights, or set "
        "pixels='caffe' and resnet_layout='detectron' in the run"
    )


def recorded_run(place: RunPlace) -> dict[str, Any]:
    """The run that was trained at ``place``, as plain values.

    Raises:
        ValueError: if it is not there, or was trained by another version of this code.
    """
    check_format_in(place.folder)
    return read_json(
        place.record,
        "a later network started from the one that was trained there, so keep that folder, or "
        "train it again",
        keys=("start",),
    )


def with_pixels_of(run: Run, earlier: RunPlace) -> Run:
    """A run with the pixels and padding of the one it starts from: its weights expect them."""
    if not earlier.record.is_file():
        return run  # ``warm_start`` will say so
    return with_pixels(run, recorded_run(earlier))


def with_pixels(run: Run, theirs: Mapping[str, Any]) -> Run:
    """A run with the pixels and padding of another one, given as plain values."""
    return replace(
        run,
        model=with_padding(run.model, theirs["model"]["backbone"]["tf_padding"]),
        data=replace(run.data, pixels=theirs["data"]["pixels"]),
    )


def warm_start(detector: nn.Module, run: Run, earlier: RunPlace, classes: Sequence[str]) -> str:
    """Puts the finished network at ``earlier`` into ``detector`` in place.

    Layers that it lacks keep their initial weights, and so do the rows of classes that it does not
    know, and the box layers if the boxes are coded in another way: an offset of the center is no
    offset of an edge.

    Returns:
        lines that say so.

    Raises:
        ValueError: if there is no finished network, or it is not of the same size.
    """
    source = checkpoint_source(finished_checkpoint(run, earlier))
    fitted = fit(source, detector.state_dict(), plain(asdict(run.model)), classes)
    if fitted.misfits:
        raise ValueError(
            f"{run.name} cannot start from {source.path}: {fitted.misfits[0]} (and "
            f"{len(fitted.misfits) - 1} more) has another shape there; both runs need the same "
            "network."
        )
    return load_fitted(detector, fitted, source)


def fine_tune(detector: nn.Module, run: Run, path: Path, classes: Sequence[str]) -> str:
    """Puts every layer of a checkpoint's network that fits into ``detector`` in place.

    Layers of another shape begin anew as well; all else is as in ``warm_start``.

    Returns:
        lines that say so.

    Raises:
        ValueError: if it has another backbone.
    """
    source = checkpoint_source(path)
    own = detector.state_dict()
    fitted = fit(source, own, plain(asdict(run.model)), classes)
    theirs, name = source.model["backbone"]["name"], run.model.backbone.name
    other = "" if theirs == name else f" (a {theirs})"
    backbone_matches(own, fitted.state, f"{path}{other}", f"{name} backbone of {run.name}")
    changed = other_conventions(source.model, plain(asdict(run.model)))
    note = f"\n  other than what they were trained with: {'; '.join(changed)}" if changed else ""
    return load_fitted(detector, fitted, source) + note


def other_conventions(theirs: Mapping[str, Any], ours: Mapping[str, Any]) -> list[str]:
    """The fields of CONVENTIONS in which two networks differ, as "group.field: theirs -> ours".

    Args:
        theirs: the ModelConfig of the weights as plain values.
        ours: that of the network that takes them over.
    """
    one, two = (
        {
            group: {name: model[group].get(name) for name in names}
            for group, names in CONVENTIONS.items()
        }
        for model in (theirs, ours)
    )
    return differences(one, two)


def checkpoint_source(path: Path) -> Source:
    """The network in a checkpoint.

    Raises:
        ValueError: as ``load_checkpoint``.
    """
    state = load_checkpoint(path)
    return Source(
        path=path, state=state["model"], model=state["run"]["model"], classes=state["classes"]
    )


def finished_checkpoint(run: Run, earlier: RunPlace) -> Path:
    """The checkpoint of the finished network at ``earlier``, which ``run`` starts from.

    Raises:
        ValueError: if there is none, naming the command that trains it.
    """
    path = finished_network(earlier)
    if path is None:
        raise ValueError(
            f"{run.name} starts from the finished network of {run.start}, and {earlier.folder} has "
            f"none; train it first: python -m scripts.train {earlier.paper}/{run.start} "
            f"--scale {earlier.scale} --seed {earlier.seed} --out {earlier.out}"
        )
    return path


def with_padding(model: ModelConfig, tf_padding: bool) -> ModelConfig:
    """The network with or without the padding of weights from TensorFlow."""
    return replace(model, backbone=replace(model.backbone, tf_padding=tf_padding))


def is_pretrained(run: Run, place: RunPlace) -> bool:
    """Whether the first of the networks that led to ``run`` started from trained weights."""
    start = run.start if run.start in FROM_NO_RUN else first_start(place.sibling(run.start))
    return start != "scratch"


def first_start(place: RunPlace) -> str:
    """What the first of the networks that led to the one at ``place`` started from.

    Returns:
        one of FROM_NO_RUN.

    Raises:
        ValueError: if a network of that line is not there any more.
    """
    start: str = recorded_run(place)["start"]
    return start if start in FROM_NO_RUN else first_start(place.sibling(start))


def freeze_for_training(detector: Detector, run: Run, *, pretrained: bool) -> None:
    """Freezes what a run does not train: of pretrained weights the first stages and every batch
    norm, and all but its trainable part if it names one.
    """
    if pretrained:
        detector.freeze(run.model.backbone.frozen_stages)
    if run.train.trainable_part:
        freeze_all_but(detector, run.train.trainable_part)


def freeze_all_but(detector: nn.Module, part: str) -> None:
    """Freezes every weight and norm but those of the submodule ``part``."""
    detector.requires_grad_(False)
    freeze_norms(detector)
    detector.get_submodule(part).requires_grad_(True)
