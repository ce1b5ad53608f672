"""What scripts.score measured: as JSON, as CSV files, as pictures, and in a few lines of text."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from data.scoring.analysis import Analysis
from data.scoring.calibration import EXPECTED_COVERAGE
from data.scoring.confusion import most_confused
from data.scoring.reliability import BINS, SIDES
from data.scoring.tide import KINDS
from scripts.engine.files import write_atomically, write_json
from scripts.reports.results import csv_text
from scripts.reports.score_errors import ErrorReport, error_text, errors_as_json, write_errors
from scripts.reports.score_pictures import draw_calibration, draw_confusion, draw_curves

COLUMNS = (
    "AP", "AP50", "AP75", "AP80", "AP90", "APS", "APM", "APL",
    "AR1", "AR10", "AR100", "ARS", "ARM", "ARL",
)  # fmt: skip
CURVE_IOUS = (50, 75, 90)  # percent, beside the mean over .50 .. .95
SHOWN_CLASSES = 6  # in the text: those with the lowest AP
CONFUSIONS = 3  # in the text

Lines = list[list[Any]]


@dataclass(frozen=True, kw_only=True)
class ScoreReport:
    """What is reported.

    facts: what was scored on what. notes: sentences about what was left out. scores: COCO's numbers
    and the calibration. voc: those of VOC's metric, or None. analysis: all else. localization:
    of detections with sigma. errors: what voting did, and single images; None: not reported.
    """

    facts: dict[str, Any]
    notes: Sequence[str]
    scores: dict[str, Any]
    voc: dict[str, Any] | None
    analysis: Analysis
    localization: dict[str, float] | None = None
    errors: ErrorReport | None = None


def write_score(report: ScoreReport, out: Path) -> str:
    """Writes all files of a report into ``out``; returns what is to be printed."""
    analysis = report.analysis
    write_json(out / "scores.json", json_content(report))
    for name, lines in (
        ("scores", score_lines(report)),
        ("curves", curve_lines(analysis)),
        ("calibration", calibration_lines(analysis)),
        ("confusion", confusion_lines(analysis)),
        ("errors", error_lines(analysis)),
    ):
        write_atomically(out / f"{name}.csv", csv_text(lines))
    draw_curves(analysis, out / "curves.png")
    draw_calibration(analysis, out / "calibration.png")
    draw_confusion(analysis, out / "confusion.png")
    if report.errors is not None:
        write_errors(report.errors, report.facts, out)
    return "\n".join([*summary_lines(report), f"files: {out}"])


def json_content(report: ScoreReport) -> dict[str, Any]:
    """The report as plain values; its points and curves are in the CSV files."""
    analysis = report.analysis
    sigma = analysis.sigma_reliability
    return {
        "facts": report.facts,
        "notes": list(report.notes),
        "scores": report.scores,
        "voc": report.voc,
        "per_class": class_table(report),
        "errors": analysis.tide,
        **({} if report.errors is None else errors_as_json(report.errors)),
        "score_calibration_error": analysis.score_reliability.error,
        "sigma_calibration_error": None if sigma is None else sigma.error,
        "localization": report.localization,
        "confusion": {
            "least_score": analysis.confusion_score,
            "classes": ["background", *analysis.classes],
            "matrix": analysis.confusion.tolist(),
        },
    }


def class_table(report: ScoreReport) -> list[dict[str, Any]]:
    """The numbers of each class."""
    analysis = report.analysis
    rows = []
    for name, objects, numbers in zip(
        analysis.classes, analysis.objects, analysis.per_class, strict=True
    ):
        row = {"class": name, "objects": objects, **{key: numbers[key] for key in COLUMNS}}
        if report.voc is not None:
            row["VOC_AP"] = report.voc["per_class"][name]
        rows.append(row)
    return rows


def score_lines(report: ScoreReport) -> Lines:
    """One line for all classes together, then one for each."""
    voc = [] if report.voc is None else ["VOC_AP"]
    everything = {"class": "all", "objects": sum(report.analysis.objects), **report.scores}
    if report.voc is not None:
        everything["VOC_AP"] = report.voc["mAP"]
    header = ["class", "objects", *COLUMNS, *voc]
    rows = [everything, *class_table(report)]
    return [header, *[[csv_number(row[name]) for name in header] for row in rows]]


def csv_number(value: Any) -> Any:
    """A value with four decimals; empty for nan."""
    if not isinstance(value, float):
        return value
    return "" if np.isnan(value) else f"{value:.4f}"


def curve_lines(analysis: Analysis) -> Lines:
    """Precision at each recall, by class and IoU; "all" is the mean over the classes."""
    recalls = np.linspace(0.0, 1.0, analysis.precision.shape[1])
    lines: Lines = [["class", "IoU", "recall", "precision"]]
    for label, name in enumerate(("all", *analysis.classes)):
        for iou, curve in curves(analysis, label).items():
            lines += [
                [name, iou, f"{recall:.2f}", csv_number(float(precision))]
                for recall, precision in zip(recalls, curve, strict=True)
            ]
    return lines


def curves(analysis: Analysis, label: int) -> dict[str, np.ndarray]:
    """{IoU: precision (R,)} of a class, 0 for the mean over the classes; {} without an object."""
    chosen = [label - 1] if label else range(len(analysis.classes))
    known = [place for place in chosen if analysis.precision[0, 0, place] >= 0]
    if not known:
        return {}
    table = analysis.precision[:, :, known].mean(axis=2)
    parts = {f"{iou / 100:.2f}": table[(iou - 50) // 5] for iou in CURVE_IOUS}
    return {**parts, "0.50:0.95": table.mean(axis=0)}


def calibration_lines(analysis: Analysis) -> Lines:
    """The points of both reliability diagrams: what was expected and what was observed, 0..1."""
    scores = analysis.score_reliability
    lines: Lines = [["diagram", "part", "expected", "observed", "count"]]
    columns = (scores.mean_score, scores.precision, scores.counts)
    for place, (expected, observed, count) in enumerate(
        zip(*(column.tolist() for column in columns), strict=True)
    ):
        part = f"{place / BINS:.1f}-{(place + 1) / BINS:.1f}"
        lines.append(["score", part, csv_number(expected), csv_number(observed), count])
    sigma = analysis.sigma_reliability
    if sigma is not None:
        for level, shares in zip(sigma.levels.tolist(), sigma.observed.tolist(), strict=True):
            for side, share in zip(SIDES, shares, strict=True):
                lines.append(["sigma", side, f"{level:.2f}", csv_number(share), sigma.matched])
    return lines


def confusion_lines(analysis: Analysis) -> Lines:
    """The confusion matrix: a line a label, a column a detected class."""
    names = ["background", *analysis.classes]
    matrix = analysis.confusion.tolist()
    return [
        ["label / detected", *names],
        *[[name, *row] for name, row in zip(names, matrix, strict=True)],
    ]


def error_lines(analysis: Analysis) -> Lines:
    """TIDE's kinds of error: how many, and the AP50 that mending all of a kind would add."""
    gains, counts = analysis.tide["dAP"], analysis.tide["count"]
    return [
        ["kind", "count", "dAP"],
        *[[kind, counts.get(kind, ""), csv_number(gain)] for kind, gain in gains.items()],
    ]


