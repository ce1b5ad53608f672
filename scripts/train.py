"""Trains one run: python -m scripts.train kl_loss/vgg16_coco_kl --scale mini

The loop reads from top to bottom: run, data, network, optimizer, resume, then one update after another. Every random
draw is keyed by (seed, step), so stopping and resuming changes nothing.
"""

import argparse
import json
import signal
import sys
import time
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch

from data.loader import train_batches
from experiments.records import Run
from experiments.scales import SCALES
from scripts.engine.checkpoint import (
    check_same_run,
    load_checkpoint,
    newest_checkpoint,
    plain,
    save_checkpoint,
    write_atomically,
)
from scripts.engine.command import exit_code
from scripts.engine.optimizer import build_optimizer, learning_rate, scaled_to_batch, set_learning_rate
from scripts.engine.places import add_common_arguments, find_run, on_this_data, open_dataset, pick_device, run_folder
from scripts.engine.progress import Progress
from scripts.engine.start import beside, prepared_detector, with_pixels_of
from scripts.engine.update import DivergedError, update, weighted_sum
from scripts.save_proposals import add_proposals_argument, ensure_proposals

AMP_TYPES = {"off": None, "bf16": torch.bfloat16, "fp16": torch.float16}
SAVE_EVERY_S = 300.0
DIVERGED, STOPPED = 4, 75  # exit codes


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("run", help="paper/run, for example kl_loss/vgg16_coco_kl")
    add_common_arguments(parser)
    add_proposals_argument(parser)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--resume", default="auto", help="auto (continue if there is a checkpoint), none, or a file")
    parser.add_argument("--weights", default="auto", help="ImageNet weights: auto (torchvision's), none, or a file")
    parser.add_argument("--amp", choices=sorted(AMP_TYPES), default="off", help="mixed precision, on CUDA")
    parser.add_argument("--batch-size", type=int, default=None, help="scale the recipe linearly to this many images")
    parser.add_argument("--accumulate", type=int, default=1, help="forward passes an update (less memory, same batch)")
    parser.add_argument("--stop-after", type=int, default=None, help="stop (resumably) after so many updates")
    return parser.parse_args()


def configured(args: argparse.Namespace) -> Run:
    """The run at its scale, with what the command line changes; prints the linear scaling rule when it acts."""
    run = on_this_data(SCALES[args.scale](find_run(args.run)), args)
    if args.weights == "none" and run.start == "imagenet":
        run = replace(run, start="scratch")
    elif run.start not in ("imagenet", "scratch"):
        paper = args.run.partition("/")[0]
        run = with_pixels_of(run, beside(run_folder(args.out, args.scale, run.name, paper, args.seed), run.start))
    elif args.weights == "auto" and run.model.tf_padding:
        print("weights: torchvision's, so pixels and padding follow torchvision instead of TensorFlow")
        run = replace(run, model=replace(run.model, tf_padding=False), data=replace(run.data, pixels="torchvision"))
    if args.batch_size is not None and args.batch_size != run.train.batch_size:
        scaled = scaled_to_batch(run.train, args.batch_size)
        rule = "linear" if run.train.optimizer == "sgd" else "square root"
        print(f"{rule} scaling: batch {run.train.batch_size} -> {scaled.batch_size}, lr {run.train.lr:g} -> "
              f"{scaled.lr:g}, {run.train.iterations} -> {scaled.iterations} updates")
        run = replace(run, train=scaled)
    if not 1 <= args.accumulate <= run.train.batch_size:
        raise ValueError(f"--accumulate is {args.accumulate}; a batch of {run.train.batch_size} images can be split "
                         f"into 1 to {run.train.batch_size} forward passes.")
    return run


def check_proposals(key: str | None, state: dict[str, Any], path: Path) -> None:
    """Raises ValueError if the network in ``path`` learned from other proposals than those with this key."""
    if state.get("proposals") != key:
        raise ValueError(f"The network in {path} learned from other proposals; go on with the same ones, or start over "
                         "in another --out folder.")


