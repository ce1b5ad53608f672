"""AP over the IoU threshold, row by row: where along the overlap a method gains."""

from collections.abc import Mapping

from scripts.reports.page.plots import Curve, Labels, line_plot
from scripts.reports.page.sources import Sources
from scripts.reports.page.tables import OF_OURS, OF_PAPERS, brief
from scripts.reports.page.views import Part, PictureView, Section, TableView, anchor, plain
from scripts.reports.results import Results, counted
from scripts.reports.tables import extra_grid

COCO = {threshold / 100: f"AP{threshold}" for threshold in range(50, 100, 5)}
VOC = {0.5: "mAP", 0.75: "mAP75", 0.9: "mAP90"}
COLUMNS = {"coco": COCO, "voc": VOC}
TEXT = (
    "A detection counts as right if it overlaps its object by at least the threshold (IoU). AP at "
    "0.5 asks whether objects are found, AP at 0.9 whether their edges are right. The left plot "
    "of a pair is AP itself, the right one the difference from the first row. A band is the sample "
    "standard deviation over seeds."
)


def overlap_section(sources: Sources) -> Section:
    """Every table of AP, at every scale."""
    tables = [table for names in OF_PAPERS.values() for table in names] + list(OF_OURS)
    parts = []
    for table in tables:
        for scale in sources.scales_of(table):
            results = sources.results(table, scale)
            if results.table.metric in COLUMNS:
                parts.append(overlap_part(table, scale, results))
    text = plain(TEXT if parts else "Not run.")
    return Section(anchor="overlap", title="AP over the IoU threshold", text=text, parts=parts)


def overlap_part(table: str, scale: str, results: Results) -> Part:
    """One table at one scale: two plots a group of rows, and the numbers."""
    columns = COLUMNS[results.table.metric]
    part = "clean" if results.has("clean") else None
    pictures: list[PictureView] = []
    for group in dict.fromkeys(row.group for row in results.rows):
        rows = [i for i, row in enumerate(results.rows) if row.group == group and results.ran(i)]
        if rows:
            pictures += group_plots(results, group, rows, part)
    against = "the clean boxes" if part else "the labels"
    return Part(
        anchor=anchor("overlap", table, scale),
        title=f"{brief(table)}: {scale}",
        listed=f"{brief(table)}: {scale}",
        text=plain(f"Scored against {against}; {counted(results.seeds)}."),
        tables=[
            TableView(caption="AP at each threshold", closed=True,
                      grid=extra_grid(results, list(columns.values()), part))
        ],
        pictures=pictures,
        source=results.source,
    )  # fmt: skip


def group_plots(
    results: Results, group: str, rows: list[int], part: str | None
) -> list[PictureView]:
    """AP of some rows, and their difference from the first of them."""
    columns = COLUMNS[results.table.metric]
    name = results.table.title.partition(":")[0] + (f", {group}" if group else "")
    levels = {
        results.rows[i].label: {iou: results.cell(i, column, part)
                                for iou, column in columns.items()}
        for i in rows
    }  # fmt: skip
    steps = {
        results.rows[i].label: {iou: results.comparison(i, rows[0], column, part)
                                for iou, column in columns.items()}
        for i in rows[1:]
    }  # fmt: skip
    plots = [line_plot(levels, Labels(title=f"{name}: AP", x="IoU threshold", y="AP"),
                       ends(levels))]  # fmt: skip
    if steps:
        base = results.rows[rows[0]].label
        labels = Labels(title=f"{name}: difference from {base}", x="IoU threshold", y="points")
        plots.append(line_plot(steps, labels, ends(steps), order=list(levels)))
    return plots


def ends(curves: Mapping[str, Curve]) -> str:
    """Which row is highest at both ends of the thresholds."""
    sentences = []
    for iou in (0.5, 0.9):
        known = {name: curve[iou].mean for name, curve in curves.items() if iou in curve}
        numbers = {name: value for name, value in known.items() if value is not None}
        if numbers:
            best = max(numbers, key=lambda name: numbers[name])
            sentences.append(f"Highest at IoU {iou:g}: {best} ({numbers[best]:.1f}).")
    return " ".join(sentences) or "Not measured."
