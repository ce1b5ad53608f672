"""Are the predicted sigmas right? Coverage of the errors, and the true noise of the labels."""

from scripts.reports.page.plots import Labels, dot_plot
from scripts.reports.page.sources import Sources
from scripts.reports.page.tables import OF_OURS, OF_PAPERS, brief
from scripts.reports.page.views import Part, Section, TableView, anchor, plain
from scripts.reports.results import Cell, Results, counted
from scripts.reports.shown import Grid, Item, level

GAUSSIAN = (68.27, 95.45)  # percent of the errors within one and two sigma
COVERAGE = ("coverage1", "coverage2")
TRUE = ("spearman_true", "spearman_true_relative")
RELIABILITY = (*COVERAGE, "spearman_error", "nll")
TEXT = (
    "A network with KL Loss says for each side of a box how far off it may be: sigma, one "
    "standard deviation. If that is right and errors are Gaussian, 68.3 % of the errors lie within "
    "one sigma and 95.4 % within two. A dot left of its dashed line means that sigma is too "
    "narrow. Rows without sigma (the baselines) are left out."
)
TRUE_TEXT = (
    "Only the mini scale knows by how much each label was moved on purpose. `spearman_true` is "
    "the rank correlation of the predicted sigma with that noise, `spearman_true_relative` the "
    "same once the size of the box is taken out; 1 would be a perfect order, 0 none."
)
NOTE = (
    "`coverage1`, `coverage2`: percent of the errors within one and two sigma. `spearman_error`: "
    "rank correlation of sigma with the size of the error. `nll`: negative log likelihood of the "
    "errors, lower is better."
)


def sigma_section(sources: Sources) -> Section:
    """Reliability by table and scale, then the true noise."""
    tables = [table for names in OF_PAPERS.values() for table in names] + list(OF_OURS)
    parts, noise = [], []
    for table in tables:
        for scale in sources.scales_of(table):
            results = sources.results(table, scale)
            rows = rows_with(results, "coverage1")
            if rows:
                parts.append(reliability_part(table, scale, results, rows))
            rows = rows_with(results, "spearman_true")
            if rows:
                noise.append(noise_part(table, scale, results, rows))
    text = plain(TEXT, TRUE_TEXT) if parts or noise else plain("Not measured.")
    return Section(anchor="sigma", title="Is sigma right?", text=text, parts=[*parts, *noise])


def rows_with(results: Results, column: str) -> list[int]:
    """The rows that have a number."""
    return [i for i in range(len(results.rows)) if results.cell(i, column).mean is not None]


def rows_grid(results: Results, rows: list[int], columns: tuple[str, ...]) -> Grid:
    """Some rows with some numbers."""
    lines: list[list[Item]] = [
        [results.rows[i].name, *[level(results.cell(i, column)) for column in columns]]
        for i in rows
    ]
    return Grid(header=["row (ours)", *columns], lines=lines)


def cells(results: Results, rows: list[int], columns: tuple[str, ...]) -> dict[str, list[Cell]]:
    """{row: numbers} for a plot."""
    return {results.rows[i].name: [results.cell(i, c) for c in columns] for i in rows}


def reliability_part(table: str, scale: str, results: Results, rows: list[int]) -> Part:
    """How much of the errors one and two sigma cover."""
    labels = Labels(title=f"{brief(table)}, {scale}: coverage", x="% of the errors")
    numbers = cells(results, rows, COVERAGE)
    narrow = sum((one[0].mean or 0.0) < GAUSSIAN[0] for one in numbers.values())
    said = (
        f"One sigma covers less than a Gaussian's 68.3 % in {narrow} of {len(rows)} rows. Dashed: "
        "a Gaussian."
    )
    series = ["within one sigma", "within two sigma"]
    return Part(
        anchor=anchor("reliability", table, scale),
        title=f"Reliability, {brief(table)}: {scale}",
        listed=f"Reliability, {brief(table)}: {scale}",
        text=plain(f"{counted(results.seeds)}; scored against the labels."),
        tables=[
            TableView(caption="In numbers", note=NOTE, closed=True,
                      grid=rows_grid(results, rows, RELIABILITY))
        ],
        pictures=[dot_plot(numbers, series, GAUSSIAN, labels, said)],
        source=results.source,
    )  # fmt: skip


def noise_part(table: str, scale: str, results: Results, rows: list[int]) -> Part:
    """How well sigma ranks the true noise of the labels."""
    labels = Labels(title=f"{brief(table)}, {scale}: sigma and true noise", x="rank correlation")
    numbers = cells(results, rows, TRUE)
    positive = sum((one[0].mean or 0.0) > 0 for one in numbers.values())
    said = f"The correlation is above 0 in {positive} of {len(rows)} rows."
    series = ["with the noise", "size taken out"]
    return Part(
        anchor=anchor("noise", table, scale),
        title=f"Sigma and true label noise, {brief(table)}: {scale}",
        listed=f"True noise, {brief(table)}: {scale}",
        text=plain(f"{counted(results.seeds)}."),
        tables=[TableView(caption="In numbers", grid=rows_grid(results, rows, TRUE), closed=True)],
        pictures=[dot_plot(numbers, series, [0.0, None], labels, said)],
        source=results.source,
    )
