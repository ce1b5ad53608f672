"""The results file of a benchmark."""

import platform
import re
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import torch

from scripts.engine.environment import device_name
from scripts.engine.files import write_json
from scripts.engine.git import git
from scripts.engine.speed.measure import growth, record, sweeps
from scripts.engine.speed.work import Measured


def write_results(
    out: Path, wanted: str, repeats: int, rate: float, found: Sequence[Measured]
) -> Path:
    """Writes all measurements, with what they were made on.

    Args:
        out: folder.
        wanted: the device that was asked for; the file is named after what it is.
        repeats: timed calls of each side.
        rate: operations a second of a matrix product.
        found: the measurements.

    Returns:
        the file.
    """
    name = device_name(wanted)
    path = out / (re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_") + ".json")
    write_json(
        path,
        {
            "device": name,
            "torch": torch.__version__,
            "python": platform.python_version(),
            "threads": torch.get_num_threads(),
            "commit": git("rev-parse", "HEAD"),
            "date": datetime.now(UTC).isoformat(timespec="seconds"),
            "repeats": repeats,
            "matrix_gflops": rate / 1e9,
            "measurements": [record(one) for one in found],
            "growth": [growth(sweep) for sweep in sweeps(found)],
        },
    )
    return path
