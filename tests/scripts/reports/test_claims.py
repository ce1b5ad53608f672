"""The verdicts follow from the committed numbers, and the rules by which they do."""

from dataclasses import replace

import pytest

from experiments.claims import CLAIMS, Claim, Evidence
from scripts.reports import claims
from scripts.reports.claims import (
    Measured,
    all_measured,
    claims_text,
    measured,
    says,
    summary_table,
    verdict,
    with_summary,
)
from scripts.reports.results import cell
from scripts.reports.shown import printed

UP = Evidence(table="kl_loss/table1", row="KL Loss", minus="baseline")


def test_the_committed_page_is_what_the_committed_results_say():
    assert claims.PAGE.read_text() == claims_text(all_measured())


def test_the_readme_has_the_verdicts():
    readme = claims.README.read_text()
    assert with_summary(readme, summary_table(all_measured())) == readme


def test_there_are_fourteen_claims_and_every_evidence_names_rows_that_exist():
    assert len(CLAIMS) == 14
    for claim in CLAIMS:
        assert claim.evidence
        measured(claim)  # raises for an unknown table, group or row


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([1.0, 1.2, 1.4], "yes"),
        ([-1.0, -1.2, -1.4], "no"),
        ([1.0, -1.0, 0.5], "unclear"),
        ([3.0], "unclear"),  # one seed says nothing
        # mean 1, sample standard deviation 0.82, standard error 0.41: 1 - 0.82 is above 0
        ([0.0, 1.0, 2.0, 1.0], "yes"),
        ([-0.5, 1.0, 2.5, 1.0], "unclear"),  # the same mean, standard error 0.61
    ],
)
def test_a_number_speaks_from_two_standard_errors_on(values, expected):
    assert says(cell(values), UP) == expected
    opposite = {"yes": "no", "no": "yes", "unclear": "unclear"}[expected]
    assert says(cell(values), replace(UP, expected="down")) == opposite


@pytest.mark.parametrize(
    ("values", "expected"),
    [([0.2, -0.2], "yes"), ([3.0, 3.2], "no"), ([-3.0, -3.2], "no"), ([0.0, 1.9], "unclear")],
)
def test_flat_means_within_the_tolerance(values, expected):
    assert says(cell(values), replace(UP, expected="flat", tolerance=1.0)) == expected


def test_an_exact_number_needs_no_second_seed():
    assert says(cell([0.5]), replace(UP, exact=True)) == "yes"


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["yes", "yes"], "holds"),
        (["yes", "no"], "holds in part"),
        (["yes", "unclear"], "holds in part"),
        (["no", "unclear"], "fails"),
        (["no", "unclear", "unclear"], "unclear"),
        (["unclear"], "unclear"),
        ([], "unclear"),
    ],
)
def test_verdicts(words, expected):
    found = [
        Measured(
            evidence=UP,
            scale="mini",
            paper=printed(cell([])),
            cell=cell([0.0]),
            says=word,
            earlier=False,
        )
        for word in words
    ]
    assert verdict(found) == expected


def test_numbers_of_the_papers_own_tables(monkeypatch):
    """Differences within each seed, in percent, and between groups; from records made up here."""

    def seed(number, *metrics):
        names = [("2mlp head", "baseline"), ("2mlp head", "KL Loss"),
                 ("conv5 head", "baseline"), ("conv5 head", "KL Loss")]  # fmt: skip
        rows = [
            {"group": group, "label": label, "metrics": {"AP": value}, "recipe": "a"}
            for (group, label), value in zip(names, metrics, strict=True)
        ]
        return {"seed": number, "rows": rows}

    seeds = [seed(0, 50.0, 51.0, 40.0, 43.0), seed(1, 50.0, 52.0, 40.0, 42.0)]
    monkeypatch.setattr(
        claims.ReportPlace, "committed_seeds", lambda self: seeds if self.scale == "mini" else []
    )
    plain = Evidence(table="kl_loss/table3", row="KL Loss", minus="baseline", group="2mlp head")
    evidence = (
        plain,
        replace(plain, relative=True),
        replace(plain, group="conv5 head", minus_group="2mlp head"),
        replace(plain, minus="", level=50.0),
    )
    found = measured(Claim(text="", source="", evidence=evidence))
    assert [one.cell.mean for one in found] == [1.5, 3.0, 1.0, 1.5]
    assert [str(one.paper) for one in found] == ["+0.6", "+1.6 %", "-", "-"]
    assert not any(one.earlier for one in found)


def test_a_readme_without_marks_is_refused():
    with pytest.raises(ValueError, match="must have the lines <!-- claims: begin -->"):
        with_summary("# nothing", "")
