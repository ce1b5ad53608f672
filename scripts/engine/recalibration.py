"""What scripts.calibrate keeps in a checkpoint, and what it does to the network's detections."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch

from data.records import Detections
from postprocess.recalibration import Aim, By
from postprocess.sigma_scale import SigmaScale, scale_sigma
from scripts.engine.checkpoint import load_checkpoint, plain, write_checkpoint
from scripts.engine.exported import SUFFIX, write_exported

KEY = "recalibration"  # in a checkpoint


@dataclass(frozen=True, kw_only=True)
class Interval:
    """Intervals that hold the labeled side as often as asked for.

    level: how often, 0..1. sides: the reach around x1, y1, x2 and y2 in (recalibrated) sigmas.
    holding: by how many sigmas a box is moved outwards to hold the whole object so often.
    """

    level: float
    sides: tuple[float, ...]
    holding: float


@dataclass(frozen=True, kw_only=True)
class Recalibration:
    """The factors of the sigmas of a network, and where they come from.

    scale: the factors. intervals: one for each level. by, aim: as in
    ``postprocess.recalibration.fit_scale``. fitted_on: in words. images, matched: on how many
    images and matched detections.
    """

    scale: SigmaScale
    intervals: tuple[Interval, ...]
    by: By
    aim: Aim
    fitted_on: str
    images: int
    matched: int


def report_file(checkpoint: Path) -> Path:
    """What scripts.calibrate measured, beside the checkpoint that it wrote into."""
    return checkpoint.with_name(f"{checkpoint.name}.calibration.json")


def read_recalibration(state: Mapping[str, Any]) -> Recalibration | None:
    """What a loaded checkpoint says about its sigmas; None if it was not recalibrated."""
    saved = state.get(KEY)
    if saved is None:
        return None
    scale = SigmaScale(
        edges=tuple(saved["scale"]["edges"]),
        factors=tuple(tuple(row) for row in saved["scale"]["factors"]),
    )
    intervals = tuple(
        Interval(level=one["level"], sides=tuple(one["sides"]), holding=one["holding"])
        for one in saved["intervals"]
    )
    return Recalibration(**{**saved, "scale": scale, "intervals": intervals})


def interval_of(recalibration: Recalibration | None, level: float) -> Interval:
    """The fitted interval of a level; of sigmas that were not recalibrated a Gaussian's.

    A Gaussian's box holds an object if none of four independent sides lies outside.

    Raises:
        ValueError: no interval of this level was fitted, or it is no share.
    """
    if not 0 < level < 1:
        raise ValueError(f"A level of {level} is no share between 0 and 1; give 0.9, for example.")
    if recalibration is None:
        both, outside = torch.tensor([(1 + level) / 2, level**0.25], dtype=torch.float64)
        side = float(torch.special.ndtri(both))
        return Interval(level=level, sides=(side,) * 4, holding=float(torch.special.ndtri(outside)))
    for interval in recalibration.intervals:
        if interval.level == level:
            return interval
    known = ", ".join(f"{interval.level:g}" for interval in recalibration.intervals)
    raise ValueError(f"Intervals were fitted for the levels {known}, and not for {level:g}.")


def keep_recalibration(checkpoint: Path, recalibration: Recalibration) -> None:
    """Writes the factors into a checkpoint, in the place of earlier ones; weights stay."""
    state = load_checkpoint(checkpoint)
    state[KEY] = plain(asdict(recalibration))
    if checkpoint.suffix == SUFFIX:
        write_exported(checkpoint, state)
    else:
        write_checkpoint(checkpoint, state["step"], state)


def recalibrated(detections: Detections, recalibration: Recalibration | None) -> Detections:
    """The detections with sigmas as they were found to be right; as they are without factors."""
    if recalibration is None or detections.sigma is None:
        return detections
    sigma = scale_sigma(detections.sigma, detections.boxes, recalibration.scale)
    return replace(detections, sigma=sigma)
