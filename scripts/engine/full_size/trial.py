"""Tries networks at full size on noise: one training step and one detection, and what they cost."""

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
from scripts.engine.environment import pick_device
from scripts.engine.evaluation.cost import truncated_millions
from scripts.engine.places import find_run, papers, runs_of
from scripts.engine.synthetic import batch_for, largest_size, shrink_residual_branches
from scripts.engine.update.loss_scaler import LossScaler
from scripts.engine.update.optimizer import build_optimizer, learning_rate, set_learning_rate
from scripts.engine.update.update import DivergedError, update, weighted_sum
from scripts.engine.weights.start import freeze_for_training

# of the recipe's rate, which is meant for pretrained weights and sends random ones far away
RATE_SHARE = 1e-3
CERTAIN = 20.0  # added to a class logit: its score is 1 then, whatever the others are
GB = 1e9


class Trial(NamedTuple):
    """What came of a run: what went wrong as a sentence, or None, and the peak in bytes."""

    problem: str | None
    peak: float


def try_runs(names: list[str], device_name: str) -> int:
    """Tries each run and prints a summary.

    Args:
        names: "paper/run" of each.
        device_name: "auto", "cpu" or "cuda".

    Returns:
        the exit code: 1 if a run does not work.
    """
    device = pick_device(device_name)
    runs = {name: find_run(name) for name in names}
    trials = {}
    for name, run in runs.items():
        if len(runs) > 1:
            trials[name] = in_own_process(try_run, name, run, device)
        else:
            trials[name] = try_run(name, run, device)
        if trials[name].problem is not None:
            print(f"  FAILED: {trials[name].problem}", flush=True)
    failures = [name for name, trial in trials.items() if trial.problem is not None]
    failed = f"; not: {', '.join(failures)}" if failures else ""
    largest = max(trials, key=lambda name: trials[name].peak)
    print(
        f"{len(runs) - len(failures)} of {len(runs)} runs work at full size on {device}{failed}; "
        f"highest peak memory {trials[largest].peak / GB:.2f} GB ({largest})"
    )
    return 1 if failures else 0


def all_runs() -> list[str]:
    """Every Run of experiments/*/runs.py as "paper/run", in the order of the files."""
    return [f"{paper}/{name}" for paper in papers() for name in runs_of(paper)]


def in_own_process(work: Callable[..., Trial], *given: object) -> Trial:
    """``work(*given)`` in a new process, with a memory of its own, and whose end stops no other."""
    with ProcessPoolExecutor(max_workers=1, mp_context=get_context("spawn")) as pool:
        try:
            return pool.submit(work, *given).result()
        except BrokenProcessPool:
            reason = "its process was ended from outside, most likely for want of memory"
            return Trial(reason, 0.0)


def try_run(name: str, run: Run, device: torch.device) -> Trial:
    """Builds, steps, detects, and prints what it took."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    detector, batch = prepared(name, run).to(device), noise(run).to(device)
    problem = None
    try:
        for title, work in (("step", one_step), ("detection", one_detection)):
            began = time.monotonic()
            result = work(detector, run, batch)
            print(f"  {title} {time.monotonic() - began:.1f} s: {result}", flush=True)
    except (DivergedError, ValueError, torch.cuda.OutOfMemoryError) as error:
        problem = str(error)
    height, width = batch.image_sizes[0]
    peak = peak_memory(device)
    print(f"  peak memory {peak / GB:.2f} GB with one picture of {height} x {width} px", flush=True)
    return Trial(problem, peak)


def peak_memory(device: torch.device) -> float:
    """Bytes at the peak, of the GPU's allocator since its reset, or of the process."""
    if device.type == "cuda":
        return float(torch.cuda.max_memory_allocated(device))
    unit = 1 if sys.platform == "darwin" else 1024
    return float(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit)


def noise(run: Run) -> Batch:
    """One picture of noise with all that the run's network is trained on.

    It has objects, and masks or saved proposals if the network needs them.
    """
    return batch_for(run, images=1, size=largest_size(run.data))


