"""Figures 5 and 6 of KL Loss and Figure 3 of KL-RPN: what the paper shows, and ours."""

from dataclasses import replace

from data.scoring.offset_distribution import COORDINATES
from experiments.scales import scale_title
from scripts.reports.figure3 import CAPTION as FIGURE3_CAPTION
from scripts.reports.figure3 import NOTE as FIGURE3_NOTE
from scripts.reports.figure3 import offsets_grid
from scripts.reports.figure5 import NOTE as FIGURE5_NOTE
from scripts.reports.figure5 import caption as figure5_caption
from scripts.reports.figure5 import moves_grid
from scripts.reports.figure6 import PARTS, curves, sentences
from scripts.reports.page.plots import Labels, dot_plot, line_plot, png
from scripts.reports.page.sources import Source, Sources
from scripts.reports.page.tables import brief, not_run
from scripts.reports.page.views import Part, PictureView, Section, TableView, anchor, plain
from scripts.reports.results import Results, counted
from scripts.reports.shown import Grid, Item, step
from scripts.reports.swap import TITLE as SWAP_TITLE
from scripts.reports.swap import swap_grid
from scripts.reports.tables import extra_grid

PAPERS_5 = (
    "The paper's Figure 5 shows photos: the predicted sigma at each side of a box, then the box "
    "after var voting. It prints no numbers."
)
PAPERS_6 = (
    "The paper's Figure 6 shows curves without numbers: AP75, AP80 and AP90 react strongly to "
    "sigma_t, AP50 hardly, and 0.005 to 0.05 are acceptable."
)
PAPERS_3 = (
    "The paper's Figure 3 shows densities without numbers: with RPN the curves of high and low "
    "objectness look alike, with KL-RPN those of low objectness are wider."
)


def figures_section(sources: Sources) -> Section:
    """All figures at all scales."""
    parts = [
        *figure_parts(sources, "kl_loss/figure5", PAPERS_5),
        *figure_parts(sources, "kl_loss/figure6", PAPERS_6),
        *figure_parts(sources, "kl_rpn/figure3", PAPERS_3),
    ]
    text = (
        "The papers' own pictures are not ours to copy; each part says what they show, and then "
        "shows the same of our networks."
    )
    return Section(anchor="figures", title="Figures 3, 5 and 6", text=plain(text), parts=parts)


def figure_parts(sources: Sources, table: str, papers: str) -> list[Part]:
    """A figure at every scale, or a sentence that it was not run."""
    draw = {"figure3": figure3_part, "figure5": figure5_part, "figure6": figure6_part}
    kind = table.partition("/")[2]
    parts = []
    for scale in sources.scales_of(table):
        results, source = sources.results(table, scale), sources.tables[table, scale]
        part = draw[kind](results, source, sources)
        first = f"{papers} Ours: {scale_title(scale)}; {counted(results.seeds)}."
        parts.append(
            replace(
                part,
                anchor=anchor(table, scale),
                title=f"{results.table.title}: {scale}",
                text=[*plain(first), *part.text],
                source=source.name,
                listed=f"{brief(table)}: {scale}",
            )
        )
    if not parts:
        title = sources.results(table, "mini").table.title
        text = plain(papers, not_run(table, ["mini"]))
        parts.append(Part(anchor=anchor(table), title=title, text=text, listed=brief(table)))
    return parts


def figure5_part(results: Results, source: Source, _sources: Sources) -> Part:
    """What voting does to boxes, drawn and in numbers."""
    drawn = [seed for seed in results.seeds if "picture" in seed]
    pictures: list[PictureView] = []
    if drawn:
        text = figure5_caption(drawn[0]["seed"], **drawn[0]["picture"]).strip("*")
        alt = "Test images with boxes before and after var voting and sigma at their sides."
        picture = png(source.beside(".png"), alt, text)
        pictures = [picture] if picture else []
    table = TableView(caption="In numbers", note=FIGURE5_NOTE, grid=moves_grid(results))
    return Part(anchor="", title="", tables=[table], pictures=pictures)


def figure6_part(results: Results, _source: Source, _sources: Sources) -> Part:
    """The gain of voting over sigma_t: a plot for each truth, what it says, and the numbers."""
    parts: list[str | None] = [part for part in PARTS if part is None or results.has(part)]
    ticks = [f"{row.postprocess.sigma_t:g}" for row in results.rows]
    pictures, tables = [], []
    for part in parts:
        lines = {
            name: dict(zip([row.postprocess.sigma_t for row in results.rows], curve, strict=True))
            for name, curve in curves(results, part).items()
        }
        labels = Labels(
            title=f"Change of AP by voting, against the {PARTS[part]}",
            x="sigma_t",
            y="points of AP over no voting",
        )
        said = " ".join(line.strip() for line in sentences(results, [part], ticks)[1:])
        pictures.append(line_plot(lines, labels, said))
        tables += [
            TableView(
                caption=f"AP at each sigma_t, against the {PARTS[part]}",
                grid=extra_grid(results, results.table.columns, part),
            ),
            TableView(
                caption=f"Change against no voting, against the {PARTS[part]}",
                grid=change_grid(results, part),
            ),
        ]
    return Part(anchor="", title="", tables=tables, pictures=pictures)


def change_grid(results: Results, part: str | None) -> Grid:
    """The numbers of the curves."""
    changes = curves(results, part)
    lines: list[list[Item]] = [
        [row.label, *[step(curve[index]) for curve in changes.values()]]
        for index, row in enumerate(results.rows)
    ]
    return Grid(header=["row (ours)", *changes], lines=lines)


def figure3_part(results: Results, source: Source, sources: Sources) -> Part:
    """Offsets of good and bad proposals: densities, distances, numbers, and the swap."""
    rows = {
        f"{row.label}, {name}": [results.cell(i, "median_high", name),
                                 results.cell(i, "median_low", name)]
        for name in COORDINATES
        for i, row in enumerate(results.rows)
    }  # fmt: skip
    labels = Labels(title="Median offset of proposals from their objects", x="|offset|")
    said = (
        "The further apart the two dots of a line, the better the objectness separates good from "
        "bad proposals. High and low: the best and the worst ranked of each image."
    )
    pictures = [dot_plot(rows, ["high objectness", "low objectness"], [None, None], labels, said)]
    alt = "Densities of the offsets of proposals with high and low objectness, RPN above KL-RPN."
    drawn = png(source.beside(".png"), alt, FIGURE3_CAPTION.strip("*"))
    tables = [TableView(caption="In numbers", note=FIGURE3_NOTE, grid=offsets_grid(results))]
    swap = sources.swaps.get((source.table, source.scale))
    if swap:
        text = (
            "Both networks start from the same anchors, so the objectness of one can rank the "
            f"boxes of the other. From `{swap.name}`; {counted(swap.seeds)}."
        )
        grid = swap_grid(swap.seeds, swap.name)
        tables.append(TableView(caption=SWAP_TITLE, note=text, grid=grid))
    return Part(
        anchor="", title="", tables=tables, pictures=[*pictures, *([drawn] if drawn else [])]
    )
