"""Detectors of others in our form: python -m scripts.convert_weights FILE [--run kl_loss/r50_fpn_kl] [--out FILE.pt]

FILE holds a Faster or Mask R-CNN with a ResNet, with a feature pyramid or C4, of torchvision (.pth), Detectron (.pkl;
also of the KL Loss authors) or Detectron2 (.pkl, .pth), or one of these as .safetensors. The result is a checkpoint:
python -m scripts.detect takes it, and with --run python -m scripts.train takes it as --resume.
Without --run the network is the file's own, with the conventions of its code base; with it, that run's, and what the
file does not have keeps its initial values. Exit code: 0 converted, 2 the file does not fit.
"""

import argparse
import json
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torchvision.models.detection import FasterRCNN_ResNet50_FPN_Weights

from data.config import DataConfig
from experiments.records import Run, TrainConfig
from models.build import ModelConfig, build_detector
from models.weights.conventions import PIXELS, conventions, habits
from models.weights.detectors import Format, detect_format, from_detectron, from_detectron2, from_torchvision
from models.weights.imagenet import backbone_matches
from scripts.engine.checkpoint import differences, plain, save_tensors, write_atomically
from scripts.engine.command import exit_code
from scripts.engine.optimizer import build_optimizer
from scripts.engine.places import find_run
from scripts.engine.start import CODED, learn_only
from scripts.engine.weight_file import read_weights

COCO_IDS = tuple(FasterRCNN_ResNet50_FPN_Weights.COCO_V1.meta["categories"])  # by category id; 0 is background
UNUSED = "N/A"  # the ten category ids of COCO without a class
COCO = tuple(name for name in COCO_IDS[1:] if name != UNUSED)
SHOWN = 6  # names of a list


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m scripts.convert_weights", description=__doc__, allow_abbrev=False,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path, metavar="FILE", help="weights of torchvision, Detectron or Detectron2")
    parser.add_argument("--run", default=None, metavar="PAPER/RUN",
                        help="the network to fill (default: the file's own)")
    parser.add_argument("--out", type=Path, default=None, metavar="FILE.pt",
                        help="where the checkpoint goes (default: FILE with the ending .converted.pt)")
    parser.add_argument("--norm-eps", type=float, default=0.0, metavar="EPS",
                        help="torchvision only: eps of its norms, 0 in the published COCO weights (default), 1e-5 in "
                        "networks trained from ImageNet weights")
    return parser.parse_args(arguments)


def in_our_names(state: Mapping[str, Tensor], path: Path, norm_eps: float
                 ) -> tuple[Format, dict[str, Tensor], list[str]]:
    """Whose weights ``state`` are, the same in our names, and the names that have no place in a network of ours.

    Raises: ValueError if they are no detector of another code base.
    """
    source = detect_format(state)
    if source in ("imagenet", "ours"):
        what = ("ImageNet weights; pass them to scripts.train as --weights" if source == "imagenet" else "weights that "
                "have our names already; scripts.detect takes the checkpoints of scripts.train as they are")
        raise ValueError(f"{path} holds {what}.")
    convert: dict[str, Callable[[Mapping[str, Tensor]], dict[str, Tensor]]] = {
        "torchvision": partial(from_torchvision, norm_eps=norm_eps), "detectron": from_detectron,
        "detectron2": from_detectron2}
    unused = [name for name, value in state.items() if not has_no_place(name) and not convert[source]({name: value})]
    return source, convert[source](state), unused


def has_no_place(name: str) -> bool:
    """Whether a tensor is one that nothing reads, or Caffe's bias of conv1, which goes into the mean of its norm."""
    return name.endswith("num_batches_tracked") or name == "conv1_b"


def own_run(source: Format, state: Mapping[str, Tensor], name: str) -> Run:
    """A Run of the network whose weights ``state`` are, on COCO at the size and with the recipe that all three code
    bases have."""
    model = ModelConfig(**conventions(source, state))
    data = DataConfig(layout="coco", train=("train2017",), test="val2017", short_side=800, long_side=1333,
                      pixels=PIXELS[source], size_divisor=32, on_bad_box="skip", masks=model.mask)
    train = TrainConfig(batch_size=16, iterations=180_000, lr=0.02, lr_drops=(120_000, 160_000), warmup_iterations=500,
                        weight_decay=1e-4, bias_decay=False)
    return Run(name=name, model=model, data=data, train=train)


def class_names(count: int) -> list[str]:
    """COCO's 80 classes, its 90 category ids, or numbers."""
    known = {len(COCO): COCO, len(COCO_IDS) - 1: COCO_IDS[1:]}
    return list(known.get(count, [f"class {k}" for k in range(1, count + 1)]))


