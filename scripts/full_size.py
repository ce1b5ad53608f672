"""Builds networks at the published size and trains one step on noise: python -m scripts.full_size [PAPER/RUN ...]

Shows without data that a run's full-size network can be built, trained and asked for candidates on this machine, what
it costs, and that every number is finite. Without names: every run of every paper. Exit code 1 if something fails.
"""

import argparse
import resource
import sys
import time

import torch

from experiments.records import Run
from models.build import build_detector, parameter_counts
from scripts.command import exit_code
from scripts.cost import truncated_millions
from scripts.lookup import find_run, papers, pick_device, runs_of
from scripts.optimisation import build_optimiser, learning_rate, set_learning_rate
from scripts.synthetic import random_batch, tame
from scripts.update import DivergedError, update, weighted_sum

IMAGE = (600, 800)  # (height, width) px
RATE_SHARE = 1e-3  # of the recipe's rate, which is meant for pretrained weights and sends random ones far away
GB = 1e9


def all_runs() -> list[str]:
    """ "paper/run" of every Run in experiments/*/runs.py, in the order of the files."""
    return [f"{paper}/{name}" for paper in papers() for name in runs_of(paper)]


def peak_memory(device: torch.device) -> float:
    """Bytes at the peak: of the GPU's allocator since its last reset, or of the process since it began."""
    if device.type == "cuda":
        return float(torch.cuda.max_memory_allocated(device))
    kilobytes = 1 if sys.platform == "darwin" else 1024
    return float(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * kilobytes)


def try_run(name: str, run: Run, device: torch.device) -> str | None:
    """Builds, steps, detects, and prints what it took; None, or the sentence that says what went wrong."""
    torch.manual_seed(0)
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    detector = build_detector(run.model).to(device)
    tame(detector)
    detector.freeze(run.model.frozen_stages)
    total, trained = parameter_counts(detector)
    layer = sum(value.numel() for key, value in detector.named_parameters() if "log_variance" in key)
    print(f"{name}: {run.model.backbone}, {total:,} parameters ({truncated_millions(total):.2f} M, cut off), "
          f"{trained:,} trained, {layer:,} in log variance layers", flush=True)
    batch = random_batch(images=1, size=IMAGE, pixels=run.data.pixels, num_classes=run.model.num_classes,
                         generator=torch.Generator().manual_seed(0)).to(device)
    optimiser = build_optimiser(detector, run.train)
    set_learning_rate(optimiser, RATE_SHARE * learning_rate(0, run.train))
    scaler = torch.amp.GradScaler(device.type, enabled=False)
    began = time.monotonic()
    try:
        losses, statistics = update(detector.train(), optimiser, scaler, [batch], step=0, seed=0,
                                    max_norm=run.train.max_grad_norm,
                                    roi_loss_weight=run.train.roi_loss_weight)
        step_s = time.monotonic() - began
        bad = [key for key, value in detector.named_parameters() if not bool(torch.isfinite(value).all())]
        if bad:
            return f"after one step the weights {', '.join(bad)} are not finite"
        began = time.monotonic()
        found = detector.eval().candidates(batch, score_threshold=0.0)[0]
        detect_s = time.monotonic() - began
    except (DivergedError, ValueError) as error:
        return str(error)
    columns = [found.boxes, found.scores, found.variances, found.pixel_variances]
    if not all(bool(torch.isfinite(column).all()) for column in columns if column is not None):
        return "a candidate is not finite"
    memory = f"{peak_memory(device) / GB:.2f} GB" + ("" if device.type == "cuda" else " of the process so far")
    terms = ", ".join(f"{key} {value:.4g}" for key, value in losses.items())
    print(f"  step {step_s:.1f} s: loss {weighted_sum(losses, run.train.roi_loss_weight):.4g} ({terms}), gradient norm "
          f"{statistics['gradient_norm']:.4g}\n  detection {detect_s:.1f} s: {len(found.scores)} candidates; "
          f"peak memory {memory}", flush=True)
    return None if len(found.scores) else "there is no candidate"


def try_runs(names: list[str], asked: str) -> int:
    """Tries each run, prints a summary, and returns the exit code."""
    device = pick_device(asked)
    runs = {name: find_run(name) for name in names}
    failures = {}
    for name, run in runs.items():
        problem = try_run(name, run, device)
        if problem is not None:
            failures[name] = problem
            print(f"  FAILED: {problem}", flush=True)
    print(f"{len(runs) - len(failures)} of {len(runs)} runs work at full size on {device}"
          + (f"; not: {', '.join(failures)}" if failures else ""))
    return 1 if failures else 0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("runs", nargs="*", metavar="PAPER/RUN", help="for example kl_loss/vgg16_coco_kl; default: all")
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")
    args = parser.parse_args()
    return exit_code(lambda: try_runs(args.runs or all_runs(), args.device))


if __name__ == "__main__":
    sys.exit(main())
