"""The report of two region proposal networks taken apart: ranking of one, boxes of the other."""

from collections.abc import Sequence
from pathlib import Path

from experiments.records import Table
from experiments.scales import TITLES
from scripts.reports.results import cell, markdown_table, write_report

COUNT = 100  # proposals an image
IOUS = (0.5, 0.6, 0.7, 0.8, 0.9)

Recalls = dict[str, dict[str, float]]  # {"RPN ranks, boxes of KL-RPN": {"0.5": recall, %}}


def swap_text(table: Table, scale: str, seeds: Sequence[Recalls]) -> str:
    """The markdown file: recall of each combination at each IoU, over the seeds."""
    lines = []
    for name in seeds[0]:
        cells = [cell([seed[name][str(iou)] for seed in seeds]) for iou in IOUS]
        lines.append([name, *map(str, cells)])
    parts = [
        f"# Ranking or boxes: recall of the best {COUNT} proposals, %",
        f"**{TITLES[scale]}**",
        markdown_table(["", *[f"IoU {iou}" for iou in IOUS]], lines),
        f"* {table.title}; scale: {scale}; seeds: {list(range(len(seeds)))}. Both networks have "
        "the same anchors, so the objectness of one can rank the boxes of the other.",
    ]
    return "\n\n".join(parts) + "\n"


def write_swap(table: Table, scale: str, seeds: Sequence[Recalls], folder: Path) -> str:
    """Writes <scale>_swap.md and .json into ``folder`` and returns the markdown text."""
    text = swap_text(table, scale, seeds)
    write_report(folder, f"{scale}_swap", markdown=text, csv_lines=None, seeds=seeds)
    return text