def train(args: argparse.Namespace) -> int:
    run = configured(args)
    device = pick_device(args.device)
    amp = AMP_TYPES[args.amp] if device.type == "cuda" else None
    folder = run_folder(args.out, args.scale, run.name, args.run.partition("/")[0], args.seed)
    dataset = open_dataset(run, args, run.data.train)
    if len(dataset.classes) != run.model.num_classes:
        print(f"classes: the run has {run.model.num_classes}, the data set {len(dataset.classes)}; the network "
              "predicts the data set's")
        run = replace(run, model=replace(run.model, num_classes=len(dataset.classes)))
    finished = folder / "finished.json"
    if finished.is_file() and args.resume == "auto":
        check_same_run(json.loads((folder / "run.json").read_text()), run, folder)
        if args.proposals is not None:
            given = ensure_proposals(run, folder, args, dataset, "train")
            check_proposals(None if given is None else given.key, json.loads(finished.read_text()), folder)
        print(f"{folder}: already trained ({json.loads(finished.read_text())['step']} updates), nothing to do")
        return 0
    if args.resume == "none" and any(folder.glob("step-*.pt")):
        raise ValueError(f"--resume none: {folder} holds checkpoints of an earlier training; delete that folder to "
                         "train again, or choose another --out.")
    print(f"data: {len(dataset)} training images, {len(dataset.classes)} classes; device {device}; writing {folder}")
    proposals = ensure_proposals(run, folder, args, dataset, "train")
    proposals_key = None if proposals is None else proposals.key

    path = None if args.resume == "none" else newest_checkpoint(folder) if args.resume == "auto" else Path(args.resume)
    torch.manual_seed(args.seed)
    detector = prepared_detector(run, args.weights, folder, resumed=path is not None).to(device)
    optimizer = build_optimizer(detector, run.train)
    scaler = torch.amp.GradScaler(device.type, enabled=amp is torch.float16)
    start, seconds_before = 0, 0.0
    if path is not None:
        state = load_checkpoint(path)
        check_same_run(state["run"], run, path)
        if state["seed"] != args.seed:
            raise ValueError(f"The checkpoint {path} was trained with seed {state['seed']}; continue it with --seed "
                             f"{state['seed']}, or start seed {args.seed} in its own folder.")
        if state["step"]:  # converted weights have learned from none
            check_proposals(proposals_key, state, path)
        detector.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
        if scaler.is_enabled() and state["scaler"]:  # empty if the earlier part was not float16
            scaler.load_state_dict(state["scaler"])
        start, seconds_before = state["step"], state["seconds"]
        print(f"resume: {path} at update {start}")

    def seconds() -> float:
        return seconds_before + time.monotonic() - progress.began

    def checkpoint(step: int) -> None:
        state: dict[str, Any] = {"model": detector.state_dict(), "optimizer": optimizer.state_dict(),
                                 "scaler": scaler.state_dict(), "step": step, "seed": args.seed, "seconds": seconds(),
                                 "run": plain(asdict(run)), "classes": list(dataset.classes),
                                 "proposals": proposals_key}
        try:
            save_checkpoint(folder, step, state)
        except (OSError, RuntimeError) as error:
            if step == run.train.iterations:
                raise
            progress.say(f"warning: the checkpoint at update {step} could not be written ({error}); free some disk "
                         "space; training goes on and the last good checkpoint is kept.")

    write_atomically(folder / "run.json", json.dumps(plain(asdict(run)), indent=1))
    stop_signals: list[int] = []

    def stop(number: int, _: object) -> None:
        if stop_signals:  # the second signal does not wait for the update to end
            raise KeyboardInterrupt
        stop_signals.append(number)

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, stop)
    batches = train_batches(dataset, run.data, batch_size=run.train.batch_size, seed=args.seed, start=start,
                            workers=args.workers, proposals=proposals)
    progress = Progress(folder=folder, title=run.name, start=start, total=run.train.iterations)
    detector.train()
    saved_at, skipped = time.monotonic(), 0
    for step in range(start, run.train.iterations):
        asked = time.monotonic()
        batch = next(batches)
        waited = time.monotonic() - asked
        for sentence in batch.skipped:
            skipped += 1
            progress.say(f"skipped image {skipped}: {sentence}")
        rate = learning_rate(step, run.train)
        set_learning_rate(optimizer, rate)
        losses, statistics = update(detector, optimizer, scaler, batch.to(device).split(args.accumulate), step=step,
                                    seed=args.seed, amp=amp, max_norm=run.train.max_grad_norm,
                                    roi_loss_weight=run.train.roi_loss_weight)
        progress.step(step, losses, total=weighted_sum(losses, run.train.roi_loss_weight), lr=rate,
                      images=len(batch.images), waited=waited)
        if statistics:
            progress.scalars(step, {"train/lr": rate, "data/skipped": skipped,
                                    **{name if "/" in name else f"head/{name}": value
                                       for name, value in statistics.items()}})
        done = step + 1
        if stop_signals or (done - start == args.stop_after and done < run.train.iterations):
            checkpoint(done)
            progress.close()
            print(f"stopped after {done} of {run.train.iterations} updates; the same command continues")
            return STOPPED if stop_signals else 0
        if time.monotonic() - saved_at > SAVE_EVERY_S and done < run.train.iterations:
            checkpoint(done)
            saved_at = time.monotonic()
    checkpoint(run.train.iterations)
    progress.close()
    speed = run.train.iterations * run.train.batch_size / seconds()
    write_atomically(finished, json.dumps({
        "step": run.train.iterations, "seconds": round(seconds(), 1), "resumed_at": start, "device": str(device),
        "images_per_second": round(speed, 2), "skipped_images": skipped, "proposals": proposals_key}))
    print(f"trained {run.name} in {seconds() / 60:.1f} min, {speed:.1f} img/s")
    return 0


def main() -> int:
    args = arguments()
    try:
        return exit_code(lambda: train(args))
    except DivergedError as error:
        print(f"error: {error}", file=sys.stderr)
        return DIVERGED


if __name__ == "__main__":
    sys.exit(main())
