"""The latency of a table's networks, timed in one process and in turn.

Weights are random, which costs the same time as trained ones, except that hardly any score is above
the threshold. So the network's threshold is set to let through as many candidates as a trained
network gives, and the post-processing is timed on synthetic candidates, the same for every row.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch

from data.records import Batch, Candidates
from experiments.records import Row, Run
from models.build import build_detector
from models.detector import Detector
from postprocess.pipeline import postprocess
from scripts.engine.synthetic import (
    largest_size,
    random_batch,
    shrink_residual_branches,
    trained_candidates,
)
from scripts.engine.timing import Action, Times, interleaved
from scripts.engine.update.loss_scaler import LossScaler
from scripts.engine.update.optimizer import build_optimizer, set_learning_rate
from scripts.engine.update.update import update
from scripts.engine.weights.start import freeze_for_training


@dataclass(frozen=True, kw_only=True)
class Latencies:
    """The times of each row, in ms, by what was timed: "latency", "network", "postprocess", ...

    candidates: how many boxes the post-processing was given. repeats: timed calls of each.
    """

    times: dict[str, list[Times]]
    candidates: int
    repeats: int

    def ratio(self, row: int) -> float:
        """The latency of a row divided by that of the first row."""
        latencies = self.times["latency"]
        return latencies[row].median / latencies[0].median

    def metrics(self, row: int) -> dict[str, float]:
        """The numbers of a row as results keep them."""
        latency = self.times["latency"][row]
        medians = {f"{name}_ms": times[row].median for name, times in self.times.items()}
        return {
            **medians,
            "latency_q1_ms": latency.q1,
            "latency_q3_ms": latency.q3,
            "ratio": self.ratio(row),
            "candidates": self.candidates,
            "repeats": self.repeats,
        }


def time_rows(
    rows: Sequence[Row],
    runs: Sequence[Run],
    repeats: int,
    device: torch.device,
    *,
    train_step: bool,
) -> Latencies:
    """Times network, post-processing and both for each row.

    Args:
        rows: of a table.
        runs: of each row, at the scale of the command.
        repeats: timed calls of each.
        device: where the networks run.
        train_step: whether a training step of each run is timed as well.
    """
    data, classes = runs[0].data, runs[0].model.num_classes
    size = largest_size(data)
    generator = torch.Generator().manual_seed(0)
    batch = random_batch(
        images=1, size=size, pixels=data.pixels, num_classes=classes, generator=generator
    ).to(device)
    full = trained_candidates(size=size, num_classes=classes, generator=generator).to(device)
    count = len(full.scores)
    print(
        f"image {size[0]} x {size[1]} px of noise, random weights; synthetic candidates: {count} "
        f"boxes of {classes} classes, the same for every row; medians (quartiles) of {repeats} "
        "calls in turn, ms",
        flush=True,
    )
    detectors = random_detectors(runs, device)
    thresholds = {
        name: threshold_for(detector, batch, count) for name, detector in detectors.items()
    }
    actions = [
        row_actions(row, run, detectors[run.name], batch, thresholds[run.name], full)
        for row, run in zip(rows, runs, strict=True)
    ]
    times = {}
    for index, name in ((2, "latency"), (0, "network"), (1, "postprocess")):
        times[name] = interleaved([each[index] for each in actions], repeats, device)
    if train_step:
        times["train_step"] = time_steps(detectors, runs, repeats, device)
    return Latencies(times=times, candidates=count, repeats=repeats)


def random_detectors(runs: Sequence[Run], device: torch.device) -> dict[str, Detector]:
    """The network of each run with random weights, by the run's name."""
    torch.manual_seed(0)
    detectors = {run.name: build_detector(run.model).to(device).eval() for run in runs}
    for detector in detectors.values():
        shrink_residual_branches(detector)
    return detectors


def threshold_for(detector: Detector, batch: Batch, count: int) -> float:
    """The score threshold that lets through ``count`` candidates (fewer if there are fewer)."""
    scores = detector.candidates(batch, 0.0)[0].scores.sort(descending=True).values
    return float(scores[count]) if len(scores) > count else 0.0


def row_actions(
    row: Row, run: Run, detector: Detector, batch: Batch, threshold: float, candidates: Candidates
) -> tuple[Action, Action, Action]:
    """What is timed of a row: the network, the post-processing, and one after the other.

    Args:
        row: whose post-processing it is.
        run: of the row.
        detector: of the run.
        batch: one image.
        threshold: least score of the network's candidates.
        candidates: what the post-processing is given.
    """
    boxes = candidates
    if not run.model.roi.log_variance:
        boxes = replace(candidates, variances=None, pixel_variances=None)

    def network() -> list[Candidates]:
        return detector.candidates(batch, threshold)

    def after() -> object:
        return postprocess([boxes], row.postprocess)

    return network, after, lambda: (network(), after())


def time_steps(
    detectors: dict[str, Detector], runs: Sequence[Run], repeats: int, device: torch.device
) -> list[Times]:
    """The times of one training step of each run.

    The learning rate is 0: the work of a step, on weights that stay as they are.
    """
    steps = [training_step(run, detectors[run.name], device) for run in runs]
    return interleaved(steps, repeats, device)


def training_step(run: Run, detector: Detector, device: torch.device) -> Action:
    """One update of a run's network on a batch of noise, with a learning rate of 0."""
    detector.train()
    freeze_for_training(detector, run, pretrained=run.start != "scratch")
    optimizer = build_optimizer(detector, run.train)
    set_learning_rate(optimizer, 0.0)
    batch = random_batch(
        images=run.train.batch_size,
        size=largest_size(run.data),
        pixels=run.data.pixels,
        num_classes=run.model.num_classes,
        generator=torch.Generator().manual_seed(1),
    ).to(device)
    scaler = LossScaler(device.type, enabled=False)
    return lambda: update(
        detector,
        optimizer,
        scaler,
        [batch],
        step=0,
        max_norm=run.train.max_grad_norm,
        roi_loss_weight=run.train.roi_loss_weight,
    )
