"""What scripts.calibrate fitted and measured: as JSON beside the checkpoint, and as text."""

from dataclasses import asdict

from data.scoring.calibration import EXPECTED_COVERAGE
from scripts.engine.calibrate import CalibrateResult, Numbers
from scripts.engine.files import json_safe, write_json
from scripts.reports.results import markdown_table


def write_calibration(result: CalibrateResult) -> str:
    """Writes CHECKPOINT.calibration.json; returns what is to be printed."""
    path = result.checkpoint.with_suffix(".calibration.json")
    write_json(path, json_safe({**asdict(result), "checkpoint": str(result.checkpoint)}))
    return "\n\n".join(
        [fitted_text(result), parts_table(result), intervals_table(result), str(path)]
    )


def fitted_text(result: CalibrateResult) -> str:
    """On what the factors were fitted, and what they are."""
    fitted = result.recalibration
    lines = [
        f"fitted on {fitted.images} images ({fitted.fitted_on}), {fitted.matched} detections; "
        f"measured on {result.images} others ({result.reported_on})"
    ]
    if fitted.by == "side":
        factors = ", ".join(
            f"{name} {factor:.3f}"
            for name, factor in zip(("x1", "y1", "x2", "y2"), fitted.scale.factors[0], strict=True)
        )
    else:
        ends = ["", *(f" from {edge:.0f} px" for edge in fitted.scale.edges)]
        factors = ", ".join(
            f"{row[0]:.3f}{end}" for row, end in zip(fitted.scale.factors, ends, strict=True)
        )
    lines.append(f"sigma is multiplied by {factors}")
    return "\n".join(lines)


def parts_table(result: CalibrateResult) -> str:
    """Coverage, likelihood and ENCE before -> after, of all detections and of their parts."""
    one, two = EXPECTED_COVERAGE.values()
    header = ["detections", "number", f"1 sigma ({one:.1f})", f"2 sigma ({two:.1f})", "NLL", "ENCE"]
    lines = []
    for name, before in result.before.items():
        after = result.after[name]
        lines.append([name, str(int(before["n"])), *changes(before, after)])
    return markdown_table(header, lines)


def changes(before: Numbers, after: Numbers) -> list[str]:
    """Each number as "before -> after"."""
    digits = {"coverage1": 1, "coverage2": 1, "nll": 2, "ence": 3}
    return [f"{before[key]:.{n}f} -> {after[key]:.{n}f}" for key, n in digits.items()]


def intervals_table(result: CalibrateResult) -> str:
    """How often intervals held on other images, and how wide they are."""
    header = ["asked", "sides held", "boxes held", "mean width", "a Gaussian's"]
    lines = [
        [
            f"{one.interval.level:.0%}",
            f"{one.held:.1%}",
            f"{one.holds:.1%}",
            f"{one.width:.1f} px",
            f"{one.gaussian_width:.1f} px",
        ]
        for one in result.intervals
    ]
    return markdown_table(header, lines)
