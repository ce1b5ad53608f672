"""A copy of the tree in which commands of the docs run as in a fresh clone, but at a tiny size."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

from tests.doc_commands import ROOT

PYTHON = """#!/usr/bin/env bash
exec {python} -m tests.short_commands "$@"
"""
LEFT_OUT = (".git", ".venv", "__pycache__", "runs", "datasets", "build", ".*_cache", "report.html")


def copy_of_the_tree(folder: Path) -> Path:
    """The tree without what is ignored, and a .venv whose python has a tiny mini scale."""
    shutil.copytree(ROOT, folder, ignore=shutil.ignore_patterns(*LEFT_OUT))
    programs = folder / ".venv" / "bin"
    programs.mkdir(parents=True)
    (programs / "python").write_text(PYTHON.format(python=sys.executable))
    (programs / "python").chmod(0o755)
    (programs / "activate").touch()
    (programs.parent / "installed").touch()
    return folder


def run_in(folder: Path, command: str) -> subprocess.CompletedProcess[str]:
    """Runs a line of bash in a copy of the tree, with its .venv and one thread."""
    path = f"{folder / '.venv' / 'bin'}{os.pathsep}{os.environ['PATH']}"
    return subprocess.run(
        ["bash", "-ec", command],
        cwd=folder,
        env={"PATH": path, "HOME": str(folder), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
    )
