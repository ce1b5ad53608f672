"""What scripts.calibrate fitted and measured, as text."""

from typing import Any

from data.scoring.calibration import EXPECTED_COVERAGE
from scripts.reports.results import markdown_table

HIGHEST = 99  # percent
SIDES = ("x1", "y1", "x2", "y2")
Content = dict[str, Any]  # a CalibrateResult as plain values


def calibration_text(content: Content) -> str:
    """What is printed."""
    return "\n\n".join([fitted_text(content), parts_table(content), intervals_table(content)])


def fitted_text(content: Content) -> str:
    """On what the factors were fitted, and what they are."""
    fitted = content["recalibration"]
    edges, factors = fitted["scale"]["edges"], fitted["scale"]["factors"]
    if fitted["by"] == "side":
        shown = [f"{name} {value:.3f}" for name, value in zip(SIDES, factors[0], strict=True)]
    else:
        below = f" below {edges[0]:.0f} px" if edges else ""
        starts = [below, *(f" from {edge:.0f} px" for edge in edges)]
        shown = [f"{row[0]:.3f}{start}" for row, start in zip(factors, starts, strict=True)]
    return (
        f"fitted on {fitted['images']} images ({fitted['fitted_on']}), {fitted['matched']} "
        f"detections; measured on {content['images']} images ({content['reported_on']})\n"
        f"sigma is multiplied by {', '.join(shown)}"
    )


def parts_table(content: Content) -> str:
    """Coverage, likelihood and ENCE before -> after, of all detections and of their parts."""
    one, two = EXPECTED_COVERAGE.values()
    header = ["detections", "number", f"1 sigma ({one:.1f})", f"2 sigma ({two:.1f})", "NLL", "ENCE"]
    digits = {"coverage1": 1, "coverage2": 1, "nll": 2, "ence": 3}
    if "true_ratio" in content["before"]["all"]:
        header, digits = [*header, "sigma / label noise"], {**digits, "true_ratio": 2}
    held = content["held"]
    header += ["in 90 % interval"] if held else []
    lines = []
    for name, before in content["before"].items():
        after = content["after"][name]
        changes = [f"{before[key]:.{n}f} -> {after[key]:.{n}f}" for key, n in digits.items()]
        inside = [f"{held[name]:.1%}"] if held else []
        lines.append([name, str(before["n"]), *changes, *inside])
    return markdown_table(header, lines)


def intervals_table(content: Content) -> str:
    """How often intervals held on other images, and how wide they are."""
    header = ["interval", "sides inside", "objects in box", "mean width", "Gaussian width"]
    lines = [
        [
            f"{one['interval']['level']:.1%}",
            f"{one['held']:.1%}",
            f"{one['holds']:.1%}",
            f"{one['width']:.1f} px",
            f"{one['gaussian_width']:.1f} px",
        ]
        for one in content["intervals"]
    ]
    highest = len(content["recalibration"]["quantiles"]["holding"])
    note = (
        ""
        if highest == HIGHEST
        else (f"\n\nintervals reach up to {highest} %; 19 detections give 95 %, and 99 give 99 %")
    )
    return markdown_table(header, lines) + note
