"""What a machine has and what would go wrong on it: Python, packages, torch, GPU, disk, memory.

Imports nothing but the standard library until a check asks for a package, so it runs when PyTorch
does not.
"""

import importlib
import importlib.metadata
import os
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from scripts.engine.doctor.requirements import Requirement, declared_requirements

GB = 1024**3
REINSTALL = "python -m pip install --upgrade --force-reinstall torch torchvision"
TORCH = ("torch", "torchvision")  # they are installed together
OLDEST_PYTHON = (3, 11, 4)
SHARED_MEMORY = Path("/dev/shm")
NVIDIA_DRIVER = Path("/proc/driver/nvidia/version")


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One line of the report; ``fix`` is what to type or set, "" if there is nothing to do."""

    state: Literal["ok", "warning", "BROKEN"]
    what: str
    fix: str = ""

    def __str__(self) -> str:
        return f"{self.state:8} {self.what}" + (f"\n{'':8} fix: {self.fix}" if self.fix else "")


def reason(error: BaseException) -> str:
    """The first line of an error, with its type."""
    return f"{type(error).__name__}: {(str(error).splitlines() or [''])[0]}"


def python() -> list[Finding]:
    """Python is new enough."""
    name = "python " + ".".join(map(str, sys.version_info[:3]))
    if sys.version_info < OLDEST_PYTHON:
        oldest = ".".join(map(str, OLDEST_PYTHON))
        return [
            Finding(
                state="BROKEN",
                what=f"{name}; {oldest} or newer is needed",
                fix="make clean install PYTHON=python3.12",
            )
        ]
    return [Finding(state="ok", what=f"{name} in {sys.prefix}")]


def declared() -> dict[str, Requirement]:
    """The packages that the project declares, by their names; {} if pyproject.toml is damaged."""
    try:
        return {requirement.name: requirement for requirement in declared_requirements()}
    except Exception:  # tomllib or the file is missing, or the file is damaged: ``project`` says so
        return {}


def project() -> list[Finding]:
    """pyproject.toml, which says what is needed, can be read."""
    try:
        declared_requirements()
    except Exception as error:
        what = f"pyproject.toml cannot be read ({reason(error)})"
        return [Finding(state="BROKEN", what=what, fix="git checkout pyproject.toml")]
    return []


def packages() -> list[Finding]:
    """Every declared package but torch and torchvision can be imported and is new enough."""
    return [package(needed) for name, needed in declared().items() if name not in TORCH]


def package(needed: Requirement) -> Finding:
    """One declared package."""
    fix = f"python -m pip install --upgrade --force-reinstall {needed.name}"
    try:
        importlib.import_module(needed.module)
        version = importlib.metadata.version(needed.name)
    except Exception as error:  # a broken binary raises anything
        what = f"{needed.name} cannot be imported ({reason(error)})"
        return Finding(state="BROKEN", what=what, fix=fix)
    complaint = needed.complaint(version)
    if complaint:
        return Finding(state="BROKEN", what=complaint, fix=fix)
    return Finding(state="ok", what=f"{needed.name} {version}")


def torch_and_operators() -> list[Finding]:
    """Both import, belong together, and torchvision's compiled operators answer."""
    try:
        torch = importlib.import_module("torch")
    except Exception as error:
        what = f"torch cannot be imported ({reason(error)})"
        return [Finding(state="BROKEN", what=what, fix=REINSTALL)]
    findings = [new_enough("torch", torch.__version__)]
    try:
        vision = importlib.import_module("torchvision")
        boxes = torch.tensor([[0.0, 0.0, 2.0, 2.0], [0.0, 0.0, 2.0, 1.9]])
        nms = importlib.import_module("torchvision.ops").nms
        kept = nms(boxes, torch.tensor([0.9, 0.8]), 0.5)
        assert kept.tolist() == [0], f"nms kept {kept.tolist()} instead of [0]"
    except Exception as error:
        what = (
            f"torchvision's operators do not load ({reason(error)}): torch and torchvision are "
            "builds that do not belong together"
        )
        return [*findings, Finding(state="BROKEN", what=what, fix=REINSTALL)]
    findings.append(new_enough("torchvision", vision.__version__, ", operators load"))
    return findings + gpu(torch, vision)


def new_enough(name: str, version: str, more: str = "") -> Finding:
    """Whether torch or torchvision is new enough.

    Args:
        name: of the package.
        version: that is installed.
        more: what else is in order.
    """
    needed = declared().get(name)
    complaint = "" if needed is None else needed.complaint(version)
    if not complaint:
        return Finding(state="ok", what=f"{name} {version}{more}")
    if name == "torch" and needed is not None and needed.is_too_old(version):
        # it executes code while it loads a checkpoint, even with weights_only=True
        complaint += " and loads checkpoints unsafely"
    return Finding(state="BROKEN", what=complaint, fix=REINSTALL)


