"""The page of a training in TensorBoard: what runs, on what, with which settings, and how it goes
on after a stop.
"""

import os
import shlex
import sys
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from scripts.engine.git import NO_COMMIT, git
from scripts.engine.processes import share
from scripts.engine.run_folder.checkpoint import plain
from scripts.engine.run_folder.starts import SHORT
from scripts.engine.training.state import Training

COMMAND = Path("scripts") / "train.py"


def run_page(training: Training) -> str:
    """The page in Markdown."""
    run, place = training.run, training.place
    facts = {
        "folder": place.folder,
        "seed": training.options.seed,
        "updates": f"{training.start} of {run.train.iterations} before this start",
        "images": training.facts.used,
        "classes": ", ".join(training.classes),
        "device": training.device,
        "precision": "float32" if training.amp is None else str(training.amp),
        "processes": share().of,
        "torch": torch.__version__,
        "commit": git("rev-parse", "HEAD")[:SHORT] or NO_COMMIT,
    }
    command = command_line(sys.argv, os.environ)
    return "\n".join(
        [
            f"# {place.name}",
            "",
            "To go on after a stop, from the newest whole checkpoint `step-*.pt`:",
            "",
            f"    cd {shlex.quote(os.getcwd())}",
            f"    {command}",
            "",
            *table(facts),
            "",
            "## Settings",
            "",
            *table(dict(flattened(plain(asdict(run))))),
        ]
    )


def command_line(arguments: list[str], variables: Mapping[str, str]) -> str:
    """The command that started this process, as one types it.

    Args:
        arguments: sys.argv.
        variables: of the environment; torchrun says there how many processes it started.
    """
    module = f"-m scripts.train {shlex.join(arguments[1:])}".strip()
    if Path(arguments[0]).parts[-2:] != COMMAND.parts:
        return shlex.join(arguments)
    here, of_all = variables.get("LOCAL_WORLD_SIZE"), variables.get("WORLD_SIZE")
    if here is None or of_all is None:
        return f"python {module}"
    nodes = int(of_all) // int(here)
    return f"torchrun --nnodes {nodes} --nproc-per-node {here} {module}"


def flattened(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """The settings of nested records, by names such as model.rpn.kind."""
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from flattened(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def table(values: Mapping[str, Any]) -> list[str]:
    """Names and values as the lines of a Markdown table."""
    rows = [f"| {name} | {str(value).replace('|', '/')} |" for name, value in values.items()]
    return ["| | |", "|---|---|", *rows]
