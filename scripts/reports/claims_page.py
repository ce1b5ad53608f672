"""docs/claims.md and the README's summary of it: every claim with its numbers and its verdict."""

import re
import textwrap
from collections.abc import Sequence

from experiments.claims import CLAIMS, Claim
from experiments.scales import scale_and_length
from scripts.engine.files import write_atomically
from scripts.engine.places import EXPERIMENTS
from scripts.reports.claim_verdicts import RULES, Measured, counting, reason, verdict
from scripts.reports.claims import all_measured
from scripts.reports.machine_hours import hours_sentence
from scripts.reports.results import markdown_table, signed
from scripts.reports.shown import Grid, Item, Shown

ROOT = EXPERIMENTS.parent
PAGE, README = ROOT / "docs" / "claims.md", ROOT / "README.md"
MARKS = ("<!-- claims: begin -->", "<!-- claims: end -->")
LISTED = "\n".join(
    textwrap.fill(rule, 100, initial_indent="* ", subsequent_indent="  ", break_long_words=False)
    for rule in RULES
)
INTRODUCTION = f"""# The claims of both papers, and what came out here

This page is written by `python -m scripts.claims` from the committed results alone; a test writes
it again. Mini (rendered scenes), lite (photos, a small backbone) and lite600 (the same at 600 px)
show trends; the papers' own scale was not trained here.

{LISTED}"""


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
    seeds = "exact" if evidence.exact else str(one.cell.seeds)
    return [evidence.table, name, column, one.scale, one.paper, number, seeds, one.says]


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


def summary_table(numbers: Sequence[Sequence[Measured]]) -> str:
    """One line a claim."""
    lines = []
    for number, (claim, found) in enumerate(zip(CLAIMS, numbers, strict=True), 1):
        scales = dict.fromkeys(scale_and_length(one.scale)[0] for one in counting(found))
        text = f"{number} {claim.text}"
        lines.append(
            [text, verdict(found), reason(found, one_seed=False), ", ".join(scales) or "-"]
        )
    return markdown_table(["claim", "verdict here", "numbers", "scale"], lines)


def claims_text(numbers: Sequence[Sequence[Measured]]) -> str:
    """The page docs/claims.md."""
    pairs = enumerate(zip(CLAIMS, numbers, strict=True), 1)
    sections = [claim_section(number, claim, found) for number, (claim, found) in pairs]
    parts = [INTRODUCTION, hours_sentence(), summary_table(numbers), *sections]
    return "\n\n".join(parts) + "\n"


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
