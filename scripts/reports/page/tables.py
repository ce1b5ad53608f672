"""Every table, at every scale: what each step adds, then its rows, as paper, ours, difference."""

from collections.abc import Sequence

from experiments.scales import scale_title
from scripts.engine.places import find_table
from scripts.reports.first_stage import NOTE as FIRST_STAGE_NOTE
from scripts.reports.first_stage import rows_grid, steps_grid
from scripts.reports.page.sources import Sources
from scripts.reports.page.views import Part, Section, Sentence, TableView, anchor, plain
from scripts.reports.provenance import shared_networks
from scripts.reports.recall import COUNTS, recall_grid
from scripts.reports.recall import NOTE as RECALL_NOTE
from scripts.reports.results import Results, counted
from scripts.reports.shown import Grid, Item, beside_paper
from scripts.reports.summary import is_printed, warning_lines
from scripts.reports.tables import (
    compared_columns,
    comparison_grid,
    extra_grid,
    main_grid,
    overlap_columns,
)

OF_PAPERS = {
    "KL Loss": tuple(f"kl_loss/table{number}" for number in range(1, 7)),
    "KL-RPN": ("kl_rpn/table1", "kl_rpn/table2"),
}
OF_OURS = ("kl_loss/controls", "kl_rpn/controls", "kl_rpn/proposals", "kl_rpn/readings")
EXPECTED = ("mini", "lite", "paper")  # a table should have been run at these
NOT_COMPARABLE = " (other networks and data than the paper's: compare the steps, not the levels)"
CLEAN, LABELS = "against the clean boxes", "against the noisy labels, as COCO does"


def paper_sections(sources: Sources) -> list[Section]:
    """One section a paper, and one of tables that no paper has."""
    sections = []
    for paper, tables in OF_PAPERS.items():
        sections.append(tables_section(sources, f"Tables of {paper}", tables))
    return [*sections, tables_section(sources, "Tables of ours", OF_OURS)]


def tables_section(sources: Sources, title: str, tables: Sequence[str]) -> Section:
    """Some tables, each at each scale."""
    parts: list[Part] = []
    for table in tables:
        parts += table_parts(sources, table)
    text = (
        "First what each step adds, which can be compared between scales; then every row. ± is the "
        "sample standard deviation over seeds, and a number without it is of one seed."
    )
    return Section(anchor=anchor(title), title=title, text=plain(text), parts=parts)


def table_parts(sources: Sources, table: str) -> list[Part]:
    """A table at the scales where it was run, and a sentence about the others."""
    known = sources.scales_of(table)
    parts = [scale_part(table, scale, sources.results(table, scale)) for scale in known]
    missing = [scale for scale in EXPECTED if scale not in known]
    if missing:
        text = not_run(table, missing)
        title = find_table(table).title
        if not parts:
            parts.append(
                Part(anchor=anchor(table), title=title, text=plain(text), listed=brief(table))
            )
        else:
            parts.append(Part(anchor=anchor(table, "not-run"), title="", text=plain(text)))
    return parts


def not_run(table: str, scales: Sequence[str]) -> str:
    """What was not run, and the command that runs it."""
    command = reproduce(table, scales[0], 1)
    return f"Not run at {' or '.join(scales)}. To run it at {scales[0]}: `{command}`."


def brief(table: str) -> str:
    """ "KL Loss Table 1" of a longer title."""
    return find_table(table).title.partition(":")[0]


def reproduce(table: str, scale: str, seeds: int) -> str:
    """The command that makes the results of a table at a scale."""
    paper, _, name = table.partition("/")
    base, _, length = scale.partition("-")
    parts = [f"make reproduce-{name} PAPERS={paper} SCALE={base}"]
    if length:
        parts.append(f"LENGTH={length.removesuffix('x')}")
    if seeds > 1:
        parts.append(f"SEEDS={seeds}")
    if base != "mini":
        parts.append("DATA=DIR")
    return " ".join(parts)


