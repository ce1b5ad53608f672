"""Trained networks as they lie in the folder of a run, ready to be evaluated."""

import argparse
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch

from data.records import Dataset
from experiments.records import Run
from models.build import build_detector
from models.detector import Detector
from scripts.engine.checkpoint import check_same_run, load_checkpoint, newest_checkpoint, plain


def trained_run(run: Run, folder: Path, dataset: Dataset, args: argparse.Namespace
                ) -> tuple[Run, Path, dict[str, Any]] | None:
    """The run as it was trained, its newest checkpoint and the state in it; None if there is none to evaluate.

    Raises: ValueError if the checkpoint is of another configuration or another number of classes.
    """
    path = newest_checkpoint(folder)
    if path is None or not ((folder / "finished.json").is_file() or args.unfinished):
        return None
    state = load_checkpoint(path)
    if state["classes"] != list(dataset.classes):
        raise ValueError(
            f"The checkpoint {path} was trained on {len(state['classes'])} classes ({', '.join(state['classes'][:5])}, "
            f"...), the data set has {len(dataset.classes)} ({', '.join(dataset.classes[:5])}, ...); evaluate on data "
            "with the same classes in the same order, or train again.")
    run = replace(run, model=replace(run.model, num_classes=len(dataset.classes)))
    trained = state["run"]  # what the command line of the training may have changed, the checkpoint knows
    run = replace(run, start=trained["start"], model=replace(run.model, tf_padding=trained["model"]["tf_padding"]),
                  data=replace(run.data, pixels=trained["data"]["pixels"]))
    check_same_run({**trained, "train": plain(asdict(run))["train"]}, run, path)
    return run, path, state


def trained_detector(run: Run, state: dict[str, Any], device: torch.device) -> Detector:
    """The network of ``trained_run`` on ``device``, in eval mode."""
    detector = build_detector(run.model)
    detector.load_state_dict(state["model"])
    return detector.to(device).eval()
