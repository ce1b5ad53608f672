"""The numbers of each claim of both papers, from the committed results alone."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from experiments.claims import CLAIMS, Claim, Evidence
from experiments.scales import at_scale
from scripts.engine.places import find_table
from scripts.reports.claim_verdicts import Measured, says
from scripts.reports.files import ReportPlace
from scripts.reports.results import Cell, Results, cell, differences
from scripts.reports.shown import Shown, no_number

Read = Callable[[str, str], Results]  # of a table, "paper/table", at a scale


def committed(table: str, scale: str) -> Results:
    """The committed results of a table at a scale, maybe of no seed."""
    place = ReportPlace(table=table, scale=scale, out=Path())
    return Results(find_table(table), place.committed_seeds())


def all_measured(read: Read = committed) -> list[list[Measured]]:
    """``measured`` of each of CLAIMS."""
    return [measured(claim, read) for claim in CLAIMS]


def measured(claim: Claim, read: Read = committed) -> list[Measured]:
    """Every evidence of a claim at every scale for which ``read`` knows numbers.

    Two rows that are one network at a scale (lite has one backbone) are one evidence there.
    """
    found = []
    seen: set[str] = set()
    for evidence in claim.evidence:
        for scale in evidence.scales:
            results = read(evidence.table, scale)
            identity = compared_networks(results, evidence, scale)
            if identity in seen:
                continue
            seen.add(identity)
            number = cell(values(results, evidence), origin=formula(results, evidence))
            if number.mean is not None:
                found.append(
                    Measured(
                        evidence=evidence,
                        scale=scale,
                        paper=printed(results, evidence),
                        cell=number,
                        says=says(number, evidence),
                    )
                )
    return found


def compared_networks(results: Results, evidence: Evidence, scale: str) -> str:
    """What an evidence compares at a scale: two with the same text have the same number."""
    groups = [evidence.group, *([evidence.minus_group] if evidence.minus_group else [])]
    labels = [label for label in (evidence.row, evidence.minus) if label]
    parts: list[object] = [scale, replace(evidence, group="", minus_group="", row="", minus="")]
    for group in groups:
        for label in labels:
            row = results.rows[row_index(results, group, label)]
            parts.append((at_scale(row.run, scale).name, row.postprocess, row.rounds, row.refine))
    return repr(parts)


def values(results: Results, evidence: Evidence) -> list[float | None]:
    """The number of an evidence, one value a seed."""
    change = group_values(results, evidence, evidence.group)
    if not evidence.minus_group:
        return change
    return differences(change, group_values(results, evidence, evidence.minus_group))


def formula(results: Results, evidence: Evidence) -> str:
    """How ``values`` follow from the results, in references to them."""
    change = group_formula(results, evidence, evidence.group)
    if not evidence.minus_group:
        return change
    return f"({change}) - ({group_formula(results, evidence, evidence.minus_group)})"


def group_formula(results: Results, evidence: Evidence, group: str) -> str:
    """How ``group_values`` follow."""
    part = judged_part(results, evidence)
    row, base = (
        results.reference(row_index(results, group, label), evidence.column, part) if label else ""
        for label in (evidence.row, evidence.minus)
    )
    if not base:
        return f"{row} - {evidence.level}"
    return f"100 * ({row} - {base}) / {base}" if evidence.relative else f"{row} - {base}"


def judged_part(results: Results, evidence: Evidence) -> str | None:
    """The part of the results that an evidence is about."""
    part = evidence.part or ("clean" if results.has("clean") else None)
    return None if part == "labels" else part


def group_values(results: Results, evidence: Evidence, group: str) -> list[float | None]:
    """A row minus the other, or minus the level, in one group of the table."""
    part = judged_part(results, evidence)
    row = results.values(row_index(results, group, evidence.row), evidence.column, part)
    if not evidence.minus:
        return [None if value is None else value - evidence.level for value in row]
    base = results.values(row_index(results, group, evidence.minus), evidence.column, part)
    change = differences(row, base)
    if not evidence.relative:
        return change
    return [None if a is None or not b else 100 * a / b for a, b in zip(change, base, strict=True)]


def row_index(results: Results, group: str, label: str) -> int:
    """The place of a row in its table.

    Raises:
        ValueError: the table has no such row.
    """
    for index, row in enumerate(results.rows):
        if (row.group, row.label) == (group, label):
            return index
    raise ValueError(f"{results.table.title} has no row {label!r} in the group {group!r}.")


def printed(results: Results, evidence: Evidence) -> Shown:
    """The same number of the paper, "-" where it prints none."""
    nothing = no_number("not printed")
    if not evidence.minus or evidence.minus_group:
        return nothing
    row, base = (
        results.paper(row_index(results, evidence.group, label), evidence.column)
        for label in (evidence.row, evidence.minus)
    )
    if row.mean is None or base.mean is None:
        return nothing
    change, origin = row.mean - base.mean, f"{row.origin} - {base.origin}"
    if not evidence.relative:
        return Shown(text=f"{change:+.1f}", cell=Cell(mean=change, spread=None, origin=origin))
    percent = Cell(
        mean=100 * change / base.mean, spread=None, origin=f"100 * ({origin}) / {base.origin}"
    )
    return Shown(text=f"{percent.mean:+.1f} %", cell=percent)
