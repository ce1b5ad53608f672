"""The report of two region proposal networks taken apart: ranking of one, boxes of the other."""

from collections.abc import Sequence
from typing import Any

from experiments.records import Table
from experiments.scales import scale_title
from scripts.reports.files import Report, ReportPlace, write_report
from scripts.reports.provenance import evaluation_line, seeds_line
from scripts.reports.results import Cell, cell, counted, markdown_table
from scripts.reports.shown import Grid, level

COUNT = 100  # proposals an image
IOUS = (0.5, 0.6, 0.7, 0.8, 0.9)
PRINTED = (0.5, 0.8)  # IoU
TITLE = f"Ranking or boxes: recall of the best {COUNT} proposals, %"

Seeds = Sequence[dict[str, Any]]  # each with "recall": {"RPN ranks, boxes of KL-RPN": {"0.5": %}}


def recall_cell(seeds: Seeds, combination: str, iou: float, source: str = "") -> Cell:
    return cell(
        [seed["recall"].get(combination, {}).get(str(iou)) for seed in seeds],
        origin=f"{{{source}#recall[{combination}]/{iou}}}",
    )


def swap_grid(seeds: Seeds, source: str = "") -> Grid:
    """Recall of each combination at each IoU, over the seeds.

    Args:
        source: the JSON file that they are from, where somebody asks.
    """
    lines = [
        [name, *[level(recall_cell(seeds, name, iou, source)) for iou in IOUS]]
        for name in seeds[0]["recall"]
    ]
    return Grid(header=["", *[f"IoU {iou}" for iou in IOUS]], lines=lines)


def swap_text(table: Table, scale: str, seeds: Seeds) -> str:
    """The markdown file."""
    notes = [
        f"{table.title}. Both networks have the same anchors, so the objectness of one can rank "
        "the boxes of the other.",
        seeds_line(seeds, scale),
        evaluation_line(seeds),
    ]
    parts = [
        f"# {TITLE}",
        f"**{scale_title(scale)}**",
        str(swap_grid(seeds)),
        "\n".join(f"* {note}" for note in notes),
    ]
    return "\n\n".join(parts) + "\n"


def swap_summary(scale: str, seeds: Seeds, committed: Seeds) -> str:
    """What is printed: recall at two IoU, committed and yours."""
    sides = [("committed", committed), ("yours", seeds)] if committed else [("yours", seeds)]
    header = []
    for iou in PRINTED:
        header += [f"IoU {iou}: {sides[0][0]}", *[name for name, _ in sides[1:]]]
    lines = []
    for name in seeds[0]["recall"]:
        cells = [recall_cell(side, name, iou) for iou in PRINTED for _, side in sides]
        lines.append([name, *map(str, cells)])
    counts = "; ".join(f"{name}: {counted(side)}" for name, side in reversed(sides))
    return f"{TITLE}\n{scale_title(scale)}\n{counts}\n\n{markdown_table(['', *header], lines)}"


def write_swap(table: Table, seeds: Seeds, place: ReportPlace) -> str:
    """Writes <scale>_swap.md and .json and returns what is to be printed.

    Published, they replace the committed ones, since these do not say how they were measured.
    """
    committed = place.committed_seeds("_swap")
    new = {seed["seed"] for seed in seeds}
    lost = [seed["seed"] for seed in committed if seed["seed"] not in new]
    if place.publish and lost:
        print(
            f"note: the committed seeds {lost} of {place.scale}_swap are left out, because they do "
            f"not say how they were measured; --seeds {max(lost) + 1} measures them again"
        )
    report = Report(
        markdown=swap_text(table, place.scale, seeds),
        summary=swap_summary(place.scale, seeds, committed),
        seeds=seeds,
    )
    return write_report(report, place.folder, f"{place.scale}_swap")
