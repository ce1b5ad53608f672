"""By how much memory in use rises during a call."""

from pathlib import Path

import torch

from scripts.engine.timing import Action

STATUS, RESET = Path("/proc/self/status"), Path("/proc/self/clear_refs")
FORGET_PEAK = "5"  # what Linux wants written into clear_refs
MEGABYTE = 2**20


def peak_megabytes(action: Action, device: torch.device) -> float | None:
    """The highest memory in use during a call, over what was in use before it.

    On a GPU it is memory of tensors; on the CPU the resident memory of the process, which misses
    what fits into memory that an earlier call gave back.

    Args:
        action: the call.
        device: where it works.

    Returns:
        MB, or None on a system that cannot be asked (not Linux).
    """
    if device.type == "cuda":
        torch.cuda.synchronize(device)
        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device)
        action()
        torch.cuda.synchronize(device)
        return (torch.cuda.max_memory_allocated(device) - before) / MEGABYTE
    try:
        RESET.write_text(FORGET_PEAK)
        before = resident_kilobytes("VmRSS")
        action()
        return max(0, resident_kilobytes("VmHWM") - before) / 1024
    except OSError:
        return None


def resident_kilobytes(field: str) -> int:
    """One line of the process's status, kB.

    Raises:
        OSError: the system keeps no such file.
    """
    lines = STATUS.read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(field + ":"))
