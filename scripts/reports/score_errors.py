"""The errors of a detector: a page, lines of text, and plain values for scores.json."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

from PIL import Image

from data.scoring.image_quality import ImageQuality
from data.scoring.tide import Kind
from scripts.engine.files import write_atomically
from scripts.reports.page.plots import Labels, bar_plot, jpeg
from scripts.reports.page.rendered import SectionsPage, rendered, write_html
from scripts.reports.page.views import Part, PictureView, Section, TableView, anchor, plain
from scripts.reports.results import Cell, csv_text
from scripts.reports.shown import Grid, Item, Shown, no_number

NAMED = 3  # of the worst images, in the text
MEANINGS = {
    "Cls": "right place, wrong class",
    "Loc": "right class, wrong place: IoU 0.1 to 0.5",
    "Both": "near an object of another class, and place and class are wrong",
    "Dupe": "a second box on an object",
    "Bkg": "nothing is there",
    "Miss": "an object without any box",
    "FalsePos": "all wrong boxes together",
    "FalseNeg": "all objects that are not found, together",
}
TIDE_NOTE = (
    "A detection with IoU 0.5 is right. Each other one has one kind of error; dAP is by how many "
    "points AP50 would rise if all errors of that kind, and no others, were mended. They do not "
    "add up, because errors hide each other (TIDE, Bolya et al., ECCV 2020)."
)
VOTING_NOTE = (
    "The four sides of detections (score and IoU from 0.5) that mean the same object before and "
    "after the vote, sorted by predicted sigma into four parts of equal number. A side that moved "
    "by at most 0.01 px is still. Nearer and farther are by the distance to the truth, and the px "
    "by how much it changed."
)
TRUTHS = {"labels": "the labels", "clean": "the boxes before label noise was added"}
QUALITY = (
    "The sum of the IoUs of the right detections, divided by right + wrong / 2 + missed / 2 "
    "(panoptic quality, Kirillov et al., CVPR 2019, with boxes): 1 is perfect, 0 is nothing right. "
    "Detections count from a score of {score:g}, and are right from IoU 0.5 with an object of "
    "their class. Crowd and difficult objects do not count."
)


@dataclass(frozen=True, kw_only=True)
class ImageErrors:
    """A best or a worst image: its place, its pictures, or why there are none."""

    index: int
    pictures: Sequence[tuple[Image.Image, str]]
    unreadable: str = ""


@dataclass(frozen=True, kw_only=True)
class ErrorReport:
    """What is reported.

    names, qualities: of every image. tide: the result of ``data.scoring.tide.tide``. voting:
    {truth: all sides, then each quantile of sigma}, or None without a vote. best, worst: images,
    the extreme ones first. least_score: of a detection that counts.
    """

    names: Sequence[str]
    qualities: Sequence[ImageQuality]
    tide: dict[str, dict[str, float]]
    voting: dict[str, list[dict[str, Any]]] | None
    best: Sequence[ImageErrors]
    worst: Sequence[ImageErrors]
    least_score: float


def write_errors(report: ErrorReport, facts: dict[str, Any], out: Path) -> None:
    """Writes errors.html and images.csv into ``out``."""
    write_atomically(out / "images.csv", csv_text(image_lines(report)))
    write_html(out / "errors.html", rendered("sections.html", page_of(report, facts)))


def errors_as_json(report: ErrorReport) -> dict[str, Any]:
    """What voting did, and the best and the worst images, as plain values."""

    def listed(images: Sequence[ImageErrors]) -> list[dict[str, Any]]:
        return [image_facts(report, image.index) for image in images]

    return {
        "voting": report.voting,
        "images": {
            "measure": QUALITY.format(score=report.least_score),
            "least_score": report.least_score,
            "best": listed(report.best),
            "worst": listed(report.worst),
        },
    }


def image_facts(report: ErrorReport, index: int) -> dict[str, Any]:
    """One image and its counts."""
    image = report.qualities[index]
    return {
        "image": report.names[index],
        "quality": image.quality,
        "objects": image.objects,
        "right": int(image.right.sum()),
        "wrong": int(image.wrong.sum()),
        "missed": int(image.missed.sum()),
    }


def image_lines(report: ErrorReport) -> list[list[Any]]:
    """One line an image, in the order of the data set; an empty quality where nothing counts."""
    rows = [image_facts(report, index) for index in range(len(report.names))]
    header = ["image", "quality", "objects", "right", "wrong", "missed"]
    lines: list[list[Any]] = [header]
    for row in rows:
        known = row["quality"] == row["quality"]
        quality = f"{row['quality']:.4f}" if known else ""
        lines.append([row["image"], quality, *(row[name] for name in header[2:])])
    return lines


def error_text(report: ErrorReport) -> list[str]:
    """What is printed: a line about the vote, and one about the worst images."""
    lines = []
    for truth, parts in (report.voting or {}).items():
        if parts[0]["sides"]:
            lines.append(f"voting, against {TRUTHS[truth]}: {moves_text(parts[0])}")
    if report.worst:
        named = ", ".join(
            f"{report.names[image.index]} ({report.qualities[image.index].quality:.2f})"
            for image in report.worst[:NAMED]
        )
        lines.append(f"worst images (1 is perfect): {named}; errors.html shows them")
    return lines


def moves_text(part: dict[str, Any]) -> str:
    """What happened to some sides, in words."""
    ways = [
        f"{part[way]} {way} to the truth by {part[f'{way}_mean']:.2f} px in the mean "
        f"({part[f'{way}_median']:.2f} in the median)"
        for way in ("nearer", "farther")
    ]
    nearer, farther = ways[0], ways[1].replace("farther to the truth", "farther away")
    return f"of {part['sides']} sides {nearer}, {farther}, {part['still']} still"


def page_of(report: ErrorReport, facts: dict[str, Any]) -> SectionsPage:
    """The page."""
    start = (
        f"Scored: `{facts['scored']}` on {facts['data']}, split {facts['split']}: "
        f"{facts['images']} images, {facts['objects']} objects, {facts['detections']} detections."
    )
    drawn = [*report.best, *report.worst]
    return SectionsPage(
        title="Where the detector errs",
        start=plain(start),
        sections=[tide_section(report), voting_section(report), *image_sections(report)],
        warnings=[image.unreadable for image in drawn if image.unreadable],
        warned="These images cannot be read, so they are missing below.",
    )


def tide_section(report: ErrorReport) -> Section:
    """TIDE's kinds of error."""
    gains, counts = report.tide["dAP"], report.tide["count"]
    lines: list[list[Item]] = [
        [
            kind,
            number(gains[kind], 2),
            number(counts[kind], 0) if kind in counts else no_number("not counted"),
            MEANINGS[kind],
        ]
        for kind in gains
    ]
    rows = {kind: [Cell(mean=gains[kind], spread=None)] for kind in get_args(Kind)}
    picture = bar_plot(
        rows,
        [f"{cells[0].mean:.1f}" for cells in rows.values()],
        ["dAP"],
        Labels(title="Points of AP50 that each kind of error costs", x="dAP"),
        f"AP50 is {report.tide['AP']['AP50']:.1f}.",
    )
    grid = Grid(header=["kind", "dAP", "errors", "what it is"], lines=lines)
    part = Part(
        anchor="kinds",
        title="",
        pictures=[picture],
        tables=[TableView(caption="Kinds of error", grid=grid)],
    )
    return Section(anchor="tide", title="Kinds of error", text=plain(TIDE_NOTE), parts=[part])


