"""A table over training length: one curve a network, the differences, and where they would end."""

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.axes import Axes

from experiments.records import Table
from experiments.scales import scale_and_length, scale_title
from scripts.engine.files import read_json, write_atomically
from scripts.engine.places import find_table
from scripts.reports.files import ReportPlace
from scripts.reports.pictures import save_picture
from scripts.reports.provenance import unfinished_networks
from scripts.reports.results import Cell, Results, Step, csv_numbers, csv_text
from scripts.reports.same_evaluation import check_same_data
from scripts.reports.shown import Grid, Item, level
from scripts.reports.shown import step as shown_step

COLUMNS = 3  # panels side by side
FIRST_STAGE = {
    "recall50": "recall at 0.5, best 100 (%)", "recall70": "recall at 0.7, best 100 (%)",
    "recall90": "recall at 0.9, best 100 (%)", "AR": "AR, best 100 (%)",
    "mean_iou": "mean IoU, best 100 (%)",
    "auc": "AUC of anchors (%)", "offset_error": "median |offset error| of positives",
    "log_variance_positive": "ln variance of positives", "ks": "Figure 3: KS distance",
}  # fmt: skip
FITTED = 3  # lengths from which on a line through the differences is shown
STRAIGHT = 0.9  # the least R² of a line that is extrapolated

Lengths = dict[int, Results]  # by updates


def measured_lengths(place: ReportPlace, table: Table) -> Lengths:
    """The results of every length of the place's scale, shortest first.

    Which ones count where both are there: see ``seeds_at``.

    Raises:
        ValueError: there are none, or they were measured on different data.
    """
    base, _ = scale_and_length(place.scale)
    committed = {path.stem for path in place.committed.glob("*.json")}
    found = {path.parent.parent.parent.name for path in place.out.glob(f"*/{place.table}/report")}
    if place.results is not None:
        found |= {path.stem for path in place.results.glob("*.json")}
    lengths: Lengths = {}
    for name in sorted(committed | found):
        if is_length_of(name, base):
            seeds = seeds_at(replace(place, scale=name))
            if seeds:
                lengths[updates(seeds)] = Results(table, seeds)
    if not lengths:
        raise ValueError(
            f"No length of {place.table} at scale {base} was measured below {place.out} or is "
            f"committed; experiments/{place.table}/eval.sh measures one."
        )
    check_same_data(
        [seed for results in lengths.values() for seed in results.seeds], f"{place.table}, {base}"
    )
    return dict(sorted(lengths.items()))


def is_length_of(name: str, base: str) -> bool:
    """Whether ``name`` is the scale ``base`` or a longer one."""
    try:
        return scale_and_length(name)[0] == base
    except ValueError:
        return False


def seeds_at(place: ReportPlace) -> list[dict[str, Any]]:
    """The seeds of one length: those that were reported, otherwise the committed ones; published,
    the other way round, because committed ones hold what was just published and more.
    """
    reported, committed = reported_seeds(place), place.committed_seeds()
    seeds = committed or reported if place.publish else reported or committed
    return seeds if any(line["metrics"] for seed in seeds for line in seed["rows"]) else []


def reported_seeds(place: ReportPlace) -> list[dict[str, Any]]:
    """The seeds of the report of one length, in --results before ``out``; empty if there is none.

    Reports of other tables in --results do not count.
    """
    folders = [place.evaluated / "report"]
    if place.results is not None:
        folders.insert(0, place.results)
    for path in (folder / f"{place.scale}.json" for folder in folders):
        if path.is_file():
            remedy = "delete it, or report that length again"
            seeds: list[dict[str, Any]] = read_json(path, remedy, kind=list, keys=("rows",))
            if all(seed.get("table", place.table) == place.table for seed in seeds):
                return seeds
    return []


def updates(seeds: Sequence[dict[str, Any]]) -> int:
    """How many updates the networks of a length are trained for when they are finished."""
    return max(line["of_updates"] for seed in seeds for line in seed["rows"] if line["metrics"])


def panels(table: Table) -> dict[str, str]:
    """{name of a number: title of its panel}."""
    if table.metric == "first_stage":
        return FIRST_STAGE
    return {name: name for name in dict.fromkeys([*table.columns, *table.extra[:2]])}


def part_of(results: Results, name: str) -> str | None:
    """ "clean" where a number is known against the clean boxes."""
    known = (results.values(i, name, "clean") for i in range(len(results.rows)))
    return "clean" if any(value is not None for values in known for value in values) else None


def draw_panel(axis: Axes, lengths: Lengths, name: str) -> None:
    """One number over length: one curve a row, a bar is the standard deviation over seeds."""
    rows = next(iter(lengths.values())).rows
    for i, row in enumerate(rows):
        cells = {n: r.cell(i, name, part_of(r, name)) for n, r in lengths.items()}
        known = {n: cell for n, cell in cells.items() if cell.mean is not None}
        axis.errorbar(
            list(known), [cell.mean or 0.0 for cell in known.values()],
            yerr=[cell.spread or 0.0 for cell in known.values()],
            label=row.name, color=f"C{i}", marker="os^v"[i % 4], capsize=3, linewidth=1.6,
        )  # fmt: skip
    axis.set_xscale("log", base=2)
    axis.set_xticks(list(lengths), [f"{n:,}" for n in lengths], fontsize=8, rotation=30)
    axis.minorticks_off()
    axis.grid(alpha=0.3)


