"""Turns the weights of other code bases' detectors into a checkpoint of ours."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

from torch import Tensor

from data.config import DataConfig
from experiments.records import Run, TrainConfig
from models.build import build_detector
from models.detector import Detector
from models.weights.conventions import PIXELS, conventions, network_of
from models.weights.detectors import (
    Format,
    detect_format,
    from_detectron,
    from_detectron2,
    from_torchvision,
)
from models.weights.imagenet import backbone_matches
from scripts.engine.places import find_run
from scripts.engine.run_folder.checkpoint import differences, plain, write_checkpoint
from scripts.engine.update.optimizer import build_optimizer
from scripts.engine.weights.coco_classes import COCO, COCO_IDS, class_names, used_classes
from scripts.engine.weights.fitting import without_coded_layers
from scripts.engine.weights.start import freeze_for_training
from scripts.engine.weights.weight_file import read_weights

LISTED = 6  # names of a list


@dataclass(frozen=True, kw_only=True)
class ForeignWeights:
    """The weights of a file in our names.

    source: whose they are. unused: the file's names that have no place in a network of ours.
    """

    source: Format
    state: dict[str, Tensor]
    unused: list[str]


def convert(file: Path, out: Path, run_name: str | None, norm_eps: float) -> None:
    """Writes the checkpoint of a foreign weight file.

    Args:
        file: the weights, of torchvision, Detectron or Detectron2.
        out: the checkpoint.
        run_name: "paper/run" of the network to fill; None: the file's own network.
        norm_eps: eps of the norms of torchvision's networks.

    Raises:
        ValueError: if the file is no such detector or does not fit the network.
    """
    if out.resolve() == file.resolve():
        raise ValueError(f"--out {out} is the file to convert; choose another name.")
    weights = in_our_names(read_weights(file), file, norm_eps)
    if run_name is None:
        run, state = own_run(weights, file.stem), weights.state
    else:
        run = find_run(run_name)
        print_differences(weights, run)
        state = fitted_to(run, weights)
    detector = build_detector(run.model)
    missing, unexpected = fill(detector, state, file)
    print_network(weights.source, run)
    print(f"matched: {len(state) - len(unexpected)} tensors")
    print(f"missing in the file: {listed(missing)}")
    print(f"unexpected in the file: {listed(weights.unused + unexpected)}")
    if missing and run_name is None:
        raise ValueError(
            f"{file} lacks {missing[0]} and is of a network that this code does not have; name the "
            "network to fill with --run."
        )
    write_checkpoint(out, 0, untrained_state(detector, run))
    print(f"wrote {out}")


def in_our_names(state: Mapping[str, Tensor], path: Path, norm_eps: float) -> ForeignWeights:
    """The weights of another code base in our names.

    Raises:
        ValueError: if they are no detector of another code base.
    """
    source = detect_format(state)
    if source == "imagenet":
        raise ValueError(f"{path} holds ImageNet weights; pass them to scripts.train as --weights.")
    if source == "ours":
        raise ValueError(
            f"{path} holds weights that have our names already; scripts.detect takes the "
            "checkpoints of scripts.train as they are."
        )
    converters: dict[str, Callable[[Mapping[str, Tensor]], dict[str, Tensor]]] = {
        "torchvision": partial(from_torchvision, norm_eps=norm_eps),
        "detectron": from_detectron,
        "detectron2": from_detectron2,
    }
    convert_names = converters[source]
    unused = []
    for name, value in state.items():
        if not is_never_read(name) and not convert_names({name: value}):
            unused.append(name)
    return ForeignWeights(source=source, state=convert_names(state), unused=unused)


def is_never_read(name: str) -> bool:
    """Whether nothing reads a tensor, or it is Caffe's bias of conv1, which its norm takes up."""
    return name.endswith("num_batches_tracked") or name == "conv1_b"


