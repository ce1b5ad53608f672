"""Builds networks at the published size and trains one step on noise: python -m scripts.full_size [PAPER/RUN ...]

Shows without data that a run's full-size network can be built, trained and asked for detections on this machine, what
it costs, and that every number is finite. One picture at the largest size of the run's test images. Without names:
every run of every paper, each in a process of its own, so that the peak memory is that run's alone. Exit code 1 if
something fails.
"""

import argparse
import resource
import sys
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context
from typing import NamedTuple

import torch
from torch import Tensor

from data.records import Batch
from experiments.records import Run
from models.build import build_detector, parameter_counts
from models.detector import Detector
from postprocess.pipeline import PostprocessConfig, postprocess
from scripts.engine.command import exit_code
from scripts.engine.cost import truncated_millions
from scripts.engine.optimizer import build_optimizer, learning_rate, set_learning_rate
from scripts.engine.places import find_run, papers, pick_device, runs_of
from scripts.engine.start import learn_only
from scripts.engine.synthetic import largest_size, random_batch, tame
from scripts.engine.update import DivergedError, update, weighted_sum

RATE_SHARE = 1e-3  # of the recipe's rate, which is meant for pretrained weights and sends random ones far away
CERTAIN = 20.0  # added to a class logit: its score is 1 then, whatever the others are
GB = 1e9


class Trial(NamedTuple):
    """What came of a run: the sentence that says what went wrong, or None, and the peak memory in bytes."""

    problem: str | None
    peak: float


def all_runs() -> list[str]:
    """ "paper/run" of every Run in experiments/*/runs.py, in the order of the files."""
    return [f"{paper}/{name}" for paper in papers() for name in runs_of(paper)]


def peak_memory(device: torch.device) -> float:
    """Bytes at the peak: of the GPU's allocator since its last reset, or of the process since it began."""
    if device.type == "cuda":
        return float(torch.cuda.max_memory_allocated(device))
    kilobytes = 1 if sys.platform == "darwin" else 1024
    return float(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * kilobytes)


def noise(run: Run) -> Batch:
    """One picture with all that the run's network learns from: objects, and masks or saved proposals if need be."""
    model, data = run.model, run.data
    return random_batch(images=1, size=largest_size(data), pixels=data.pixels, num_classes=model.num_classes,
                        divisor=data.size_divisor, masks=model.mask,
                        proposals=data.proposals_test if model.region_proposal == "saved" else 0,
                        generator=torch.Generator().manual_seed(0))


def prepared(name: str, run: Run) -> Detector:
    """The network with random weights, frozen as in the run's training; says how large it is."""
    torch.manual_seed(0)
    detector = build_detector(run.model)
    tame(detector)
    detector.freeze(run.model.frozen_stages)
    if run.train.only:
        learn_only(detector, run.train.only)
    total, trained = parameter_counts(detector)
    layer = sum(value.numel() for key, value in detector.named_parameters() if "log_variance" in key)
    print(f"{name}: {run.model.backbone}, {total:,} parameters ({truncated_millions(total):.2f} M, cut off), "
          f"{trained:,} trained, {layer:,} in log variance layers", flush=True)
    return detector


def one_step(detector: Detector, run: Run, batch: Batch) -> str:
    """One update of the weights, and what to say of it. Raises: DivergedError or ValueError for what is not finite."""
    train = run.train
    optimizer = build_optimizer(detector, train)
    set_learning_rate(optimizer, RATE_SHARE * learning_rate(0, train))
    scaler = torch.amp.GradScaler(batch.images.device.type, enabled=False)
    losses, statistics = update(detector.train(), optimizer, scaler, [batch], step=0, seed=0,
                                max_norm=train.max_grad_norm, roi_loss_weight=train.roi_loss_weight)
    bad = [key for key, value in detector.named_parameters() if not bool(torch.isfinite(value).all())]
    if bad:
        raise ValueError(f"after one step the weights {', '.join(bad)} are not finite")
    terms = ", ".join(f"{key} {value:.4g}" for key, value in losses.items())
    return (f"loss {weighted_sum(losses, train.roi_loss_weight):.4g} ({terms}), gradient norm "
            f"{statistics['gradient_norm']:.4g}")


