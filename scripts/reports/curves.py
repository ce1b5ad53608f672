"""Learning curves of a table's runs, from their TensorBoard files: CSV and a picture."""

from collections import defaultdict
from pathlib import Path
from typing import Any

from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from experiments.scales import at_scale
from scripts.engine.files import write_atomically
from scripts.engine.places import find_table, seeds_of, table_place
from scripts.reports.files import ReportPlace
from scripts.reports.pictures import save_picture
from scripts.reports.results import csv_text

BIN = 100  # updates
COLUMNS = 3  # plots side by side
DASHES = ("-", "--", ":", "-.")  # of the seeds
SHOWN = (  # those that some run has
    "train/loss", "train/roi_class", "train/roi_box", "train/rpn_objectness", "train/rpn_box",
    "train/rpn_kl", "rpn/log_variance_positive", "rpn/log_variance_negative",
    "head/foreground_share", "head/log_variance_mean", "head/log_variance_p10",
    "head/log_variance_p90",
)  # fmt: skip

# (run, seed, tag) -> {first update of the bin: mean}
Curves = dict[tuple[str, int, str], dict[int, float]]


def read_curve(folder: Path) -> dict[str, dict[int, float]]:
    """{tag: {first update of each bin: mean value}} of one run's TensorBoard folder."""
    events = EventAccumulator(str(folder), size_guidance={"scalars": 0})
    events.Reload()
    curves = {}
    for tag in events.Tags()["scalars"]:
        bins: dict[int, list[float]] = defaultdict(list)
        for event in events.Scalars(tag):
            bins[event.step // BIN * BIN].append(event.value)
        curves[tag] = {step: sum(values) / len(values) for step, values in sorted(bins.items())}
    return curves


def table_curves(place: ReportPlace) -> Curves:
    """The curves of every trained run and seed of a table.

    Raises:
        ValueError: none of its runs was trained.
    """
    runs = [at_scale(row.run, place.scale) for row in find_table(place.table).rows]
    table = table_place(place.table, scale=place.scale, out=place.out)
    curves: Curves = {}
    for run in {run.name: run for run in runs}.values():
        for seed in seeds_of(table.run_place(run, 0)):
            if seed.tensorboard.is_dir():
                for tag, curve in read_curve(seed.tensorboard).items():
                    curves[run.name, seed.seed, tag] = curve
    if not curves:
        raise ValueError(
            f"No TensorBoard files of {place.table} at scale {place.scale} lie below {place.out}; "
            "train first."
        )
    return curves


def csv_lines(curves: Curves) -> list[list[Any]]:
    """One line a bin, one column a tag."""
    tags = sorted({tag for _, _, tag in curves})
    bins = sorted({(run, seed, step) for (run, seed, _), curve in curves.items() for step in curve})
    lines: list[list[Any]] = [["run", "seed", "update", *tags]]
    for run, seed, step in bins:
        values = [curves.get((run, seed, tag), {}).get(step) for tag in tags]
        texts = ["" if value is None else f"{value:.5g}" for value in values]
        lines.append([run, seed, step, *texts])
    return lines


def draw(curves: Curves, path: Path, title: str) -> None:
    """One small plot a tag, one line a run and seed: the color is the run's, the dashes the
    seed's."""
    known = {tag for _, _, tag in curves}
    tags = [tag for tag in SHOWN if tag in known]
    rows = max(1, -(-len(tags) // COLUMNS))
    figure, axes = plt.subplots(
        rows, COLUMNS, figsize=(12, 8 / 3 * rows), constrained_layout=True, squeeze=False
    )
    for axis in axes.flat[len(tags) :]:
        axis.set_visible(False)
    for axis, tag in zip(axes.flat, tags, strict=False):
        draw_tag(axis, curves, tag)
    handles, labels = axes.flat[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=3, fontsize=8)
    figure.suptitle(title)
    save_picture(figure, path, dpi=80)


def draw_tag(axis: Axes, curves: Curves, tag: str) -> None:
    """The curves of one tag; a run without it has an empty line, for the legend."""
    lines = sorted({(run, seed) for run, seed, _ in curves})
    runs = sorted({run for run, _ in lines})
    colors = {run: f"C{index % 10}" for index, run in enumerate(runs)}
    for run, seed in lines:
        curve = curves.get((run, seed, tag), {})
        axis.plot(
            list(curve), list(curve.values()), color=colors[run], label=f"{run}, seed {seed}",
            linestyle=DASHES[seed % len(DASHES)], linewidth=1,
        )  # fmt: skip
    axis.set_title(tag, fontsize=9)
    axis.set_xlabel("update", fontsize=8)
    axis.grid(alpha=0.3)


def write_curves(place: ReportPlace) -> str:
    """Writes both files of a table and returns one sentence that says so."""
    curves = table_curves(place)
    path = place.folder / f"{place.scale}_curves"
    write_atomically(path.with_suffix(".csv"), csv_text(csv_lines(curves)))
    title = f"{place.table}, {place.scale}: means over {BIN} updates"
    draw(curves, path.with_suffix(".png"), title)
    return f"{len(curves)} curves -> {path}.csv and .png"