def draw(lengths: Lengths, table: Table, path: Path, title: str) -> None:
    """All panels in one picture."""
    shown = panels(table)
    rows = math.ceil(len(shown) / COLUMNS)
    figure, axes = plt.subplots(
        rows, COLUMNS, figsize=(3.6 * COLUMNS, 3.0 * rows + 1.0), squeeze=False,
        constrained_layout=True,
    )  # fmt: skip
    for axis in axes.flat[len(shown) :]:
        axis.set_visible(False)
    for axis, (name, heading) in zip(axes.flat, shown.items(), strict=False):
        draw_panel(axis, lengths, name)
        axis.set_title(heading, fontsize=10)
    for axis in axes.flat[max(0, len(shown) - COLUMNS) : len(shown)]:  # the lowest of its column
        axis.set_xlabel("updates")
    handles, labels = axes.flat[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=len(labels))
    figure.suptitle(title)
    save_picture(figure, path)


def sections(lengths: Lengths, table: Table) -> list[str]:
    """One markdown table a number, then the fits."""
    parts = [str(grid) for grid in length_grids(lengths, table)]
    fits = fit_sentences(lengths, table)
    if fits:
        parts += ["## Lines through the differences", "\n".join(f"* {fit}" for fit in fits)]
    return parts


def length_grids(lengths: Lengths, table: Table) -> list[Grid]:
    """One table a number: rows, then differences, one column a length."""
    grids = []
    for name, heading in panels(table).items():
        lines: list[list[Item]] = [
            [row.name, *[level(r.cell(i, name, part_of(r, name))) for r in lengths.values()]]
            for i, row in enumerate(table.rows)
        ]
        for step in next(iter(lengths.values())).steps():
            cells = [difference(results, step, name) for results in lengths.values()]
            lines.append([step.name, *map(shown_step, cells)])
        header = [f"{heading}: updates", *[f"{n:,}" for n in lengths]]
        grids.append(Grid(header=header, lines=lines))
    return grids


def fit_sentences(lengths: Lengths, table: Table) -> list[str]:
    """What the differences do with length, one sentence a number."""
    fits = []
    for name, heading in panels(table).items():
        for step in next(iter(lengths.values())).steps():
            cells = {n: difference(results, step, name) for n, results in lengths.items()}
            gaps = {n: cell.mean for n, cell in cells.items() if cell.mean is not None}
            fits += fit_sentence(f"{heading}, {step.name}", gaps)
    return fits


def difference(results: Results, step: Step, name: str) -> Cell:
    """What a comparison of the table is at one length."""
    return results.comparison(step.better, step.base, name, part_of(results, name))


def fit_sentence(name: str, gaps: dict[int, float]) -> list[str]:
    """One sentence about the least squares line through the differences over log2(updates).

    None below FITTED lengths. Where a line with an R² of at least STRAIGHT reaches 0 beyond what
    was measured it is an extrapolation, and the sentence says so.
    """
    if len(gaps) < FITTED:
        return []
    x, y = np.log2(list(gaps)), np.array(list(gaps.values()))
    slope, intercept = np.polyfit(x, y, 1)
    total = float(((y - y.mean()) ** 2).sum())
    r2 = 1 - float(((y - slope * x - intercept) ** 2).sum()) / total if total else float("nan")
    text = f"{name}: {slope:+.3g} with each doubling (R² {r2:.2f} over {len(gaps)} lengths)"
    zero = -intercept / slope if slope else float("inf")
    if r2 >= STRAIGHT and x[-1] < zero < x[-1] + 10:
        return [f"{text}; extrapolated, the line reaches 0 at {2**zero:,.0f} updates."]
    return [f"{text}."]


def csv_lines(lengths: Lengths, table: Table) -> list[list[Any]]:
    """One line a length, row and number."""
    lines: list[list[Any]] = [["updates", "row", "column", "value", "spread", "seeds"]]
    for count, results in lengths.items():
        for name in panels(table):
            part = part_of(results, name)
            for i, row in enumerate(table.rows):
                numbers = csv_numbers(results.cell(i, name, part))
                lines.append([count, row.name, name, *numbers])
            for step in results.steps():
                numbers = csv_numbers(difference(results, step, name))
                lines.append([count, step.name, name, *numbers])
    return lines


def length_text(lengths: Lengths, table: Table, base: str) -> str:
    """The markdown file; the picture lies beside it."""
    seeds = ", ".join(f"{n:,}: {len(results.seeds)}" for n, results in lengths.items())
    parts = [
        f"# {table.title}",
        f"**{scale_title(base)}**",
        f"![curves over length]({base}_length.png)",
        f"Seeds by updates: {seeds}. ± is the sample standard deviation over seeds; differences "
        "are taken within each seed.",
        *unfinished(lengths),
        *sections(lengths, table),
    ]
    return "\n\n".join(parts) + "\n"


def unfinished(lengths: Lengths) -> list[str]:
    """A line about the networks of all lengths that were not trained to their end, if there are
    any: they stand at the length at which they were to end."""
    return unfinished_networks([seed for one in lengths.values() for seed in one.seeds])


def write_length(place: ReportPlace) -> str:
    """Writes the picture, the text and the CSV file; returns what is to be printed."""
    table = find_table(place.table)
    lengths = measured_lengths(place, table)
    base, _ = scale_and_length(place.scale)
    path = place.folder / f"{base}_length"
    draw(lengths, table, path.with_suffix(".png"), f"{table.title}\n{scale_title(base)}")
    write_atomically(path.with_suffix(".md"), length_text(lengths, table, base))
    write_atomically(path.with_suffix(".csv"), csv_text(csv_lines(lengths, table)))
    counts = ", ".join(f"{n:,}" for n in lengths)
    lines = [*unfinished(lengths), f"lengths measured: {counts} updates; curves: {path}.md"]
    return "\n".join(lines)
