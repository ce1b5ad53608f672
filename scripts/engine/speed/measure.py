"""Times ours and the peer's in turn, and fits how the time grows with the size of the work."""

from collections.abc import Iterable, Sequence
from dataclasses import asdict
from itertools import groupby
from typing import Any

import numpy as np
import torch

from scripts.engine.speed.peak_memory import peak_megabytes
from scripts.engine.speed.work import Measured, Work
from scripts.engine.timing import interleaved


def measure(work: Work, repeats: int, device: torch.device, rate: float) -> Measured:
    """Times one piece of work.

    Args:
        work: what to time.
        repeats: timed calls of each side.
        device: where it works.
        rate: operations a second, see ``matrix_rate``.
    """
    actions = [work.ours] if work.peer is None else [work.ours, work.peer]
    times = interleaved(actions, repeats, device)
    peaks = [peak_megabytes(action, device) for action in actions]
    both = work.peer is not None
    return Measured(
        part=work.part,
        name=work.name,
        grows=work.grows,
        size=work.size,
        ours=times[0],
        peer_name=work.peer_name,
        peer=times[1] if both else None,
        floor_ms=None if work.flops is None else 1000 * work.flops / rate,
        ours_mb=peaks[0],
        peer_mb=peaks[1] if both else None,
    )


def line(measured: Measured) -> str:
    """One measurement as a line of text."""
    text = f"{measured.name}, {measured.size:,} {measured.grows}: {measured.ours} ms"
    if measured.peer is not None:
        text += f"; {measured.peer_name} {measured.peer} ms, {measured.speedup:.2f} x"
    if measured.share_of_floor is not None:
        text += f"; arithmetic alone {measured.floor_ms:.1f} ms, {measured.share_of_floor:.0%}"
    return text


def record(measured: Measured) -> dict[str, Any]:
    """One measurement as results keep it."""
    ratios = {"speedup": measured.speedup, "share_of_floor": measured.share_of_floor}
    return {**asdict(measured), **ratios}


def sweeps(measurements: Iterable[Measured]) -> list[list[Measured]]:
    """The measurements of each work, those of one size alone left out."""
    grouped = groupby(measurements, key=lambda one: (one.part, one.name))
    return [each for _, group in grouped if len(each := list(group)) > 1]


def growth(sweep: Sequence[Measured]) -> dict[str, Any]:
    """How the time of a work grows: time ~ size^exponent, fitted to the larger half of the sizes
    and the one before it.

    Returns:
        the exponent of ours, and of the peer's where there is one.
    """
    upper = sweep[len(sweep) // 2 - 1 :] if len(sweep) > 2 else sweep
    sizes = np.log([one.size for one in upper])
    ours = np.polyfit(sizes, np.log([one.ours.median for one in upper]), 1)[0]
    found = {"name": sweep[0].name, "grows": sweep[0].grows, "exponent": round(float(ours), 2)}
    peers = [one.peer.median for one in upper if one.peer is not None]
    if len(peers) == len(upper):
        found["peer_exponent"] = round(float(np.polyfit(sizes, np.log(peers), 1)[0]), 2)
    return found
