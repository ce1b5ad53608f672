"""Runs a table's scripts with a stand-in for Python."""

import os
import subprocess
from collections.abc import Mapping
from pathlib import Path

EXPERIMENTS = Path(__file__).parents[2] / "experiments"


def write_program(path: Path, text: str, **names: object) -> Path:
    """An executable file; ``text`` is a format of ``names``."""
    path.write_text(text.format(**names))
    path.chmod(0o755)
    return path


def run_script(
    script: str, python: Path, settings: Mapping[str, str], *, check: bool
) -> subprocess.CompletedProcess[str]:
    """A script of experiments/ whose interpreter is ``python``, with nothing else in its
    environment than ``settings`` and where programs are.
    """
    kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    return subprocess.run(
        [EXPERIMENTS / script],
        check=check,
        capture_output=True,
        text=True,
        env={**kept, "PYTHON": str(python), "OUT": "/out", **settings},
    )
