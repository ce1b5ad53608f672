"""What scripts.calibrate keeps in a checkpoint, and what it does to the network's detections."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from torch import Tensor

from data.records import Detections
from postprocess.error_quantiles import (
    ErrorQuantiles,
    Interval,
    gaussian_interval,
    interval_at,
    share_within,
)
from postprocess.recalibration import Aim, By
from postprocess.sigma_scale import SigmaScale, scale_sigma
from postprocess.sigma_uses import within_probability
from scripts.engine.run_folder.checkpoint import load_checkpoint, plain, write_checkpoint
from scripts.engine.run_folder.safetensors_file import SUFFIX, write_safetensors

KEY = "recalibration"  # in a checkpoint


@dataclass(frozen=True, kw_only=True)
class Recalibration:
    """The factors of the sigmas of a network, and where they come from.

    scale: the factors. quantiles: of the errors in sigmas that were multiplied by them. by, aim: as
    in ``postprocess.recalibration.fit_scale``. fitted_on: in words. images, matched: on how many
    images and matched detections.
    """

    scale: SigmaScale
    quantiles: ErrorQuantiles
    by: By
    aim: Aim
    fitted_on: str
    images: int
    matched: int


def report_file(checkpoint: Path) -> Path:
    """What scripts.calibrate measured, beside the checkpoint that it wrote into."""
    return checkpoint.with_name(f"{checkpoint.name}.calibration.json")


def read_recalibration(state: Mapping[str, Any], path: Path) -> Recalibration | None:
    """What the loaded checkpoint ``path`` says about its sigmas; None if it was not recalibrated.

    Raises:
        ValueError: another version recalibrated it.
    """
    saved = state.get(KEY)
    if saved is None:
        return None
    try:
        return from_plain(saved)
    except (KeyError, TypeError) as error:  # a field is missing, or one is unknown
        raise ValueError(
            f"The factors of sigma in {path} are of another version of this code; run "
            "scripts.calibrate on it once more."
        ) from error


def from_plain(saved: Mapping[str, Any]) -> Recalibration:
    """The record of which ``plain`` made these values."""
    scale = SigmaScale(
        edges=tuple(saved["scale"]["edges"]),
        factors=tuple(tuple(row) for row in saved["scale"]["factors"]),
    )
    quantiles = ErrorQuantiles(
        sides=tuple(tuple(row) for row in saved["quantiles"]["sides"]),
        holding=tuple(saved["quantiles"]["holding"]),
    )
    return Recalibration(**{**saved, "scale": scale, "quantiles": quantiles})


def interval_of(recalibration: Recalibration | None, level: float) -> Interval:
    """The fitted interval of a level; of sigmas that were not recalibrated a Gaussian's.

    Raises:
        ValueError: no interval of this level was fitted, or it is no share.
    """
    if not 0 < level < 1:
        raise ValueError(f"A level of {level} is no share between 0 and 1; give 0.9, for example.")
    if recalibration is None:
        return gaussian_interval(level)
    return interval_at(recalibration.quantiles, level)


def probability_within(recalibration: Recalibration | None, sigma: Tensor, px: float) -> Tensor:
    """The probability (D, 4) that the object's side lies at most ``px`` from the box's.

    Of recalibrated sigmas (D, 4) px it is what was measured, of others a Gaussian's.

    Raises:
        ValueError: the distance is negative or no number.
    """
    if not px >= 0:
        raise ValueError(f"A distance of {px} px is none; give 0 or more.")
    if recalibration is None:
        return within_probability(sigma, px)
    return share_within(recalibration.quantiles, px / sigma)


def keep_recalibration(checkpoint: Path, recalibration: Recalibration) -> None:
    """Writes the factors into a checkpoint, in the place of earlier ones; weights stay."""
    state = load_checkpoint(checkpoint)
    state[KEY] = plain(asdict(recalibration))
    if checkpoint.suffix == SUFFIX:
        write_safetensors(checkpoint, state)
    else:
        write_checkpoint(checkpoint, state["step"], state)


def recalibrated(detections: Detections, recalibration: Recalibration | None) -> Detections:
    """The detections with sigmas as they were found to be right; as they are without factors."""
    if recalibration is None or detections.sigma is None:
        return detections
    sigma = scale_sigma(detections.sigma, detections.boxes, recalibration.scale)
    return replace(detections, sigma=sigma)
