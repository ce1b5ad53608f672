"""Trainings that give the same bits each time, on a GPU as well."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch.backends import cudnn

WORKSPACE = "CUBLAS_WORKSPACE_CONFIG"  # without it cuBLAS may add in another order each time
MISSING = "does not have a deterministic implementation"  # torch's words


@contextmanager
def deterministic(enabled: bool) -> Iterator[None]:
    """Lets torch use only operations that give the same bits each time, while the block runs.

    Args:
        enabled: whether to; if not, everything stays as it is.

    Raises:
        ValueError: an operation has no such version on the device; torch's sentence names it.
    """
    if not enabled:
        yield
        return
    before = torch.are_deterministic_algorithms_enabled(), cudnn.benchmark, cudnn.deterministic
    workspace = os.environ.get(WORKSPACE)
    os.environ.setdefault(WORKSPACE, ":4096:8")
    torch.use_deterministic_algorithms(True)
    cudnn.benchmark, cudnn.deterministic = False, True
    try:
        yield
    except RuntimeError as error:
        if MISSING not in str(error):
            raise
        raise ValueError(
            f"--deterministic: {str(error).partition(MISSING)[0]}{MISSING} on this device; train "
            "without --deterministic, or with --device cpu."
        ) from error
    finally:
        torch.use_deterministic_algorithms(before[0])
        cudnn.benchmark, cudnn.deterministic = before[1:]
        if workspace is None:
            del os.environ[WORKSPACE]
