"""The verdict on each claim of the papers, first in one table, then number by number."""

from collections import Counter
from collections.abc import Sequence

from experiments.claims import CLAIMS, Claim
from scripts.reports.claim_verdicts import RULES, Measured, reason, verdict
from scripts.reports.claims import all_measured
from scripts.reports.claims_page import evidence_grid
from scripts.reports.page.sources import Sources
from scripts.reports.page.views import Part, Section, Sentence, TableView, plain
from scripts.reports.results import Results, counted
from scripts.reports.shown import Grid, Shown, no_number, step
from scripts.reports.summary import paper_step

ORDER = ("difference", "number", "paper", "ours", "says", "seeds", "scale", "table")
WORDS = ("holds", "holds in part", "fails", "unclear")
Headline = tuple[str, str, str, str, str]  # table, group, better row, base row, how it is said
HEADLINES: tuple[Headline, ...] = (
    ("kl_loss/table1", "", "KL Loss + soft-NMS + var voting", "baseline",
     "KL Loss with soft-NMS and var voting changes the AP of its baseline by "),
    ("kl_rpn/table1", "Faster R-CNN VGG-16", "KL-RPN", "RPN",
     "KL-RPN changes the AP of Faster R-CNN with VGG-16 by "),
)  # fmt: skip


def verdicts_section(sources: Sources) -> Section:
    """All claims."""
    numbers = all_measured(sources.results)
    parts = [
        claim_part(number, claim, found)
        for number, (claim, found) in enumerate(zip(CLAIMS, numbers, strict=True), 1)
    ]
    return Section(anchor="claims", title="The claims, one by one", text=plain(*RULES), parts=parts)


def claim_part(number: int, claim: Claim, found: Sequence[Measured]) -> Part:
    """One claim, its verdict and its numbers."""
    source = "A control of ours." if claim.source == "ours" else f"From {claim.source}."
    text = f"{source} Its numbers here: {reason(found)}. {claim.comment}".strip()
    grid = reordered(evidence_grid(found))
    return Part(
        anchor=f"claim-{number}",
        title=f"{number}. {claim.text}",
        text=plain(text),
        tables=[TableView(caption="What was measured", grid=grid)] if found else [],
        verdict=verdict(found),
        reason=reason(found),
    )


def reordered(grid: Grid) -> Grid:
    """The numbers first: a phone shows the first columns."""
    places = [grid.header.index(name) for name in ORDER]
    return Grid(header=ORDER, lines=[[line[place] for place in places] for line in grid.lines])


def verdict_counts(section: Section) -> str:
    """ "Of 14 claims 1 holds, 6 hold in part, none fails and 7 are unclear"."""
    if not section.parts:
        return "No claim could be judged"
    counts = Counter(part.verdict for part in section.parts)
    verbs = {"holds": "hold", "holds in part": "hold in part", "fails": "fail"}
    texts = []
    for word in WORDS:
        count = counts[word]
        if word == "unclear":
            texts.append(f"{count or 'none'} {'are' if count > 1 else 'is'} unclear")
        else:
            texts.append(f"{count or 'none'} {verbs[word] if count > 1 else word}")
    return f"Of {len(section.parts)} claims {', '.join(texts[:-1])} and {texts[-1]}"


def headline(sources: Sources) -> Sentence:
    """The main differences on rendered scenes that were measured, paper and ours, and of how many
    seeds each is.
    """
    items: list[str | Shown] = []
    for table, group, better, base, words in HEADLINES:
        results = sources.results(table, "mini")
        ours, paper = headline_numbers(results, group, better, base)
        if ours.cell.mean is not None:
            start = "; " if items else "On rendered scenes (the mini scale) "
            seeds = counted(range(ours.cell.seeds))
            items += [start, words, ours, f" ({seeds}; paper ", paper, ")"]
    return [*items, "."] if items else ["Nothing of the main tables was run at the mini scale."]


def headline_numbers(results: Results, group: str, better: str, base: str) -> tuple[Shown, Shown]:
    """The difference of two rows in AP, ours and the paper's."""
    for one in results.steps():
        names = results.rows[one.better], results.rows[one.base]
        wanted = (one.group, names[0].label, names[1].label)
        if results.seeds and wanted == (group, better, base):
            part = "clean" if results.has("clean") else None
            ours = results.comparison(one.better, one.base, "AP", part)
            return step(ours), paper_step(results, one, "AP")
    return no_number("not run"), no_number("not printed")