def summary_lines(report: ScoreReport) -> list[str]:
    """What is printed: at most 24 lines."""
    scores, analysis = report.scores, report.analysis
    return [
        *heading(report.facts),
        *[f"note: {note}" for note in report.notes],
        "  ".join(f"{name} {text(scores[name])}" for name in COLUMNS[:5]),
        "  ".join(f"{name} {text(scores[name])}" for name in COLUMNS[5:8])
        + "  "
        + "  ".join(f"{name} {text(scores[name])}" for name in ("AR1", "AR10", "AR100")),
        *mask_line(scores),
        *voc_line(report.voc),
        *class_lines(analysis),
        *calibration_text(report),
        *localization_text(report.localization),
        "errors, points of AP50: "
        + "  ".join(f"{kind} {text(analysis.tide['dAP'][kind])}" for kind in KINDS),
        confusion_text(analysis),
        *([] if report.errors is None else error_text(report.errors)),
    ]


def text(value: float) -> str:
    """A number with one decimal; "-" for nan."""
    return "-" if np.isnan(value) else f"{value:.1f}"


def heading(facts: dict[str, Any]) -> list[str]:
    """What was scored on what."""
    what = facts["scored"]
    if "updates" in facts:
        what += f" ({facts['run']}, {facts['updates']} of {facts['of_updates']} updates)"
    return [
        what,
        f"on {facts['data']}, split {facts['split']}: {facts['images']} images, "
        f"{facts['objects']} objects, {facts['detections']} detections",
    ]