def own_run(weights: ForeignWeights, name: str) -> Run:
    """A Run of the file's network, on COCO with the size and recipe that all three code bases have.

    Args:
        weights: of the file.
        name: what the run is called.
    """
    model = network_of(weights.source, weights.state)
    data = DataConfig(
        layout="coco",
        train=("train2017",),
        test="val2017",
        short_side=800,
        long_side=1333,
        pixels=PIXELS[weights.source],
        size_divisor=32,
        on_bad_box="skip",
        masks=model.mask is not None,
    )
    train = TrainConfig(
        batch_size=16,
        iterations=180_000,
        lr=0.02,
        lr_drops=(120_000, 160_000),
        warmup_iterations=500,
        weight_decay=1e-4,
        bias_decay=False,
    )
    return Run(name=name, model=model, data=data, train=train)


def fitted_to(run: Run, weights: ForeignWeights) -> dict[str, Tensor]:
    """The tensors of a file that mean the same in the network of ``run``; says what it changes."""
    state = weights.state
    logits = state.get("roi.head.predictor.class_logits.bias", ())
    if len(logits) == len(COCO_IDS) and run.model.num_classes == len(COCO):
        print(
            f"classes: the {len(COCO_IDS) - 1} category ids of COCO become its {len(COCO)} classes"
        )
        state = used_classes(state)
    theirs = conventions(weights.source, state)
    fitting = without_coded_layers(state, theirs, asdict(run.model))
    if len(fitting) < len(state):
        print("boxes: coded in another way, so the box layers keep their initial values")
    return fitting


def fill(
    detector: Detector, state: Mapping[str, Tensor], path: Path
) -> tuple[list[str], list[str]]:
    """Puts ``state`` into ``detector``.

    Returns:
        the names that ``state`` lacks, and those that the network does not have.

    Raises:
        ValueError: if a shape does not fit or under 95 % of the backbone's tensors are there.
    """
    own = detector.state_dict()
    matched = {name: value for name, value in state.items() if name in own}
    for name, value in matched.items():
        if own[name].shape != value.shape:
            raise ValueError(
                f"{path}: {name} is {tuple(value.shape)} in the file and "
                f"{tuple(own[name].shape)} in the network; give weights of the same network, or "
                "leave --run out to keep the file's."
            )
    backbone_matches(own, state, path, "backbone")
    detector.load_state_dict(matched, strict=False)
    missing = [name for name in own if name not in state and not is_never_read(name)]
    return missing, [name for name in state if name not in own]


def print_differences(weights: ForeignWeights, run: Run) -> None:
    """Says where the run's network or pixels are not those that the weights were trained for."""
    source = weights.source
    theirs: dict[str, Any] = conventions(source, weights.state)
    ours = asdict(run.model)
    if ours["mask"] is None:
        theirs.pop("mask")
    same_fields = {group: {name: ours[group][name] for name in theirs[group]} for group in theirs}
    changed = differences(
        plain({**theirs, "pixels": PIXELS[source]}),
        plain({**same_fields, "pixels": run.data.pixels}),
    )
    if changed:
        print(f"differs, {source} -> {run.name}: " + "; ".join(changed))


def print_network(source: Format, run: Run) -> None:
    """Says which network comes out."""
    model = run.model
    head = "a pyramid" if model.backbone.pyramid else "a conv5 head"
    masks, log_variances = yes_or_no(model.mask is not None), yes_or_no(model.roi.log_variance)
    print(
        f"network: {source}'s {model.backbone.name} with {head}, {model.num_classes} classes, "
        f"masks: {masks}, log variances: {log_variances}"
    )


def yes_or_no(value: bool) -> str:
    return "yes" if value else "no"


def listed(names: Iterable[str]) -> str:
    """How many names, and the first of them."""
    names = list(names)
    if not names:
        return "0"
    more = f", ... and {len(names) - LISTED} more" if len(names) > LISTED else ""
    return f"{len(names)}: {', '.join(names[:LISTED])}{more}"


def untrained_state(detector: Detector, run: Run) -> dict[str, Any]:
    """What a checkpoint holds before the first update, frozen as scripts.train freezes."""
    freeze_for_training(detector, run, pretrained=run.start != "scratch")
    return {
        "model": detector.state_dict(),
        "optimizer": build_optimizer(detector, run.train).state_dict(),
        "scaler": {},
        "step": 0,
        "seed": 0,
        "seconds": 0.0,
        "run": plain(asdict(run)),
        "classes": class_names(run.model.num_classes),
    }
