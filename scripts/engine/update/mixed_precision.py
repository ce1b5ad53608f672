"""Which type of mixed precision a training may use on its device."""

from pathlib import Path

import torch

AMP_TYPES = {"off": None, "bf16": torch.bfloat16, "fp16": torch.float16}
CPU_INFO = Path("/proc/cpuinfo")
# as Linux names them: x86's two kinds of bfloat16 arithmetic, and Arm's
BF16_FLAGS = frozenset({"avx512_bf16", "amx_bf16", "bf16"})


def amp_type(amp: str, device: torch.device) -> torch.dtype | None:
    """The type of ``--amp`` on a device; None for float32 alone.

    Args:
        amp: "off", "bf16" or "fp16".
        device: of the network.

    Raises:
        ValueError: the device is a CPU that computes in this type more slowly than in float32.
    """
    if amp == "off" or device.type == "cuda":
        return AMP_TYPES[amp]
    if amp == "fp16":
        raise ValueError("--amp fp16 needs CUDA; train on the CPU without --amp.")
    if not has_bf16(cpu_flags()):
        raise ValueError(
            "--amp bf16: this CPU has no bfloat16 arithmetic (avx512_bf16 or amx_bf16), so that it "
            "would be slower than float32; train without --amp, or on CUDA."
        )
    return torch.bfloat16


def cpu_flags(path: Path = CPU_INFO) -> frozenset[str]:
    """What the first CPU of /proc/cpuinfo can do; empty where there is no such file."""
    if not path.is_file():
        return frozenset()
    for line in path.read_text(errors="replace").splitlines():
        name, _, value = line.partition(":")
        if name.strip() in ("flags", "Features"):
            return frozenset(value.split())
    return frozenset()


def has_bf16(flags: frozenset[str]) -> bool:
    """Whether a CPU with these flags computes in bfloat16."""
    return bool(flags & BF16_FLAGS)