def mask_line(scores: dict[str, Any]) -> list[str]:
    names = [name for name in scores if name.startswith("mask_")]
    return ["  ".join(f"{name} {text(scores[name])}" for name in names)] if names else []


def voc_line(voc: dict[str, Any] | None) -> list[str]:
    if voc is None:
        return []
    return [
        f"VOC mAP {text(voc['mAP'])} (11 points, IoU 0.5), {text(voc['mAP_area'])} by area, "
        f"{text(voc['mAP75'])} at IoU 0.75, {text(voc['mAP90'])} at 0.9"
    ]


def class_lines(analysis: Analysis) -> list[str]:
    """The classes with the lowest AP, each on a line."""
    known = [k for k, numbers in enumerate(analysis.per_class) if not np.isnan(numbers["AP"])]
    worst = sorted(known, key=lambda k: analysis.per_class[k]["AP"])[:SHOWN_CLASSES]
    more = f", the lowest of {len(known)}" if len(known) > len(worst) else ""
    width = max((len(analysis.classes[k]) for k in worst), default=0)
    lines = [f"by class{more}:"]
    for k in worst:
        numbers = analysis.per_class[k]
        values = "  ".join(f"{name} {text(numbers[name]):>5}" for name in ("AP", "AP50", "AP75"))
        lines.append(f"  {analysis.classes[k]:{width}}  {values}  {analysis.objects[k]} objects")
    return lines


def calibration_text(report: ScoreReport) -> list[str]:
    """Whether sigmas and scores say the truth."""
    scores, analysis = report.scores, report.analysis
    lines = []
    if analysis.sigma_reliability is not None:
        covered = " and ".join(
            f"{text(scores[name])} % ({expected:.0f} of a Gaussian)"
            for name, expected in EXPECTED_COVERAGE.items()
        )
        lines.append(
            f"sigma: 1 and 2 sigma cover {covered} of the sides of {scores['n']} matched detections"
        )
    error = analysis.score_reliability.error
    mean = "" if np.isnan(error) else f"off by {100 * error:.1f} points of 100 in the mean"
    return [*lines, f"scores as probabilities to be right: {mean or 'no detection'}"]


def localization_text(fit: dict[str, float] | None) -> list[str]:
    """Whether the IoU that sigma promises is the measured one."""
    if fit is None or not fit["matched"]:
        return []
    return [
        f"IoU: {100 * fit['mean_iou']:.1f} measured, {100 * fit['mean_expected']:.1f} expected "
        f"from sigma; rank correlation {fit['spearman_expected']:.2f} (of the score "
        f"{fit['spearman_score']:.2f}); AP75 {text(fit['AP75'])}, ranked by both "
        f"{text(fit['AP75_both'])}"
    ]


def confusion_text(analysis: Analysis) -> str:
    """The most frequent confusions of two classes."""
    pairs = most_confused(analysis.confusion, CONFUSIONS)
    names = ["background", *analysis.classes]
    listed = ", ".join(f"{names[a]} as {names[b]} ({count})" for a, b, count in pairs)
    return f"confused, at score {analysis.confusion_score:g}: {listed or 'no two classes'}"
