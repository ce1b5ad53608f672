"""The verdict of each claim, from the committed results alone: docs/claims.md and the README's
summary.

RULE says when a number speaks, and which verdict follows.
"""

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from experiments.claims import CLAIMS, Claim, Evidence
from experiments.scales import at_scale, scale_and_length
from scripts.engine.files import write_atomically
from scripts.engine.places import EXPERIMENTS, find_table
from scripts.reports.files import ReportPlace
from scripts.reports.machine_hours import hours_sentence
from scripts.reports.results import Cell, Results, cell, differences, markdown_table, signed
from scripts.reports.shown import Grid, Item, Shown, no_number

ROOT = EXPERIMENTS.parent
PAGE, README = ROOT / "docs" / "claims.md", ROOT / "README.md"
MARKS = ("<!-- claims: begin -->", "<!-- claims: end -->")
Says = Literal["for", "against", "undecided"]
Read = Callable[[str, str], Results]  # of a table, "paper/table", at a scale


@dataclass(frozen=True, kw_only=True)
class Measured:
    """One evidence at one scale: the number over seeds, and what it says to the claim.

    earlier: whether it was made before results recorded their recipe, with more anchors an image.
    """

    evidence: Evidence
    scale: str
    paper: Shown
    cell: Cell
    says: Says
    earlier: bool


def committed(table: str, scale: str) -> Results:
    """The committed results of a table at a scale, maybe of no seed."""
    place = ReportPlace(table=table, scale=scale, out=Path())
    return Results(find_table(table), place.committed_seeds())


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
                        earlier=is_earlier(results, evidence),
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


def is_earlier(results: Results, evidence: Evidence) -> bool:
    """Whether some seed's row does not say by which recipe it was made."""
    key = (evidence.group, evidence.row)
    return any(
        (line.get("group", ""), line["label"]) == key and line["metrics"] and "recipe" not in line
        for seed in results.seeds
        for line in seed["rows"]
    )


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


def says(number: Cell, evidence: Evidence) -> Says:
    """What a number says to its claim."""
    assert number.mean is not None
    if number.spread is None and not evidence.exact:
        return "undecided"
    reach = 2 * (number.spread or 0.0) / math.sqrt(number.seeds)
    low, high = number.mean - reach, number.mean + reach
    if evidence.expected == "flat":
        if -evidence.tolerance <= low and high <= evidence.tolerance:
            return "for"
        outside = low > evidence.tolerance or high < -evidence.tolerance
        return "against" if outside else "undecided"
    if evidence.expected == "down":
        low, high = -high, -low
    return "for" if low > 0 else "against" if high < 0 else "undecided"


def points_to(one: Measured) -> str:
    """On which side of what was expected a number lies, however large its spread is.

    Returns:
        "for" or "against"; "" if nothing tells.
    """
    mean, evidence = one.cell.mean, one.evidence
    assert mean is not None
    if evidence.expected == "flat":
        return "for" if abs(mean) <= evidence.tolerance else "against"
    signed_mean = -mean if evidence.expected == "down" else mean
    return "for" if signed_mean > 0 else "against" if signed_mean < 0 else ""


def verdict(found: Sequence[Measured]) -> str:
    """One of the four words that RULE explains."""
    yes, no = (sum(one.says == word for one in found) for word in ("for", "against"))
    if found and yes == len(found):
        return "holds"
    if yes:
        return "holds in part"
    return "fails" if no and 2 * no >= len(found) else "unclear"


def reason(found: Sequence[Measured]) -> str:
    """How many numbers say what."""
    if not found:
        return "nothing was measured"
    texts = []
    for word, name in (("for", "for it"), ("against", "against it"), ("undecided", "undecided")):
        count = sum(one.says == word for one in found)
        texts += [f"{count} {name}"] if count else []
    undecided = [one for one in found if one.says == "undecided"]
    leaning = [
        f"{count} {name}"
        for word, name in (("for", "towards it"), ("against", "away from it"))
        if (count := sum(points_to(one) == word for one in undecided))
    ]
    single = sum(one.cell.seeds == 1 and not one.evidence.exact for one in found)
    notes = [f"leaning: {', '.join(leaning)}"] if leaning else []
    notes += [f"one seed alone: {single}"] if single else []
    return ", ".join(texts) + (f" ({'; '.join(notes)})" if notes else "")


