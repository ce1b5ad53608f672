"""RPN against KL-RPN over the length of training."""

from experiments.scales import SCALES
from scripts.engine.places import find_table
from scripts.reports.length import (
    Lengths,
    difference,
    fit_sentences,
    is_length_of,
    length_grids,
    panels,
    part_of,
    unfinished,
    updates,
)
from scripts.reports.page.plots import Labels, line_plot
from scripts.reports.page.sources import Sources
from scripts.reports.page.tables import not_run
from scripts.reports.page.views import Part, PictureView, Section, TableView, anchor, plain
from scripts.reports.results import signed
from scripts.reports.same_evaluation import check_same_data

TABLES = {"kl_rpn/length": "First stage alone", "kl_rpn/detector_length": "Whole detector"}
TEXT = (
    "Both papers train for 100,000 updates and more, the mini scale for some hundreds. These "
    "tables ask what changes with length; everything else is the same on both sides. A band is the "
    "sample standard deviation over seeds."
)

FITS = ("Lines through the differences over the logarithm of the length:",)


def length_section(sources: Sources) -> Section:
    """Both tables, at every base scale at which they were run."""
    parts = []
    for table in TABLES:
        for base in SCALES:
            lengths = lengths_of(sources, table, base)
            if lengths:
                parts.append(length_part(table, base, lengths))
        if not sources.scales_of(table):
            text = plain(not_run(table, ["mini"]))
            parts.append(Part(anchor=anchor(table), title=find_table(table).title, text=text,
                              listed=TABLES[table]))  # fmt: skip
    return Section(anchor="length", title="Length of training", text=plain(TEXT), parts=parts)


def lengths_of(sources: Sources, table: str, base: str) -> Lengths:
    """The results of a table at each length of a scale, by updates, shortest first.

    Raises:
        ValueError: they were measured on different data.
    """
    found = {}
    for scale in sources.scales_of(table):
        results = sources.results(table, scale)
        if is_length_of(scale, base) and any(map(results.ran, range(len(results.rows)))):
            found[updates(results.seeds)] = results
    check_same_data([seed for one in found.values() for seed in one.seeds], f"{table}, {base}")
    return dict(sorted(found.items()))


def gaps_sentence(lengths: Lengths, name: str) -> str:
    """The differences at the shortest and the longest training."""
    texts = []
    first, last = min(lengths), max(lengths)
    for one in lengths[first].steps():
        cells = {n: difference(lengths[n], one, name) for n in dict.fromkeys((first, last))}
        known = [f"{signed(cell)} at {n:,} updates" for n, cell in cells.items()
                 if cell.mean is not None]  # fmt: skip
        texts.append(f"{one.label}: {', '.join(known) or 'not measured'}.")
    return " ".join(texts)


def length_part(table: str, base: str, lengths: Lengths) -> Part:
    """A plot and a table for each number, and the lines through the differences."""
    declared = find_table(table)
    pictures: list[PictureView] = []
    for name, heading in panels(declared).items():
        curves = {
            row.name: {float(n): one.cell(i, name, part_of(one, name))
                       for n, one in lengths.items()}
            for i, row in enumerate(declared.rows)
        }  # fmt: skip
        labels = Labels(title=heading, x="updates")
        pictures.append(line_plot(curves, labels, gaps_sentence(lengths, name)))
    fits = [sentence.rpartition(": ") for sentence in fit_sentences(lengths, declared)]
    seeds = ", ".join(f"{n:,} updates: {len(one.seeds)}" for n, one in lengths.items())
    grids = zip(panels(declared).values(), length_grids(lengths, declared), strict=True)
    return Part(
        anchor=anchor(table, base),
        title=f"{declared.title}: {base}",
        listed=f"{TABLES[table]}: {base}",
        text=plain(f"Seeds by length: {seeds}.", *unfinished(lengths), *(FITS if fits else [])),
        facts=[(name, text) for name, _, text in fits],
        tables=[TableView(caption=heading, grid=grid, closed=True) for heading, grid in grids],
        pictures=pictures,
        source=", ".join(one.source for one in lengths.values()),
    )
