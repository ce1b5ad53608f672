"""Learning curves, where the numbers of a training were kept beside its results."""

import csv
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path

from scripts.engine.places import find_table
from scripts.reports.curves import BIN
from scripts.reports.page.plots import Curve, Labels, line_plot
from scripts.reports.page.sources import Source, Sources, shown_path
from scripts.reports.page.tables import brief
from scripts.reports.page.views import Part, PictureView, Section, anchor, plain
from scripts.reports.results import cell

TEXT = (
    f"Means over {BIN} updates, averaged over the seeds of a network; a band is the sample "
    "standard deviation over seeds. The losses of different methods are not comparable with each "
    "other: KL Loss, for one, may be negative."
)
NAMES = {
    "train/loss": "total loss", "train/roi_class": "loss of the classes, second stage",
    "train/roi_box": "loss of the boxes, second stage",
    "train/rpn_objectness": "loss of the objectness, first stage",
    "train/rpn_kl": "loss of KL-RPN, first stage",
    "head/log_variance_mean": "ln variance of box sides, mean",
}  # fmt: skip
Networks = Mapping[str, Mapping[str, Curve]]  # {tag: {run: curve}}


def learning_section(sources: Sources) -> Section:
    """Every table whose curves were kept."""
    parts = []
    for source in sources.tables.values():
        path = source.beside("_curves.csv")
        if path.is_file():
            parts.append(learning_part(source, path))
    text = TEXT if parts else "Not kept with any of these results."
    return Section(anchor="learning", title="Learning curves", text=plain(text), parts=parts)


def learning_part(source: Source, path: Path) -> Part:
    """One plot for each number that some network has."""
    pictures: list[PictureView] = []
    try:
        networks = read_curves(path)
        text = plain(*only_some(networks))
    except (KeyError, ValueError) as error:
        networks = {}
        text = plain(f"The file {shown_path(path)} cannot be read: {error}; draw it again.")
    runs = list(dict.fromkeys(run for curves in networks.values() for run in curves))
    for tag, curves in networks.items():
        title = NAMES[tag]
        labels = Labels(title=title, x="update")
        pictures.append(line_plot(curves, labels, last_values(curves), runs))
    return Part(
        anchor=anchor("learning", source.table, source.scale),
        title=f"{find_table(source.table).title}: {source.scale}",
        listed=f"{brief(source.table)}: {source.scale}",
        text=text,
        pictures=pictures,
        source=shown_path(path),
    )


def last_values(curves: Mapping[str, Curve]) -> str:
    """Where each network ends; a loss that is no number is none."""
    ends = {run: curve[max(curve)].mean for run, curve in curves.items()}
    texts = [f"{run} {'no number' if end is None else f'{end:.3g}'}" for run, end in ends.items()]
    return f"At the end: {', '.join(texts)}."


def only_some(networks: Networks) -> list[str]:
    """A sentence if there is nothing to draw."""
    return [] if networks else ["It holds none of the numbers that are drawn."]


def read_curves(path: Path) -> Networks:
    """The numbers of a file that ``scripts.curves`` wrote, over its seeds.

    Raises:
        KeyError: a column is missing.
        ValueError: a number is none.
    """
    found: dict[str, dict[str, dict[float, list[float]]]] = defaultdict(
        lambda: defaultdict(lambda: defaultdict(list))
    )
    with path.open(newline="") as file:
        for line in csv.DictReader(file):
            for tag in NAMES:
                if line.get(tag):
                    found[tag][line["run"]][float(line["update"])].append(float(line[tag]))
    return {
        tag: {run: {x: cell(values) for x, values in curve.items()}
              for run, curve in found[tag].items()}
        for tag in NAMES if tag in found
    }  # fmt: skip