def voting_section(report: ErrorReport) -> Section:
    """What voting did to the sides of boxes."""
    title = "What voting changed"
    if report.voting is None:
        text = "There was no vote: the network predicts no variances, it was switched off, or the "
        return Section(
            anchor="voting", title=title, text=plain(f"{text}detections are from a file.")
        )
    parts = [
        Part(
            anchor=anchor("voting", truth),
            title=f"Against {TRUTHS[truth]}",
            text=plain(f"{moves_text(moves[0])[0].upper()}{moves_text(moves[0])[1:]}."),
            pictures=[moves_plot(moves)],
            tables=[TableView(caption="By predicted sigma", grid=moves_grid(moves))],
        )
        for truth, moves in report.voting.items()
        if moves[0]["sides"]
    ]
    none = [] if parts else ["No detection means the same object before and after the vote."]
    return Section(anchor="voting", title=title, text=plain(VOTING_NOTE, *none), parts=parts)


def part_name(place: int, part: dict[str, Any]) -> str:
    """How a quantile of sigma is called."""
    low, high = part["sigma"]
    return f"{low:.2f} to {high:.2f} px" if place else "all"


def moves_plot(moves: Sequence[dict[str, Any]]) -> PictureView:
    """The shares of the sides that came nearer and went farther away, by sigma."""
    names = ("nearer", "still", "farther")
    known = {part_name(k, part): part for k, part in enumerate(moves) if part["sides"]}
    rows = {
        name: [Cell(mean=100 * part[column] / part["sides"], spread=None) for column in names]
        for name, part in known.items()
    }
    totals = [f"{part['sides']:,} sides" for part in known.values()]
    labels = Labels(title="What voting did to sides, by predicted sigma", x="percent of the sides")
    return bar_plot(rows, totals, names, labels, "Nearer to the truth, still, or farther from it.")


def moves_grid(moves: Sequence[dict[str, Any]]) -> Grid:
    """One line for all sides, and one for each quantile."""
    lines: list[list[Item]] = []
    for place, part in enumerate(moves):
        pixels = [
            number(part[f"{way}_{kind}"], 2)
            for way in ("nearer", "farther")
            for kind in ("mean", "median")
        ]
        counts = [number(part[name], 0) for name in ("sides", "nearer", "farther", "still")]
        lines.append([part_name(place, part), *counts, *pixels])
    header = ["sigma", "sides", "nearer", "farther", "still", "nearer: mean px", "median px",
              "farther: mean px", "median px"]  # fmt: skip
    return Grid(header=header, lines=lines)


def number(value: float, digits: int) -> Shown:
    """A measured number, or that there is none."""
    if value != value:
        return no_number("none")
    cell = Cell(mean=value, spread=None, origin="scores.json")
    return Shown(text=f"{value:,.{digits}f}", cell=cell)


def image_sections(report: ErrorReport) -> list[Section]:
    """The worst images, and the best ones."""
    measure = QUALITY.format(score=report.least_score)
    kinds = (("worst", "The worst images", report.worst), ("best", "The best images", report.best))
    return [
        Section(
            anchor=name,
            title=title,
            text=plain(measure if name == "worst" else "By the same measure."),
            parts=[image_part(report, name, image) for image in images if image.pictures],
        )
        for name, title, images in kinds
    ]


def image_part(report: ErrorReport, kind: str, image: ImageErrors) -> Part:
    """One image."""
    facts = image_facts(report, image.index)
    name = facts["image"]
    return Part(
        anchor=anchor(kind, str(image.index)),
        title=f"{name}: {facts['quality']:.2f}",
        pictures=[jpeg(picture, f"{name}: {text}", text) for picture, text in image.pictures],
        listed=name,
    )
