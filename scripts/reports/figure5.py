"""KL Loss Figure 5: what var voting does to the boxes of recognized objects, as numbers."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from data.scoring.box_moves import IOU, SCORE, STILL
from experiments.records import Row
from experiments.scales import renders_its_data, scale_title
from scripts.reports.figure5_scenes import SHARE, Scene, draw
from scripts.reports.files import Report, ReportPlace, write_report
from scripts.reports.provenance import report_page
from scripts.reports.results import Cell, Results, csv_numbers, signed
from scripts.reports.shown import Grid, Item, Shown
from scripts.reports.summary import Column, Summary, summary_text

QUANTITIES = {
    "n": ("n", None), "pairs": ("pairs", None), "clean IoU, %": ("iou", "clean"),
    "clean px": ("distance", "clean"), "toward clean, %": ("toward", "clean"),
    "label IoU, %": ("iou", None), "label px": ("distance", None),
    "toward label, %": ("toward", None), "movement px": ("movement", None),
    "moved, %": ("moved", None),
}  # fmt: skip
COUNTS = ("n", "pairs")
NOTE = (
    f"`n`: detections that mean an object (class right, IoU >= {IOU:g} with its label, score >= "
    f"{SCORE:g}). All else is over `pairs`: the detections that mean the same object before and "
    "after. `IoU` and `px` (distance of a side) are means against the label and, where it is "
    "known, the clean box; `movement`: how far voting moves a side, mean over all; `moved`: share "
    f"of the sides that move by more than {STILL:g} px; `toward`: share of those that come nearer."
)


def row_number(name: str, number: Cell, absent: str) -> Shown:
    """One number of a row: counts have no digits and no spread."""
    text = str(number)
    if number.mean is None:
        text = absent
    elif name in COUNTS:
        text = f"{number.mean:.0f}"
    return Shown(text=text, cell=number, missing=number.absent)


def step_number(name: str, number: Cell) -> Shown:
    """One number of a difference."""
    text = signed(number)
    if name in COUNTS and number.mean is not None:
        text = f"{number.mean:+.0f}"
    return Shown(text=text, cell=number, missing=number.absent)


def moves_grid(results: Results) -> Grid:
    """One line a row, and what voting changes."""
    lines: list[list[Item]] = []
    for index, row in enumerate(results.rows):
        cells = {name: results.cell(index, *place) for name, place in QUANTITIES.items()}
        absent = "not run" if cells["n"].mean is None else "-"
        lines.append([row.label, *[row_number(name, c, absent) for name, c in cells.items()]])
    for step in results.steps():
        changes = {name: results.comparison(step.better, step.base, *place)
                   for name, place in QUANTITIES.items()}  # fmt: skip
        lines.append([step.label, *[step_number(name, c) for name, c in changes.items()]])
    return Grid(header=["", *QUANTITIES], lines=lines)


def csv_lines(results: Results) -> list[list[Any]]:
    """One line a row and quantity."""
    lines: list[list[Any]] = [["row", "against", "column", "value", "spread", "seeds"]]
    for index, row in enumerate(results.rows):
        absent = "not run" if results.cell(index, "n").mean is None else None
        for column, part in QUANTITIES.values():
            numbers = csv_numbers(results.cell(index, column, part), absent)
            lines.append([row.label, part or "labels", column, *numbers])
    return lines


def picture_place(place: ReportPlace) -> Path:
    """Where the picture goes: rendered scenes beside the report, photos, which are not ours to
    pass on, below --out alone."""
    folder = place.folder if renders_its_data(place.scale) else place.evaluated / "report"
    return folder / f"{place.scale}.png"


def picture_section(results: Results, scale: str) -> list[str]:
    """The markdown of the picture, if one was drawn: its seed's record says what it shows."""
    drawn = [seed for seed in results.seeds if "picture" in seed]
    if not drawn:
        return []
    seed, picture = drawn[0], drawn[0]["picture"]
    shown = f"![boxes before and after var voting]({scale}.png)"
    if not renders_its_data(scale):
        path = f"{scale}/{seed['table']}/report/{scale}.png"
        shown = (
            f"The picture shows photos and is not kept with the results: `{path}` in the folder "
            "of --out."
        )
    return [f"{shown}\n\n{caption(seed['seed'], **picture)}"]


def caption(seed: int, *, better: int, worse: int, truth: str) -> str:
    """What the picture shows.

    Args:
        better: panels in which a box comes nearer to the truth.
        worse: panels in which one moves away.
        truth: what the dotted boxes are, "clean box" or "label".
    """
    return (
        f"*Seed {seed}; red: before, green: after, gray: the voters with at least {SHARE:.0%} of "
        f"the vote on some side, dotted: the {truth}. Numbers at the sides: sigma of the red box, "
        "in the unit of the network's offsets. Not typical but extreme: of all test images the "
        f"{better} in which the IoU of a box with the {truth} gains most and the {worse} in which "
        "one loses most.*"
    )


def draw_picture(
    place: ReportPlace, row: Row, seed: int, panels: Sequence[Scene], truth: str
) -> dict[str, Any]:
    """Draws the panels of a seed.

    Returns:
        What the seed's record keeps of it, under "picture": the arguments of ``caption``.
    """
    title = f"Var voting, sigma_t = {row.postprocess.sigma_t:g}, seed {seed}"
    draw(panels, picture_place(place), f"{title}\n{scale_title(place.scale)}", truth)
    better = sum(scene.better for scene in panels)
    return {"better": better, "worse": len(panels) - better, "truth": truth}


def figure5_report(results: Results, committed: Results, scale: str) -> Report:
    """The report in all its forms."""
    truth = "clean" if results.has("clean") else "label"
    columns = [Column(heading=name, name=column, part=part)
               for name, (column, part) in QUANTITIES.items() if truth in name]  # fmt: skip
    summary = Summary(steps=columns[:2], rows=columns[:2])  # not "toward": before has none
    sections = [NOTE, str(moves_grid(results)), *picture_section(results, scale)]
    return Report(
        markdown=report_page(results, scale, sections),
        summary=summary_text(results, committed, scale, summary),
        seeds=results.seeds,
        csv_lines=csv_lines(results),
    )


def write_figure5(results: Results, place: ReportPlace) -> str:
    """Writes the report and returns what is to be printed."""
    committed = Results(results.table, place.committed_seeds())
    report = figure5_report(results, committed, place.scale)
    return write_report(report, place.folder, place.scale)
