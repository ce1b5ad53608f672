"""Reliability diagrams of scores and sigmas, each on axes of matplotlib."""

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from data.scoring.calibration import root_mean_square
from data.scoring.matched_sides import MatchedSides
from data.scoring.reliability import BINS, SIDES, ScoreReliability, SigmaReliability

GRAY = "0.6"
SIGMA_BINS = 8  # with the same number of matched detections
LEAST_PX = 0.01  # of a sigma or an error on a logarithmic axis


def draw_scores(axis: Axes, scores: ScoreReliability) -> None:
    """The share of right detections in each bin of scores; the number below counts them."""
    left = np.arange(BINS) / BINS
    heights = scores.precision.nan_to_num()
    axis.bar(left, heights.numpy(), width=1 / BINS, align="edge", alpha=0.5, edgecolor="C0")
    axis.plot(scores.mean_score, scores.precision, "o", color="C0", markersize=4)
    for place, count in enumerate(scores.counts.tolist()):
        axis.text(left[place] + 0.5 / BINS, 0.01, str(count), ha="center", fontsize=7)
    axis.set(xlabel="score", ylabel="share of detections that are right (IoU 0.5)")
    axis.set_title(f"scores: {100 * scores.error:.1f} points of 100 off in the mean")


def draw_sigma(axis: Axes, sigma: SigmaReliability) -> None:
    """How often the interval around each side holds the labeled side."""
    for place, side in enumerate(SIDES):
        axis.plot(sigma.levels, sigma.observed[:, place], marker=".", label=side)
    axis.set(
        xlabel="share of a Gaussian within ± z sigma", ylabel="share of labeled sides within it"
    )
    axis.set_title(f"sigma: {sigma.matched} matched detections; above the line: too wide")
    axis.legend(loc="lower right")


def draw_diagonal(axis: Axes) -> None:
    """The line on which everything is reliable, on axes from 0 to 1."""
    axis.plot([0, 1], [0, 1], color=GRAY, linestyle="--", zorder=0)
    axis.set(xlim=(0, 1), ylim=(0, 1), aspect="equal")
    axis.grid(alpha=0.3)


def draw_sigma_against_error(axis: Axes, sides: MatchedSides) -> None:
    """The error of sides by their predicted sigma: root mean squares of both in bins, px.

    Each side's detections are sorted by sigma into bins of equal count. On the line sigma is right
    wherever it is small or large; above it the error is larger than sigma says.
    """
    known = [LEAST_PX]
    for place, name in enumerate(SIDES):
        order = sides.sigma[:, place].argsort()
        parts = torch.stack([sides.sigma[order, place], sides.errors[order, place]])
        bins = [part for part in parts.double().tensor_split(SIGMA_BINS, dim=1) if part.numel()]
        points = [tuple(float(root_mean_square(row)) for row in part) for part in bins]
        sigma, error = np.maximum(np.array(points).reshape(-1, 2), LEAST_PX).T
        axis.loglog(sigma, error, marker=".", label=name)
        known += [*sigma, *error]
    ends = (0.8 * min(known[1:], default=LEAST_PX), 1.25 * max(known))
    axis.plot(ends, ends, color=GRAY, linestyle="--", zorder=0)
    axis.set(xlabel="predicted sigma, px", ylabel="measured error (root mean square), px")
    axis.set(xlim=ends, ylim=ends, aspect="equal")
    for ticks in (axis.xaxis, axis.yaxis):
        ticks.set_major_locator(LogLocator(subs=(1, 2, 5)))
        ticks.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        ticks.set_minor_formatter(NullFormatter())
    axis.set_title("above the line: sigma too small")
    axis.grid(alpha=0.3, which="both")
    axis.legend(loc="lower right")
