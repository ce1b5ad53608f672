"""Figures of a validation for TensorBoard: AP over the IoU threshold, and reliability diagrams."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

from data.records import Detections, Target
from data.scoring.coco import IOU_PERCENT
from data.scoring.matched_sides import matched_sides
from data.scoring.reliability import score_reliability, sigma_reliability
from scripts.engine.tensorboard.reliability_axes import (
    draw_diagonal,
    draw_scores,
    draw_sigma,
    draw_sigma_against_error,
)

DPI = 80
EARLIER = 8  # validations that are drawn beside the newest one, evenly spaced


def picture_of(figure: Figure) -> Image.Image:
    """A figure as an RGB picture; no global state of matplotlib is touched."""
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return Image.fromarray(np.asarray(canvas.buffer_rgba())).convert("RGB")


def ap_over_iou(lines: Sequence[dict[str, Any]]) -> Image.Image:
    """AP at each IoU threshold, of the newest validation and of some before it.

    Args:
        lines: of metrics.jsonl, the newest last.
    """
    figure = Figure(figsize=(7, 5), dpi=DPI)
    axis = figure.add_axes((0.1, 0.11, 0.64, 0.8))
    count = min(len(lines), EARLIER + 1)
    places = np.unique(np.linspace(0, len(lines) - 1, count).round().astype(int))
    shades = colormaps["viridis"](np.linspace(0.0, 0.85, len(places)))[::-1]
    thresholds = [percent / 100 for percent in IOU_PERCENT]
    for place, shade in zip(places, shades, strict=True):
        line = lines[place]
        values = [line.get(f"AP{percent}") for percent in IOU_PERCENT]
        numbers = [np.nan if value is None else value for value in values]
        is_newest = place == len(lines) - 1
        axis.plot(
            thresholds,
            numbers,
            marker="." if is_newest else None,
            linewidth=2.5 if is_newest else 1,
            color=shade,
            label=f"{line['updates']} updates",
        )
    axis.set(xlabel="IoU threshold", ylabel="AP", ylim=(0, None), xlim=(0.5, 0.95))
    newest = lines[-1]["AP"]
    axis.set_title(
        "AP unknown" if newest is None else f"AP {newest:.1f}: the mean of the thick line"
    )
    axis.grid(alpha=0.3)
    axis.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0), fontsize=9, frameon=False)
    return picture_of(figure)


def reliability(detections: Sequence[Detections], targets: Sequence[Target]) -> Image.Image:
    """Are scores and sigmas what they say? Three diagrams; without sigma the first alone.

    Args:
        detections, targets: one entry per image, in the same order; original px.
    """
    sigma = sigma_reliability(detections, targets)
    count = 1 if sigma is None else 3
    figure = Figure(figsize=(5.6 * count, 5.6), dpi=DPI)
    axes = figure.subplots(1, count, squeeze=False)[0]
    draw_scores(axes[0], score_reliability(detections, targets))
    draw_diagonal(axes[0])
    if sigma is not None:
        draw_sigma(axes[1], sigma)
        draw_diagonal(axes[1])
        draw_sigma_against_error(axes[2], matched_sides(detections, targets))
    figure.subplots_adjust(left=0.14 / count, right=1 - 0.04 / count, bottom=0.1, wspace=0.22)
    return picture_of(figure)
