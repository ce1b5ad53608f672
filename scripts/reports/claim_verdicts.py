"""What the numbers of a claim say to it, and the verdict that follows."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from experiments.claims import Evidence
from scripts.reports.results import Cell
from scripts.reports.shown import Shown

Says = Literal["for", "against", "undecided", "one seed"]
RULES = (
    "A number is a difference taken within each seed: its mean ± the sample standard deviation "
    "over seeds.",
    "It speaks for or against a claim if mean ± 2 standard errors lies on one side of 0; otherwise "
    "it is undecided, and leans to the side of its mean. That interval holds the true mean in "
    "about 82 % of all cases with three seeds and in 70 % with two.",
    "A number of one seed alone is shown and does not count. (Until 27 November 2026 it counted as "
    "undecided; claims 2 and 13 held in part then.) Parameters and the time of claim 7, called "
    "exact, need no second seed.",
    "Where a paper says that nothing changes, the interval must lie within 1 AP, within 1 % of the "
    "parameters, and within 5 % (claim 7) or 10 % (claim 13) of the time.",
    "Mini is scored against the boxes before label noise was added; its tables in VOC's layout (KL "
    "Loss Table 5, KL-RPN Table 2) against the noisy labels.",
    "A claim **holds** if all numbers that count speak for it, **holds in part** if some do, "
    "**fails** if none does and at least half speak against it, and is **unclear** otherwise.",
)


@dataclass(frozen=True, kw_only=True)
class Measured:
    """One evidence at one scale: the number over seeds, and what it says to the claim."""

    evidence: Evidence
    scale: str
    paper: Shown
    cell: Cell
    says: Says


def says(number: Cell, evidence: Evidence) -> Says:
    """What a number says to its claim."""
    assert number.mean is not None
    if number.spread is None and not evidence.exact:
        return "one seed"
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


def counting(found: Sequence[Measured]) -> list[Measured]:
    """The numbers that count: those of one seed alone do not."""
    return [one for one in found if one.says != "one seed"]


def verdict(found: Sequence[Measured]) -> str:
    """One of the four words that RULES explain."""
    counted = counting(found)
    yes, no = (sum(one.says == word for one in counted) for word in ("for", "against"))
    if counted and yes == len(counted):
        return "holds"
    if yes:
        return "holds in part"
    return "fails" if no and 2 * no >= len(counted) else "unclear"


def reason(found: Sequence[Measured], *, one_seed: bool = True) -> str:
    """How many numbers say what.

    Args:
        one_seed: whether those of one seed alone are told as well, if there are others.
    """
    if not found:
        return "nothing was measured"
    texts = []
    for word, name in (("for", "for it"), ("against", "against it"), ("undecided", "undecided")):
        count = sum(one.says == word for one in found)
        texts += [f"{count} {name}"] if count else []
    notes = [
        f"{title}: {', '.join(sides)}"
        for word, title in (("undecided", "leaning"), ("one seed", "one seed alone"))
        if (one_seed or word != "one seed" or not texts)
        and (sides := leaning([one for one in found if one.says == word]))
    ]
    if not texts:
        return notes[0]
    return ", ".join(texts) + (f" ({'; '.join(notes)})" if notes else "")


def leaning(found: Sequence[Measured]) -> list[str]:
    """How many numbers point to either side."""
    sides = (("for", "towards it"), ("against", "away from it"), ("", "exactly 0"))
    counts = [(sum(points_to(one) == word for one in found), name) for word, name in sides]
    return [f"{count} {name}" for count, name in counts if count]
