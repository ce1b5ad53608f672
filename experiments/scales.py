"""The sizes at which every experiment runs: ``paper`` as published, ``lite`` on real photos,
``lite600`` on them at the papers' resolution, ``mini`` anywhere.

A scale is a function Run -> Run. What it keeps is what the experiment is about: the box coding, the
log variance, the losses; what it replaces is size: backbone, resolution, data, schedule. Both sides
of a comparison get the same.
Each can be longer than it is: "mini-4x" is mini with four times as many updates. How the numbers
of the small scales were found is written in docs/scales.md.
"""

import re
from collections.abc import Callable
from dataclasses import replace

from experiments.lite import lite, lite600
from experiments.mini import mini
from experiments.records import Run
from experiments.shrink import lengthened


def paper(run: Run) -> Run:
    """The published recipe: nothing changes."""
    return run


SCALES: dict[str, Callable[[Run], Run]] = {
    "mini": mini,
    "lite": lite,
    "lite600": lite600,
    "paper": paper,
}
TITLES = {
    "mini": "mini (synthetic scenes): trend only, not comparable with the paper's numbers",
    "lite": "lite (photos of VOC 2007, of COCO for masks; small backbone): real, not comparable "
    "with the paper's numbers",
    "lite600": "lite600 (lite at a short side of 600 px): real, not comparable with the paper's "
    "numbers",
    "paper": "paper (published recipe)",
}


def scale_and_length(name: str) -> tuple[str, int]:
    """("mini", 4) of "mini-4x", ("mini", 1) of "mini".

    Raises:
        ValueError: the name is not one of SCALES, with or without a length of 2 or more.
    """
    parts = re.fullmatch(r"([a-z0-9]+)(?:-([1-9][0-9]*)x)?", name)
    length = int(parts[2] or 1) if parts else 1
    if not parts or parts[1] not in SCALES or (parts[2] and length < 2):
        raise ValueError(
            f"There is no scale {name!r}; choose one of {', '.join(SCALES)}, or name a longer one: "
            "mini-4x has four times as many updates as mini."
        )
    return parts[1], length


def at_scale(run: Run, name: str) -> Run:
    """A run of runs.py at the scale called ``name``, such as "mini" or "mini-4x".

    See ``lengthened`` for what a length does.
    """
    scale, length = scale_and_length(name)
    scaled = SCALES[scale](run)
    return replace(scaled, train=lengthened(scaled.train, length))


def renders_its_data(name: str) -> bool:
    """Whether a scale renders the scenes that it learns from, and so reads no other data."""
    return scale_and_length(name)[0] == "mini"


def scale_title(name: str) -> str:
    """What a report says about the scale called ``name``."""
    scale, length = scale_and_length(name)
    return TITLES[scale] if length == 1 else f"{TITLES[scale]}; {length}x updates"