def evidence_line(one: Measured) -> list[Item]:
    """What is shown of an evidence at one scale."""
    evidence = one.evidence
    name = f"{evidence.group}: {evidence.row}" if evidence.group else evidence.row
    name += f" - {evidence.minus}" if evidence.minus else ""
    if evidence.minus_group:
        name += f", minus the same of {evidence.minus_group}"
    column = evidence.column + (f" of {evidence.part}" if evidence.part in tuple("xywh") else "")
    unit = " %" if evidence.relative else ""
    number = Shown(text=f"{signed(one.cell)}{unit}", cell=one.cell)
    scale = f"{one.scale} (earlier)" if one.earlier and not evidence.exact else one.scale
    seeds = "exact" if evidence.exact else str(one.cell.seeds)
    return [evidence.table, name, column, scale, one.paper, number, seeds, one.says]


def evidence_grid(found: Sequence[Measured]) -> Grid:
    """One line a number of a claim."""
    header = ["table", "difference", "number", "scale", "paper", "ours", "seeds", "says"]
    return Grid(header=header, lines=[evidence_line(one) for one in found])


def claim_section(number: int, claim: Claim, found: Sequence[Measured]) -> str:
    """One claim with its numbers and its verdict."""
    parts = [
        f"## {number}. {claim.text}",
        f"*{claim.source}.* **{verdict(found)}**: {reason(found)}.",
        claim.comment,
        str(evidence_grid(found)) if found else "",
    ]
    return "\n\n".join(part for part in parts if part)


def all_measured(read: Read = committed) -> list[list[Measured]]:
    """``measured`` of each of CLAIMS."""
    return [measured(claim, read) for claim in CLAIMS]


def summary_table(numbers: Sequence[Sequence[Measured]]) -> str:
    """One line a claim."""
    lines = []
    for number, (claim, found) in enumerate(zip(CLAIMS, numbers, strict=True), 1):
        scales = dict.fromkeys(scale_and_length(one.scale)[0] for one in found)
        text = f"{number} {claim.text}"
        lines.append([text, verdict(found), reason(found), ", ".join(scales) or "-"])
    return markdown_table(["claim", "verdict here", "numbers", "scale"], lines)


def claims_text(numbers: Sequence[Sequence[Measured]]) -> str:
    """The page docs/claims.md."""
    pairs = enumerate(zip(CLAIMS, numbers, strict=True), 1)
    sections = [claim_section(number, claim, found) for number, (claim, found) in pairs]
    parts = [INTRODUCTION, hours_sentence(), summary_table(numbers), *sections]
    return "\n\n".join(parts) + "\n"


RULE = (
    "A number is a difference taken within each seed: its mean ± the sample standard deviation "
    "over seeds. It speaks for or against a claim if two seeds or more have it and mean ± 2 "
    "standard errors lies on one side (with three seeds that interval holds the true mean in about "
    "82 % of all cases); otherwise it is undecided. A number called exact, a count or a timing, "
    "speaks with one measurement. Where a paper says that nothing changes, a change counts for it "
    "if it stays within 1 AP, within 1 % of the parameters, and within 5 or 10 % of the time. A "
    "claim **holds** if all of its numbers speak for it, **holds in part** if some do, **fails** "
    "if none does and at least half speak against it, and is **unclear** otherwise. Mini is scored "
    "against the boxes before label noise was added; its tables in VOC's layout (KL Loss Table 5, "
    "KL-RPN Table 2) against the noisy labels. “Earlier” numbers were made before the small scales "
    "sampled fewer anchors, in docs/scales.md."
)
INTRODUCTION = f"""# The claims of both papers, and what came out here

This page is written by `python -m scripts.claims` from the committed results alone; a test writes
it again. Mini (rendered scenes) and lite (photos, a small backbone) show trends; the papers' own
scale was not trained here.

{RULE}"""


def with_summary(readme: str, summary: str) -> str:
    """The README with the verdicts between its two marks.

    Raises:
        ValueError: the marks are not there.
    """
    begin, end = MARKS
    parts = re.split(f"({re.escape(begin)}\n).*?({re.escape(end)})", readme, flags=re.DOTALL)
    if len(parts) != 4:
        raise ValueError(f"README.md must have the lines {begin} and {end} once, in this order.")
    return f"{parts[0]}{parts[1]}{summary}\n{parts[2]}{parts[3]}"


def write_claims() -> str:
    """Writes both files and returns the summary."""
    numbers = all_measured()
    summary = summary_table(numbers)
    write_atomically(PAGE, claims_text(numbers))
    write_atomically(README, with_summary(README.read_text(), summary))
    return f"{summary}\n\n-> docs/claims.md, README.md"
