"""What the methods cost in time: bars of latency, and our operations beside other libraries'."""

from typing import Any

from scripts.reports.one_device import timing_devices
from scripts.reports.page.plots import Labels, bar_plot
from scripts.reports.page.sources import Source, Sources
from scripts.reports.page.tables import brief, not_run
from scripts.reports.page.views import Part, PictureView, Section, TableView, anchor, plain
from scripts.reports.results import Cell, Results, cell, counted
from scripts.reports.shown import Grid, Item, level, printed

TABLE2, RPN_TABLE1 = "kl_loss/table2", "kl_rpn/table1"
TEXT = (
    "Times of another machine cannot be compared as such; what can is how two rows of one machine "
    "differ. The paper's are of a GTX 1080 Ti (KL Loss) and of a Pascal X (KL-RPN)."
)


def latency_section(sources: Sources) -> Section:
    """Table 2 of KL Loss, the speed column of KL-RPN Table 1, and single operations."""
    parts = [
        *[table_part(sources, TABLE2, scale) for scale in sources.scales_of(TABLE2)],
        *[table_part(sources, RPN_TABLE1, scale) for scale in sources.scales_of(RPN_TABLE1)],
        *[operations_part(source) for source in sources.operations.values()],
    ]
    missing = [table for table in (TABLE2, RPN_TABLE1) if not sources.scales_of(table)]
    text = plain(TEXT, *[not_run(table, ["paper"]) for table in missing])
    return Section(anchor="latency", title="Latency", text=text, parts=parts)


def table_part(sources: Sources, table: str, scale: str) -> Part:
    """The times of one table at one scale, ours and the paper's."""
    results = sources.results(table, scale)
    whole = "latency_ms" if table == TABLE2 else "speed_ms"
    columns = ["network_ms", "postprocess_ms"] if table == TABLE2 else [whole]
    names = ["network", "post-processing"] if table == TABLE2 else ["an image"]
    rows = range(len(results.rows))
    ours = {results.rows[i].name: [results.cell(i, c) for c in columns] for i in rows}
    papers = {results.rows[i].name: [results.paper(i, whole)] for i in rows}
    papers = {name: cells for name, cells in papers.items() if cells[0].mean is not None}
    title = brief(table)
    devices = ", ".join(timing_devices(results.seeds))
    pictures: list[PictureView] = [
        bar_plot(ours, [results.cell(i, whole) for i in rows], names,
                 Labels(title=f"{title}, {scale}, here", x="ms an image"),
                 f"Measured here on {devices}; {counted(results.seeds)}; the number is the time "
                 "of a whole image."),
        bar_plot(papers, [cells[0] for cells in papers.values()], ["an image"],
                 Labels(title=f"{title}, the paper", x="ms an image"), "As the paper prints it."),
    ]  # fmt: skip
    return Part(
        anchor=anchor("latency", table, scale),
        title=f"{title}: {scale}",
        listed=f"{title}: {scale}",
        tables=[TableView(caption="In numbers, ms", grid=times_grid(results, whole, columns))],
        pictures=pictures,
        source=results.source,
    )


def times_grid(results: Results, whole: str, columns: list[str]) -> Grid:
    """The times of each row."""
    shown = list(dict.fromkeys([whole, *columns]))
    if "ratio" in results.table.extra:
        shown.append("ratio")
    lines: list[list[Item]] = [
        [row.name, printed(results.paper(i, whole)),
         *[level(results.cell(i, column)) for column in shown]]
        for i, row in enumerate(results.rows)
    ]  # fmt: skip
    return Grid(
        header=["row", f"paper: {whole}", *[f"ours: {name}" for name in shown]], lines=lines
    )


def operations_part(source: Source) -> Part:
    """Our operations beside those of other libraries."""
    record = source.seeds[0]
    lines: list[list[Item]] = []
    bars: dict[str, list[Cell]] = {}
    for one in record["operations"]:
        ours, other = median(source, one, "ours_ms"), median(source, one, "other_ms")
        lines.append([one["operation"], one["other"], level(ours), level(other)])
        bars[f"{short(one)}: ours"] = [ours]
        bars[f"{short(one)}: {one['other']}"] = [other]
    grid = Grid(header=["operation", "other", "ours, ms", "other, ms"], lines=lines)
    labels = Labels(title="Single operations", x="ms, median")
    said = f"On {record['device']}; shorter is faster."
    return Part(
        anchor=anchor("operations", source.table, source.scale),
        title="Single operations",
        listed="Single operations",
        tables=[TableView(caption="Medians", grid=grid)],
        pictures=[bar_plot(bars, [cells[0] for cells in bars.values()], ["median"], labels, said)],
        source=source.name,
    )


def short(operation: dict[str, Any]) -> str:
    """The first words of the name of an operation."""
    return " ".join(str(operation["operation"]).replace(",", "").split()[:3])


def median(source: Source, operation: dict[str, Any], side: str) -> Cell:
    """The median time of one side."""
    place = f"operations[{operation['operation']}]/{side}/median"
    value = (operation.get(side) or {}).get("median")
    return cell([value], origin=f"{{{source.name}#{place}}}", absent="not measured")
