"""Looks at the machine and says what would go wrong: python -m scripts.doctor

Imports nothing but the standard library until a check asks for a package, so it runs when PyTorch does not. Every
finding that is not in order names the one line that fixes it. Exit code 1 if something is broken, else 0.
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

GB = 1024**3
REINSTALL = "python -m pip install --upgrade --force-reinstall torch torchvision"
PACKAGES = {  # distribution -> module
    "numpy": "numpy", "pillow": "PIL", "pycocotools": "pycocotools.mask", "tensorboard": "tensorboard", "tqdm": "tqdm"}
OLDEST_TORCH = (2, 10)  # older ones execute code while they load a checkpoint, even with weights_only=True
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
    name = "python " + ".".join(map(str, sys.version_info[:3]))
    if sys.version_info < (3, 11, 4):
        return [Finding(state="BROKEN", what=f"{name}; 3.11.4 or newer is needed",
                        fix="make clean install PYTHON=python3.12")]
    return [Finding(state="ok", what=f"{name} in {sys.prefix}")]


def packages() -> list[Finding]:
    found = []
    for package, module in PACKAGES.items():
        try:
            importlib.import_module(module)
            found.append(Finding(state="ok", what=f"{package} {importlib.metadata.version(package)}"))
        except Exception as error:  # a broken binary raises anything
            found.append(Finding(state="BROKEN", what=f"{package} cannot be imported ({reason(error)})",
                                 fix=f"python -m pip install --upgrade --force-reinstall {package}"))
    return found


def torch_and_operators() -> list[Finding]:
    """Both import, belong together, and torchvision's compiled operators answer."""
    try:
        torch = importlib.import_module("torch")
    except Exception as error:
        return [Finding(state="BROKEN", what=f"torch cannot be imported ({reason(error)})", fix=REINSTALL)]
    found = [Finding(state="ok", what=f"torch {torch.__version__}")]
    if tuple(int(part) for part in torch.__version__.split(".")[:2]) < OLDEST_TORCH:
        oldest = ".".join(map(str, OLDEST_TORCH))
        found = [Finding(state="BROKEN", fix=REINSTALL,
                         what=f"torch {torch.__version__} is older than {oldest} and loads checkpoints unsafely")]
    try:
        vision = importlib.import_module("torchvision")
        kept = importlib.import_module("torchvision.ops").nms(
            torch.tensor([[0.0, 0.0, 2.0, 2.0], [0.0, 0.0, 2.0, 1.9]]), torch.tensor([0.9, 0.8]), 0.5)
        assert kept.tolist() == [0], f"nms kept {kept.tolist()} instead of [0]"
    except Exception as error:
        return [*found, Finding(state="BROKEN", fix=REINSTALL, what="torchvision's operators do not load "
                                f"({reason(error)}): torch and torchvision are builds that do not belong together")]
    return [*found, Finding(state="ok", what=f"torchvision {vision.__version__}, operators load"), *gpu(torch, vision)]


def gpu(torch: Any, vision: Any) -> list[Finding]:
    """GPUs with their memory, and whether torch and torchvision are built for the same CUDA."""
    seen = torch.cuda.is_available()
    torch_cuda = torch.version.cuda
    number = getattr(vision.version, "cuda", None)  # 13020 means 13.2
    vision_cuda = None if number is None else f"{number // 1000}.{number % 1000 // 10}"
    found = []
    if major(torch_cuda) != major(vision_cuda):
        found.append(Finding(state="BROKEN" if seen else "warning", fix=REINSTALL,
                             what=f"torch is built for CUDA {torch_cuda}, torchvision for CUDA {vision_cuda}"))
    for index in range(torch.cuda.device_count() if seen else 0):
        free, total = torch.cuda.mem_get_info(index)
        found.append(Finding(state="ok", what=f"GPU {index}: {torch.cuda.get_device_name(index)}, {free / GB:.1f} of "
                             f"{total / GB:.1f} GB free, CUDA {torch_cuda}"))
    if not seen and not NVIDIA_DRIVER.exists():
        found.append(Finding(state="ok", what=f"no GPU, everything runs on the CPU (torch's CUDA: {torch_cuda})"))
    elif not seen and torch_cuda is None:
        found.append(Finding(state="warning", what="there is an NVIDIA driver, but torch is a build for the CPU",
                             fix=REINSTALL))
    elif not seen:
        found.append(Finding(state="warning",
                             fix=f"update the driver to one for CUDA {torch_cuda}; in a container: --gpus all",
                             what=f"there is an NVIDIA driver, but torch (CUDA {torch_cuda}) sees no GPU"))
    return found


def major(version: str | None) -> str:
    return "none" if version is None else version.partition(".")[0]


def disk() -> list[Finding]:
    free = shutil.disk_usage(Path.cwd()).free / GB
    what = f"{free:.1f} GB free on the disk of {Path.cwd()}"
    if free < 5:
        return [Finding(state="warning", what=what, fix="free some space, or write elsewhere with --out DIR (OUT=DIR)")]
    return [Finding(state="ok", what=what)]


def shared_memory() -> list[Finding]:
    """Worker processes hand over images in shared memory; containers often have 64 MB of it."""
    if not SHARED_MEMORY.is_dir():
        return []
    size = shutil.disk_usage(SHARED_MEMORY).total / GB
    what = f"{size:.2f} GB of shared memory in {SHARED_MEMORY}"
    if size < 1:
        return [Finding(state="warning", what=what + "; worker processes may die of a bus error",
                        fix="--workers 0 (WORKERS=0); or in a container: docker run --shm-size=2g")]
    return [Finding(state="ok", what=what)]


def environment() -> list[Finding]:
    name = "TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD"
    if os.environ.get(name, "").lower() not in ("1", "y", "yes", "true"):
        return []
    return [Finding(state="warning", fix=f"unset {name}",
                    what=f"{name} is set: loading a foreign checkpoint can run any code")]


CHECKS: tuple[Callable[[], list[Finding]], ...] = (
    python, torch_and_operators, packages, disk, shared_memory, environment)


def main() -> int:
    findings = [finding for check in CHECKS for finding in check()]
    for finding in findings:
        print(finding)
    broken = sum(finding.state == "BROKEN" for finding in findings)
    warnings = sum(finding.state == "warning" for finding in findings)
    print("all in order" if not broken + warnings else f"{broken} broken, {warnings} to look at")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