def prepared(name: str, run: Run) -> Detector:
    """The network with random weights, frozen as in the run's training; says how large it is."""
    torch.manual_seed(0)
    detector = build_detector(run.model)
    shrink_residual_branches(detector)
    freeze_for_training(detector, run, pretrained=run.start != "scratch")
    total, trained = parameter_counts(detector)
    layer = 0
    for key, value in detector.named_parameters():
        layer += value.numel() if "log_variance" in key else 0
    print(
        f"{name}: {run.model.backbone.name}, {total:,} parameters "
        f"({truncated_millions(total):.2f} M, cut off), {trained:,} trained, "
        f"{layer:,} in log variance layers",
        flush=True,
    )
    return detector


def one_step(detector: Detector, run: Run, batch: Batch) -> str:
    """One update of the weights; returns what to print of it.

    Raises:
        DivergedError: if a loss is not finite.
        ValueError: if a weight is not finite after the step.
    """
    train = run.train
    optimizer = build_optimizer(detector, train)
    set_learning_rate(optimizer, RATE_SHARE * learning_rate(0, train))
    losses, statistics = update(
        detector.train(),
        optimizer,
        LossScaler(batch.images.device.type, enabled=False),
        [batch],
        step=0,
        max_norm=train.max_grad_norm,
        roi_loss_weight=train.roi_loss_weight,
    )
    bad = not_finite(dict(detector.named_parameters()))
    if bad:
        raise ValueError(f"after one step the weights {', '.join(bad)} are not finite")
    terms = ", ".join(f"{key} {value:.4g}" for key, value in losses.items())
    total = weighted_sum(losses, train.roi_loss_weight)
    return f"loss {total:.4g} ({terms}), gradient norm {statistics['gradient_norm']:.4g}"


def one_detection(detector: Detector, run: Run, batch: Batch) -> str:
    """Everything that the network gives for the picture; returns what to print of it.

    Raises:
        ValueError: if something is not finite, or there is nothing.
    """
    detector.eval().requires_grad_(False)
    if detector.roi is None:
        proposals = detector.proposals(batch, run.model.rpn.post_nms_test)[0]
        return checked(vars(proposals), f"{len(proposals.boxes)} proposals")
    second_pass = run.model.iou is not None or run.model.mask is not None
    if second_pass:
        favor_one_class(detector)
    features = detector.features(batch)
    candidates = detector.candidates(batch, 0.05 if second_pass else 0.0, features)[0]
    results, summary = dict(vars(candidates)), f"{len(candidates.scores)} candidates"
    if detector.mask is not None:
        detections = [postprocess(candidates, PostprocessConfig())]
        final = detector.mask.masks(features, batch, detections)[0]
        results["masks"] = final.masks
        summary += f", {len(final.scores)} masks"
    return checked(results, summary)


def checked(results: dict[str, Tensor | None], summary: str) -> str:
    """``summary`` of the results of a network.

    Raises:
        ValueError: if a result is not finite, or there are no boxes.
    """
    bad = not_finite(results)
    if bad:
        raise ValueError(f"the {' and '.join(bad)} found are not finite")
    boxes = results["boxes"]
    if boxes is None or not len(boxes):
        raise ValueError("nothing was found")
    return summary


def not_finite(values: dict[str, Tensor | None]) -> list[str]:
    """The names of the tensors that have an infinite or undefined element."""
    bad = []
    for name, value in values.items():
        if isinstance(value, Tensor) and not bool(torch.isfinite(value).all()):
            bad.append(name)
    return bad


def favor_one_class(detector: Detector) -> None:
    """Makes class 1 certain in every RoI.

    Then there are as many candidates as RoIs, about what a trained network leaves, instead of K
    times as many, each of which goes through the IoU head.
    """
    bias = detector.get_submodule("roi.head.predictor.class_logits").bias
    bias[1] += CERTAIN  # type: ignore[index, operator]
