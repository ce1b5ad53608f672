"""Learning curves of a table's runs, from their TensorBoard files: CSV and a picture."""

from collections import defaultdict
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")
from matplotlib import pyplot as plt
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from experiments.scales import SCALES
from scripts.engine.checkpoint import write_atomically
from scripts.engine.places import find_table, run_folder
from scripts.reports.results import csv_text

BIN = 100  # updates
COLUMNS = 3  # plots side by side
DASHES = ("-", "--", ":", "-.")  # of the seeds
SHOWN = ("train/loss", "train/roi_class", "train/roi_box", "train/rpn_objectness", "train/rpn_box", "train/rpn_kl",
         "rpn/log_variance_positive", "rpn/log_variance_negative", "head/foreground_share", "head/log_variance_mean",
         "head/log_variance_p10", "head/log_variance_p90")  # those that some run has

Curves = dict[tuple[str, int, str], dict[int, float]]  # (run, seed, tag) -> {first update of the bin: mean}


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


def table_curves(name: str, scale: str, out: Path) -> Curves:
    """The curves of every trained run and seed of a table."""
    paper = name.partition("/")[0]
    names = list(dict.fromkeys(SCALES[scale](row.run).name for row in find_table(name).rows))
    found: Curves = {}
    for run in names:
        for folder in sorted(run_folder(out, scale, run, paper, 0).parent.glob("seed*/tensorboard")):
            seed = int(folder.parent.name.removeprefix("seed"))
            found |= {(run, seed, tag): curve for tag, curve in read_curve(folder).items()}
    if not found:
        raise ValueError(f"No TensorBoard files of {name} at scale {scale} lie below {out}; train first.")
    return found


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
    """One small plot a tag, one line a run and seed: the color tells the run, the dashes the seed."""
    tags = [tag for tag in SHOWN if any(tag == known for _, _, known in curves)]
    rows = max(1, -(-len(tags) // COLUMNS))
    figure, axes = plt.subplots(rows, COLUMNS, figsize=(12, 8 / 3 * rows), constrained_layout=True, squeeze=False)
    lines = sorted({(run, seed) for run, seed, _ in curves})
    colors = {run: f"C{index % 10}" for index, run in enumerate(sorted({run for run, _ in lines}))}
    for axis in axes.flat[len(tags):]:
        axis.set_visible(False)
    for axis, tag in zip(axes.flat, tags, strict=False):
        for run, seed in lines:
            curve = curves.get((run, seed, tag), {})
            axis.plot(list(curve), list(curve.values()), color=colors[run], linestyle=DASHES[seed % len(DASHES)],
                      label=f"{run}, seed {seed}", linewidth=1)
        axis.set_title(tag, fontsize=9)
        axis.set_xlabel("update", fontsize=8)
        axis.grid(alpha=0.3)
    handles, labels = axes.flat[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=3, fontsize=8)
    figure.suptitle(title)
    figure.savefig(path, dpi=80)
    plt.close(figure)


def write_curves(name: str, scale: str, out: Path, folder: Path) -> str:
    """Writes both files of a table into ``folder`` and returns one sentence that says so."""
    curves = table_curves(name, scale, out)
    write_atomically(folder / f"{scale}_curves.csv", csv_text(csv_lines(curves)))
    draw(curves, folder / f"{scale}_curves.png", f"{name}, {scale}: means over {BIN} updates")
    return f"{len(curves)} curves -> {folder}/{scale}_curves.csv and .png"