def one_detection(detector: Detector, run: Run, batch: Batch) -> str:
    """All that the network finds in the picture, and what to say of it. Raises: ValueError for what is not finite."""
    detector.eval().requires_grad_(False)
    if detector.roi_head is None:
        found = vars(detector.proposals(batch, run.model.post_nms_test)[0])
        said = f"{len(found['boxes'])} proposals"
    else:
        looks_again = run.model.iou_head or run.model.mask
        if looks_again:
            favor_one_class(detector)
        features = detector.features(batch)
        candidates = detector.candidates(batch, 0.05 if looks_again else 0.0, features)[0]
        found = dict(vars(candidates))
        said = f"{len(candidates.scores)} candidates"
        if run.model.mask:
            final = detector.masks(batch, [postprocess(candidates, PostprocessConfig())], features)[0]
            found["masks"] = final.masks
            said += f", {len(final.scores)} masks"
    bad = [key for key, value in found.items() if isinstance(value, Tensor) and not bool(torch.isfinite(value).all())]
    if bad or not len(found["boxes"]):
        raise ValueError(f"the {' and '.join(bad)} found are not finite" if bad else "nothing was found")
    return said


def favor_one_class(detector: Detector) -> None:
    """Makes class 1 certain in every RoI: as many candidates as RoIs, about what a trained network leaves, instead of K
    times as many, each of which the IoU head would look at."""
    detector.get_submodule("roi_head.predictor.class_logits").bias[1] += CERTAIN  # type: ignore[index, operator]


def try_run(name: str, run: Run, device: torch.device) -> Trial:
    """Builds, steps, detects, and prints what it took."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    detector, batch = prepared(name, run).to(device), noise(run).to(device)
    problem = None
    try:
        for what, work in (("step", one_step), ("detection", one_detection)):
            began = time.monotonic()
            said = work(detector, run, batch)
            print(f"  {what} {time.monotonic() - began:.1f} s: {said}", flush=True)
    except (DivergedError, ValueError, torch.cuda.OutOfMemoryError) as error:
        problem = str(error)
    height, width = batch.image_sizes[0]
    print(f"  peak memory {peak_memory(device) / GB:.2f} GB with one picture of {height} x {width} px", flush=True)
    return Trial(problem, peak_memory(device))


def alone(work: Callable[..., Trial], *given: object) -> Trial:
    """``work(*given)`` in a new process, whose memory is its own and whose end stops no other run."""
    with ProcessPoolExecutor(max_workers=1, mp_context=get_context("spawn")) as pool:
        try:
            return pool.submit(work, *given).result()
        except BrokenProcessPool:
            return Trial("its process was ended from outside, most likely for want of memory", 0.0)


def try_runs(names: list[str], asked: str) -> int:
    """Tries each run, prints a summary, and returns the exit code."""
    device = pick_device(asked)
    runs = {name: find_run(name) for name in names}
    trials = {}
    for name, run in runs.items():
        trials[name] = alone(try_run, name, run, device) if len(runs) > 1 else try_run(name, run, device)
        if trials[name].problem is not None:
            print(f"  FAILED: {trials[name].problem}", flush=True)
    failures = [name for name, trial in trials.items() if trial.problem is not None]
    largest = max(trials, key=lambda name: trials[name].peak)
    print(f"{len(runs) - len(failures)} of {len(runs)} runs work at full size on {device}"
          + (f"; not: {', '.join(failures)}" if failures else "")
          + f"; highest peak memory {trials[largest].peak / GB:.2f} GB ({largest})")
    return 1 if failures else 0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("runs", nargs="*", metavar="PAPER/RUN", help="for example kl_loss/vgg16_coco_kl; default: all")
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")
    args = parser.parse_args()
    return exit_code(lambda: try_runs(args.runs or all_runs(), args.device))


if __name__ == "__main__":
    sys.exit(main())