def gpu(torch: Any, vision: Any) -> list[Finding]:
    """GPUs with their memory, and whether torch and torchvision are built for the same CUDA."""
    available = torch.cuda.is_available()
    torch_cuda, vision_cuda = torch.version.cuda, cuda_of(vision)
    findings = []
    if major(torch_cuda) != major(vision_cuda):
        what = f"torch is built for CUDA {torch_cuda}, torchvision for CUDA {vision_cuda}"
        state: Literal["BROKEN", "warning"] = "BROKEN" if available else "warning"
        findings.append(Finding(state=state, what=what, fix=REINSTALL))
    if not available:
        return [*findings, no_gpu(torch_cuda)]
    for index in range(torch.cuda.device_count()):
        free, total = torch.cuda.mem_get_info(index)
        what = (
            f"GPU {index}: {torch.cuda.get_device_name(index)}, {free / GB:.1f} of "
            f"{total / GB:.1f} GB free, CUDA {torch_cuda}"
        )
        findings.append(Finding(state="ok", what=what))
    return findings


def no_gpu(torch_cuda: str | None) -> Finding:
    """Why torch sees no GPU.

    Args:
        torch_cuda: the version of CUDA that torch is built for; None for a build for the CPU.
    """
    if not NVIDIA_DRIVER.exists():
        what = f"no GPU, everything runs on the CPU (torch's CUDA: {torch_cuda})"
        return Finding(state="ok", what=what)
    if torch_cuda is None:
        what = "there is an NVIDIA driver, but torch is a build for the CPU"
        return Finding(state="warning", what=what, fix=REINSTALL)
    return Finding(
        state="warning",
        what=f"there is an NVIDIA driver, but torch (CUDA {torch_cuda}) sees no GPU",
        fix=f"update the driver to one for CUDA {torch_cuda}; in a container: --gpus all",
    )


def cuda_of(vision: Any) -> str | None:
    """The version of CUDA that torchvision is built for; it writes 13.2 as 13020."""
    number = getattr(vision.version, "cuda", None)
    return None if number is None else f"{number // 1000}.{number % 1000 // 10}"


def major(version: str | None) -> str:
    """The first number of a version."""
    return "none" if version is None else version.partition(".")[0]


def disk() -> list[Finding]:
    """There is room for checkpoints and candidates."""
    free = shutil.disk_usage(Path.cwd()).free / GB
    what = f"{free:.1f} GB free on the disk of {Path.cwd()}"
    if free < 5:
        fix = "free some space, or write elsewhere with --out DIR (OUT=DIR)"
        return [Finding(state="warning", what=what, fix=fix)]
    return [Finding(state="ok", what=what)]


def shared_memory() -> list[Finding]:
    """Worker processes hand over images in shared memory; containers often have 64 MB of it."""
    if not SHARED_MEMORY.is_dir():
        return []
    size = shutil.disk_usage(SHARED_MEMORY).total / GB
    what = f"{size:.2f} GB of shared memory in {SHARED_MEMORY}"
    if size >= 1:
        return [Finding(state="ok", what=what)]
    return [
        Finding(
            state="warning",
            what=what + "; worker processes may die of a bus error",
            fix="--workers 0 (WORKERS=0); or in a container: docker run --shm-size=2g",
        )
    ]


def environment() -> list[Finding]:
    """No variable makes loading a checkpoint unsafe."""
    name = "TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD"
    if os.environ.get(name, "").lower() not in ("1", "y", "yes", "true"):
        return []
    what = f"{name} is set: loading a foreign checkpoint can run any code"
    return [Finding(state="warning", what=what, fix=f"unset {name}")]


CHECKS: tuple[Callable[[], list[Finding]], ...] = (
    python,
    project,
    torch_and_operators,
    packages,
    disk,
    shared_memory,
    environment,
)


def check_machine() -> int:
    """Prints every finding and a summary; returns the exit code, 1 if something is broken."""
    findings = [finding for check in CHECKS for finding in check()]
    for finding in findings:
        print(finding)
    broken = sum(finding.state == "BROKEN" for finding in findings)
    warnings = sum(finding.state == "warning" for finding in findings)
    summary = f"{broken} broken, {warnings} to look at" if broken + warnings else "all in order"
    print(summary)
    return 1 if broken else 0
