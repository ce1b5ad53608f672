"""The three sizes at which every experiment runs: ``paper`` as published, ``lite`` on real photos,
``mini`` anywhere.

A scale is a function Run -> Run. What it keeps is what the experiment is about: the box coding, the
log variance, the losses; what it replaces is size: backbone, resolution, data, schedule. Both sides
of a comparison get the same.
How the numbers below were found is written in docs/scales.md.
"""

from collections.abc import Callable

from experiments.lite import lite
from experiments.mini import mini
from experiments.records import Run


def paper(run: Run) -> Run:
    """The published recipe: nothing changes."""
    return run


SCALES: dict[str, Callable[[Run], Run]] = {"mini": mini, "lite": lite, "paper": paper}
TITLES = {
    "mini": "mini (synthetic scenes): trend only, not comparable with the paper's numbers",
    "lite": "lite (subset of real VOC photos, small backbone): real, not comparable with the "
    "paper's numbers",
    "paper": "paper (published recipe)",
}
