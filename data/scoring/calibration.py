"""Are the predicted standard deviations right? Coverage, likelihood and rank correlation of errors
and sigmas.

Letters: n matched detections, D detections, G ground-truth boxes. Errors and sigmas are (n, 4) px,
one per box side. A Gaussian with the right sigma covers 68.27 % of the errors within one sigma and
95.45 % within two.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from data.boxes import box_iou, sides_xyxy
from data.records import Detections, Target
from data.scoring.aligned import check_aligned
from data.scoring.turns import NOTHING, take_in_turn

EXPECTED_COVERAGE = {"coverage1": 68.27, "coverage2": 95.45}  # percent, of a Gaussian
NAN = float("nan")


def match_detections(
    detections: Detections, target: Target, iou: float = 0.5
) -> tuple[Tensor, Tensor]:
    """Pairs of detections and the objects that they mean.

    Best score first, each detection takes the object of its class that is still free, is no crowd,
    and overlaps it most, if the IoU is at least ``iou``.

    Returns:
        (detection, object), each (n,) i64, best score first.
    """
    order = detections.scores.argsort(descending=True, stable=True)
    overlap = box_iou(detections.boxes[order], target.boxes)
    means = (detections.labels[order, None] == target.labels) & ~target.crowd & (overlap >= iou)
    column = take_in_turn(overlap.where(means, NOTHING))
    taken = column != NOTHING
    return order[taken], column[taken]


def average_ranks(values: Tensor) -> Tensor:
    """Ranks 1..n of values (n,), float64; equal values share the mean of their ranks."""
    _, place, counts = torch.unique(values, return_inverse=True, return_counts=True)
    last = counts.cumsum(0).double()
    return (last - (counts - 1) / 2)[place]


def spearman(first: Tensor, second: Tensor) -> float:
    """Spearman's rank correlation of two (n,) tensors in -1..1; nan if n < 2, one of them is
    constant, or a value is nan, which has no rank.
    """
    if len(first) < 2 or first.isnan().any() or second.isnan().any():
        return NAN
    a, b = (ranks - ranks.mean() for ranks in (average_ranks(first), average_ranks(second)))
    scale = float(a.norm() * b.norm())
    return float(a @ b) / scale if scale > 0 else NAN


def gaussian_nll(errors: Tensor, sigma: Tensor) -> Tensor:
    """Negative log likelihood per coordinate: e^2 / (2 sigma^2) + ln sigma + ln(2 pi) / 2."""
    return 0.5 * (errors / sigma) ** 2 + sigma.log() + 0.5 * math.log(2 * math.pi)


def calibration(errors: Tensor, sigma: Tensor) -> dict[str, float]:
    """How well sigmas describe errors, all four sides pooled.

    Args:
        errors: (n, 4) px, predicted minus true side, signed.
        sigma: (n, 4) px, > 0.

    Returns:
        coverage1, coverage2 (percent of |error| <= 1 and 2 sigma; see EXPECTED_COVERAGE),
        spearman_error (rank correlation of |error| and sigma), nll (mean per coordinate, nats) and
        n (boxes). nan if n is 0.

    Raises:
        ValueError: a sigma is not positive or something is not finite.

    Law: a common factor on errors and sigma changes nothing but adds its logarithm to nll.
    """
    good = errors.isfinite() & sigma.isfinite() & (sigma > 0)
    if not good.all():
        raise ValueError(
            f"{int((~good).sum())} of {good.numel()} box sides have a sigma that is not positive"
            " or a number that is not finite; look at the log variances."
        )
    errors, sigma = errors.double(), sigma.double()
    ratio = (errors / sigma).abs()
    return {
        "coverage1": 100.0 * float((ratio <= 1).double().mean()),
        "coverage2": 100.0 * float((ratio <= 2).double().mean()),
        "spearman_error": spearman(errors.abs().flatten(), sigma.flatten()),
        "nll": float(gaussian_nll(errors, sigma).mean()),
        "n": len(errors),
    }


def ence(errors: Tensor, sigma: Tensor, bins: int = 10) -> float:
    """The expected normalized calibration error: 0 if sigma is right wherever it is large or small.

    The sides are sorted by sigma into bins of equal count, equal sigmas in the given order; in
    each, the root mean square of the errors should be that of the sigmas. Levi et al., "Evaluating
    and Calibrating Uncertainty Prediction in Regression Tasks", Sensors 2022, Eq. 8: the mean of
    |RMV - RMSE| / RMV.

    Args:
        errors, sigma: (n, 4) px; nan without any.
        bins: how many.
    """
    flat_errors, flat_sigma = errors.double().flatten(), sigma.double().flatten()
    if not len(flat_sigma):
        return NAN
    order = flat_sigma.argsort(stable=True)
    parts = zip(
        flat_errors[order].tensor_split(bins), flat_sigma[order].tensor_split(bins), strict=True
    )
    off = [
        float((root_mean_square(s) - root_mean_square(e)).abs() / root_mean_square(s))
        for e, s in parts
        if len(s)
    ]
    return sum(off) / len(off)


def root_mean_square(values: Tensor) -> Tensor:
    """The root of the mean of squares of values (n,)."""
    return values.square().mean().sqrt()


def evaluate_calibration(
    detections: Sequence[Detections], targets: Sequence[Target], iou: float = 0.5
) -> dict[str, float]:
    """``calibration`` over a data set, plus what only a data set with known label noise can tell.

    Args:
        detections, targets: one entry per image, in the same order.
        iou: the overlap from which a detection means an object, see ``match_detections``.

    Returns:
        the keys of ``calibration`` (errors are against ``Target.boxes``), clean_distance (mean
        |side - clean side| in px), spearman_true (rank correlation of sigma and
        ``Target.sigma_true``, px) and spearman_true_relative (the same after dividing both by the
        side of the labeled box: large boxes have large sigmas in px, this takes that easy part
        out). nan where sigma, clean boxes or true sigmas are missing; n always counts the matched
        detections.

    Raises:
        DataError: the sequences do not fit.
        ValueError: as in ``calibration``.
    """
    check_aligned(detections, targets)
    pairs = [
        match_detections(detected, target, iou)
        for detected, target in zip(detections, targets, strict=True)
    ]
    rows, columns = [row for row, _ in pairs], [column for _, column in pairs]
    boxes = _gather(detections, "boxes", rows)
    sigma = _gather(detections, "sigma", rows)
    labeled = _gather(targets, "boxes", columns)
    clean = _gather(targets, "clean_boxes", columns)
    true_sigma = _gather(targets, "sigma_true", columns)
    assert boxes is not None
    assert labeled is not None
    scores = dict.fromkeys(("coverage1", "coverage2", "spearman_error", "nll"), NAN)
    scores["n"] = len(boxes)
    if sigma is not None:
        scores = calibration(boxes - labeled, sigma)
    distance = NAN if clean is None else float((boxes - clean).abs().mean())
    return {
        **scores,
        "clean_distance": distance,
        **_rank_correlations(sigma, true_sigma, sides_xyxy(labeled)),
    }


def _rank_correlations(
    sigma: Tensor | None, true_sigma: Tensor | None, sides: Tensor
) -> dict[str, float]:
    """How predicted and true sigmas (n, 4) px correlate, in px and relative to the sides (n, 4)."""
    if sigma is None or true_sigma is None:
        return {"spearman_true": NAN, "spearman_true_relative": NAN}
    relative = spearman((sigma / sides).flatten(), (true_sigma / sides).flatten())
    return {
        "spearman_true": spearman(sigma.flatten(), true_sigma.flatten()),
        "spearman_true_relative": relative,
    }


def _gather(
    records: Sequence[Detections] | Sequence[Target], name: str, indices: Sequence[Tensor]
) -> Tensor | None:
    """The rows (n, 4) that ``indices`` choose of one field of each image's record, on the CPU.

    None if an image has no value there.
    """
    rows = [torch.zeros(0, 4)]
    for record, index in zip(records, indices, strict=True):
        value = getattr(record, name)
        if value is None:
            return None
        rows.append(value[index].cpu())
    return torch.cat(rows)