def scale_part(table: str, scale: str, results: Results) -> Part:
    """A table at one scale."""
    views = {"recall": recall_views, "first_stage": first_stage_views}
    notes = [*warning_lines(results), *shared_networks(results.seeds),
             *results.table.notes.get(scale, ())]  # fmt: skip
    first = f"{scale_title(scale)}. {counted(results.seeds)}."
    text: list[Sentence] = plain(*[f"{note[0].upper()}{note[1:]}" for note in (first, *notes)])
    return Part(
        anchor=anchor(table, scale),
        title=f"{results.table.title}: {scale}",
        text=text,
        tables=views.get(results.table.metric, detection_views)(results, scale),
        source=results.source,
        listed=f"{brief(table)}: {scale}",
    )


def detection_views(results: Results, scale: str) -> list[TableView]:
    """The tables of a table of AP or latency."""
    parts: list[str | None] = ["clean", None] if results.has("clean") else [None]
    views = []
    for part in parts:
        how = "" if len(parts) == 1 else f", scored {CLEAN if part else LABELS}"
        closed = len(parts) == 2 and part is None
        views += scored_views(results, scale, part, how, closed=closed)
    views.append(
        TableView(
            caption="Ours, beside the paper's columns",
            grid=extra_grid(results, results.table.extra, None),
            closed=True,
        )
    )
    return views


def scored_views(
    results: Results, scale: str, part: str | None, how: str, *, closed: bool
) -> list[TableView]:
    """Steps and rows as scored against one part of the results."""
    table, compared = results.table, compared_columns(results.table)
    steps = unfolded(comparison_grid(results, compared, part), printed=is_printed(results))
    views = []
    if steps.lines:
        views.append(TableView(caption=f"What each step adds{how}", grid=steps, closed=closed))
    if is_printed(results):
        rows = main_grid(results, part, comparable=True)
        note = "" if scale == "paper" or closed else NOT_COMPARABLE
        views.append(TableView(caption=f"Rows{how}{note}", grid=rows, closed=closed))
    else:
        rows = extra_grid(results, table.columns, part)
        views.append(TableView(caption=f"Rows{how}", grid=rows, closed=closed))
    overlaps = overlap_columns(table)
    if part and overlaps:
        grid = extra_grid(results, overlaps, part)
        views.append(TableView(caption=f"High overlap{how}", grid=grid, closed=closed))
    return views


def unfolded(grid: Grid, *, printed: bool) -> Grid:
    """Steps as lines: paper, ours and their difference; ours alone where nothing is printed."""
    lines: list[list[Item]] = []
    for name, *pairs in grid.lines:
        papers, ours = zip(*[pair for pair in pairs if isinstance(pair, tuple)], strict=True)
        if not printed:
            lines.append([name, *ours])
            continue
        gaps = [beside_paper(b.cell, a.cell) for a, b in zip(papers, ours, strict=True)]
        lines += [[name, "paper", *papers], ["", "ours", *ours], ["", "difference", *gaps]]
    return Grid(header=["step", *([""] if printed else []), *grid.header[1:]], lines=lines)


def recall_views(results: Results, _scale: str) -> list[TableView]:
    """The tables of recall of proposals."""
    parts: list[str | None] = ["clean", None] if results.has("clean") else [None]
    return [
        TableView(
            caption=f"Recall of the best {count} proposals, %, {CLEAN if part else LABELS}",
            note=RECALL_NOTE,
            grid=recall_grid(results, count, part),
            closed=part != parts[0] or count != COUNTS[0],
        )
        for part in parts
        for count in COUNTS
    ]


def first_stage_views(results: Results, _scale: str) -> list[TableView]:
    """The tables of first stages alone."""
    return [
        TableView(caption="Networks", note=FIRST_STAGE_NOTE, grid=rows_grid(results)),
        TableView(caption="Differences, within each seed", grid=steps_grid(results)),
    ]
