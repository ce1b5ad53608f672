"""The verdicts follow from the committed numbers, and the rules by which they do."""

from dataclasses import replace

import pytest

from experiments.claims import CLAIMS, Claim, Evidence
from scripts.reports import claims, claims_page
from scripts.reports.claim_verdicts import Measured, reason, says, verdict
from scripts.reports.claims import all_measured, measured
from scripts.reports.claims_page import claims_text, summary_table, with_summary
from scripts.reports.results import cell
from scripts.reports.shown import printed

UP = Evidence(table="kl_loss/table1", row="KL Loss", minus="baseline")


def test_the_committed_page_is_what_the_committed_results_say():
    assert claims_page.PAGE.read_text() == claims_text(all_measured())


def test_the_readme_has_the_verdicts():
    readme = claims_page.README.read_text()
    assert with_summary(readme, summary_table(all_measured())) == readme


def test_there_are_fourteen_claims_and_every_evidence_names_rows_that_exist():
    assert len(CLAIMS) == 14
    for claim in CLAIMS:
        assert claim.evidence
        measured(claim)  # raises for an unknown table, group or row


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([1.0, 1.2, 1.4], "for"),
        ([-1.0, -1.2, -1.4], "against"),
        ([1.0, -1.0, 0.5], "undecided"),
        ([3.0], "one seed"),
        # mean 1, sample standard deviation 0.82, standard error 0.41: 1 - 0.82 is above 0
        ([0.0, 1.0, 2.0, 1.0], "for"),
        ([-0.5, 1.0, 2.5, 1.0], "undecided"),  # the same mean, standard error 0.61
    ],
)
def test_a_number_speaks_from_two_standard_errors_on(values, expected):
    assert says(cell(values), UP) == expected
    opposite = {"for": "against", "against": "for"}.get(expected, expected)
    assert says(cell(values), replace(UP, expected="down")) == opposite


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([0.2, -0.2], "for"),
        ([3.0, 3.2], "against"),
        ([-3.0, -3.2], "against"),
        ([0.0, 1.9], "undecided"),
    ],
)
def test_flat_means_within_the_tolerance(values, expected):
    assert says(cell(values), replace(UP, expected="flat", tolerance=1.0)) == expected


def test_an_exact_number_needs_no_second_seed():
    assert says(cell([0.5]), replace(UP, exact=True)) == "for"


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["for", "for"], "holds"),
        (["for", "against"], "holds in part"),
        (["for", "undecided"], "holds in part"),
        (["against", "undecided"], "fails"),
        (["against", "undecided", "undecided"], "unclear"),
        (["undecided"], "unclear"),
        (["for", "one seed"], "holds"),
        (["against", "one seed", "one seed"], "fails"),
        (["one seed"], "unclear"),
        ([], "unclear"),
    ],
)
def test_verdicts(words, expected):
    assert verdict([number(word, 0.0) for word in words]) == expected


def number(says, *values, **change):
    return Measured(
        evidence=replace(UP, **change),
        scale="mini",
        paper=printed(cell([])),
        cell=cell(list(values)),
        says=says,
    )


def test_the_reason_says_where_undecided_numbers_lie():
    """An "unclear" claim whose numbers are all negative must not read as a maybe."""
    found = [
        number("against", -2.0, -2.1),
        number("undecided", -1.0, 0.9),
        number("undecided", 0.4, 0.6, expected="flat", tolerance=1.0),
        number("one seed", -3.0),
        number("one seed", -0.5, expected="down"),
    ]
    assert reason(found) == (
        "1 against it, 2 undecided (leaning: 1 towards it, 1 away from it; one seed alone: 1 "
        "towards it, 1 away from it)"
    )
    assert reason([number("for", 1.0, 1.1)]) == "1 for it"
    assert reason([number("one seed", 1.0)]) == "one seed alone: 1 towards it"


def test_two_rows_that_are_one_network_at_a_scale_count_once(monkeypatch):
    """At lite both groups of Table 5 are the same MobileNetV2; at mini they are two networks."""
    rows = [
        {"group": group, "label": label, "metrics": {"mAP": value}, "recipe": "a"}
        for group in ("VGG-CNN-M-1024", "VGG-16")
        for label, value in (("baseline", 50.0), ("KL Loss", 52.0))
    ]
    monkeypatch.setattr(
        claims.ReportPlace, "committed_seeds", lambda self: [{"seed": 0, "rows": rows}]
    )
    evidence = tuple(
        Evidence(
            table="kl_loss/table5", row="KL Loss", minus="baseline", group=group, column="mAP",
            scales=("mini", "lite"),
        )
        for group in ("VGG-CNN-M-1024", "VGG-16")
    )  # fmt: skip
    found = measured(Claim(text="", source="", evidence=evidence))
    assert [(one.scale, one.evidence.group) for one in found] == [
        ("mini", "VGG-CNN-M-1024"),
        ("lite", "VGG-CNN-M-1024"),
        ("mini", "VGG-16"),
    ]


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


def test_a_readme_without_marks_is_refused():
    with pytest.raises(ValueError, match="must have the lines <!-- claims: begin -->"):
        with_summary("# nothing", "")
