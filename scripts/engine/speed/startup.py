"""How long a command takes until it answers --help, beside the import of torchvision alone."""

import subprocess
import sys
from collections.abc import Iterator

import torch

from scripts.engine.speed.work import Work
from scripts.engine.timing import Action

PART = "startup"
COMMANDS = ("scripts.detect", "scripts.train", "scripts.evaluate")


def startup(device: torch.device) -> Iterator[Work]:
    """The commands that a user calls most."""
    for command in COMMANDS:
        yield Work(
            part=PART,
            name=f"python -m {command} --help",
            grows="call",
            size=1,
            ours=python("-m", command, "--help"),
            peer_name="import torchvision",
            peer=python("-c", "import torchvision"),
        )


def python(*arguments: str) -> Action:
    """A Python process with these arguments, from its start to its end."""
    return lambda: subprocess.run([sys.executable, *arguments], check=True, capture_output=True)
