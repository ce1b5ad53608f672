"""The pictures of scripts.score: precision-recall curves, reliability diagrams, confusions."""

from pathlib import Path

import numpy as np
from matplotlib import pyplot as plt

from data.scoring.analysis import Analysis
from scripts.engine.tensorboard.reliability_axes import draw_diagonal, draw_scores, draw_sigma
from scripts.reports.pictures import save_picture

NAMED_CLASSES = 10  # curves of single classes: those with the most objects
NUMBERED = 25  # a matrix of more classes has no numbers in its cells
LABELED = 100  # a matrix of more classes has no names at its sides


def draw_curves(analysis: Analysis, path: Path) -> None:
    """Left the mean over the classes at each IoU, right single classes at IoU 0.5."""
    figure, axes = plt.subplots(1, 2, figsize=(12, 5.2), sharey=True, constrained_layout=True)
    recalls = np.linspace(0.0, 1.0, analysis.precision.shape[1])
    known = [k for k in range(len(analysis.classes)) if analysis.precision[0, 0, k] >= 0]
    shades = plt.get_cmap("viridis")(np.linspace(0.0, 0.9, len(analysis.precision)))
    for place, table in enumerate(analysis.precision):
        mean = table[:, known].mean(axis=1)
        label = f"{0.5 + 0.05 * place:.2f} (AP {100 * mean.mean():.1f})"
        axes[0].plot(recalls, mean, color=shades[place], label=label)
    most = sorted(known, key=lambda k: -analysis.objects[k])[:NAMED_CLASSES]
    for index, k in enumerate(most):
        curve = analysis.precision[0, :, k]
        label = f"{analysis.classes[k]} (AP50 {100 * curve.mean():.1f})"
        axes[1].plot(recalls, curve, color=f"C{index}", label=label)
    axes[0].set_title("mean over the classes, by IoU")
    of_all = "" if len(most) == len(known) else f", the {len(most)} with the most objects"
    axes[1].set_title(f"classes at IoU 0.5{of_all}")
    for axis in axes:
        axis.set(xlabel="recall", xlim=(0, 1), ylim=(0, 1.02))
        axis.grid(alpha=0.3)
        axis.legend(fontsize=8)
    axes[0].set_ylabel("precision (best at that recall or a higher one)")
    save_picture(figure, path)


def draw_calibration(analysis: Analysis, path: Path) -> None:
    """The reliability diagrams of the scores and, where there is sigma, of sigma."""
    sigma = analysis.sigma_reliability
    count = 1 if sigma is None else 2
    figure, axes = plt.subplots(
        1, count, figsize=(6 * count, 5.4), squeeze=False, constrained_layout=True
    )
    draw_scores(axes[0, 0], analysis.score_reliability)
    if sigma is not None:
        draw_sigma(axes[0, 1], sigma)
    for axis in axes[0]:
        draw_diagonal(axis)
    save_picture(figure, path)


def draw_confusion(analysis: Analysis, path: Path) -> None:
    """The confusion matrix; the color is the share of the row."""
    matrix = analysis.confusion.numpy()
    names = ["background", *analysis.classes]
    shares = matrix / matrix.sum(axis=1, keepdims=True).clip(min=1)
    side = min(4 + 0.45 * len(names), 20)
    figure, axis = plt.subplots(figsize=(side + 1, side), constrained_layout=True)
    image = axis.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    figure.colorbar(image, ax=axis, shrink=0.8, label="share of the row")
    if len(names) <= NUMBERED:
        for (row, column), count in np.ndenumerate(matrix):
            color = "white" if shares[row, column] > 0.6 else "black"
            axis.text(column, row, count, ha="center", va="center", color=color, fontsize=8)
    if len(names) <= LABELED:
        size = 9 if len(names) <= NUMBERED else 6
        axis.set_xticks(range(len(names)), names, rotation=90, fontsize=size)
        axis.set_yticks(range(len(names)), names, fontsize=size)
    axis.set(xlabel="detected", ylabel="label")
    axis.set_title(f"detections with a score of at least {analysis.confusion_score:g}, IoU 0.5")
    save_picture(figure, path)