def only_used_classes(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors of a network with a class for each of COCO's 90 category ids, for the 80 that have one."""
    kept = torch.tensor([k for k, name in enumerate(COCO_IDS) if name != UNUSED])
    changed = dict(state)
    layers = {"roi_head.predictor.class_logits": 1, "roi_head.predictor.offsets": 4, "mask_head.logits": 1}
    for layer, rows in layers.items():
        for name in (f"{layer}.weight", f"{layer}.bias"):
            if name in state and len(state[name]) == rows * len(COCO_IDS):
                changed[name] = state[name].unflatten(0, (-1, rows))[kept].flatten(0, 1)
    return changed


def fill(detector: torch.nn.Module, state: Mapping[str, Tensor], path: Path) -> tuple[list[str], list[str], list[str]]:
    """Puts ``state`` into ``detector``; returns which names matched, which are missing and which are too many.

    Raises: ValueError if a shape does not fit or under 95 % of the backbone's tensors are there.
    """
    own = detector.state_dict()
    matched = [name for name in state if name in own]
    for name in matched:
        if own[name].shape != state[name].shape:
            raise ValueError(f"{path}: {name} is {tuple(state[name].shape)} in the file and {tuple(own[name].shape)} "
                             "in the network; give weights of the same network, or leave --run out to keep the file's.")
    backbone_matches(own, state, path, "backbone")
    detector.load_state_dict({name: state[name] for name in matched}, strict=False)
    missing_names = [name for name in own if name not in state and not has_no_place(name)]
    return matched, missing_names, [name for name in state if name not in own]


def listed(names: Iterable[str]) -> str:
    """How many names, and the first of them."""
    names = list(names)
    more = f", ... and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return f"{len(names)}" + (f": {', '.join(names[:SHOWN])}{more}" if names else "")


def print_differences(source: Format, state: Mapping[str, Tensor], run: Run) -> None:
    """Says where the run's network or pixels are not those that the weights were trained for."""
    theirs = {**habits(source, state), "pixels": PIXELS[source]}
    ours = {**asdict(run.model), "pixels": run.data.pixels}
    found = differences(plain(theirs), plain({name: ours[name] for name in theirs}))
    if found:
        print(f"differs, {source} -> {run.name}: " + "; ".join(found))


def convert(args: argparse.Namespace) -> None:
    out = args.out or args.file.with_suffix(".converted.pt")
    if out.resolve() == args.file.resolve():
        raise ValueError(f"--out {out} is the file to convert; choose another name.")
    source, state, unused = in_our_names(read_weights(args.file), args.file, args.norm_eps)
    run = find_run(args.run) if args.run else own_run(source, state, args.file.stem)
    if args.run:
        print_differences(source, state, run)
        logits = state.get("roi_head.predictor.class_logits.bias", ())
        if len(logits) == len(COCO_IDS) and run.model.num_classes == len(COCO):
            print(f"classes: the {len(COCO_IDS) - 1} category ids of COCO become its {len(COCO)} classes")
            state = only_used_classes(state)
        if habits(source, state)["box_coding"] != run.model.box_coding:  # as in scripts.engine.start
            print("boxes: coded in another way, so the box layers keep their initial values")
            state = {name: value for name, value in state.items() if not name.startswith(CODED)}
    detector = build_detector(run.model)
    matched, missing, unexpected = fill(detector, state, args.file)
    print(f"network: {source}'s {run.model.backbone} with {'a pyramid' if run.model.pyramid else 'a conv5 head'}, "
          f"{run.model.num_classes} classes, masks: {'yes' if run.model.mask else 'no'}, log variances: "
          f"{'yes' if run.model.log_variance else 'no'}")
    print(f"matched: {len(matched)} tensors")
    print(f"missing in the file: {listed(missing)}")
    print(f"unexpected in the file: {listed(unused + unexpected)}")
    if missing and not args.run:
        raise ValueError(f"{args.file} lacks {missing[0]} and is of a network that this code does not have; name the "
                         "network to fill with --run.")
    if run.start != "scratch":  # as scripts.train does before it makes its optimizer
        detector.freeze(run.model.frozen_stages)
    if run.train.only:
        learn_only(detector, run.train.only)
    content: dict[str, Any] = {
        "model": detector.state_dict(), "optimizer": build_optimizer(detector, run.train).state_dict(), "scaler": {},
        "step": 0, "seed": 0, "seconds": 0.0, "run": plain(asdict(run)), "classes": class_names(run.model.num_classes)}
    digest = save_tensors(out, content)
    write_atomically(out.with_suffix(".json"), json.dumps({"step": 0, "sha256": digest}))
    print(f"wrote {out}")


def main(arguments: Sequence[str] | None = None) -> int:
    args = parse(arguments)
    return exit_code(lambda: convert(args))


if __name__ == "__main__":
    sys.exit(main())
