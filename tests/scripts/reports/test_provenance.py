"""The notes below a report come from its seeds alone."""

from experiments.kl_loss.figure6.rows import TABLE
from scripts.reports.provenance import (
    provenance,
    report_page,
    shared_networks,
    unfinished_networks,
)
from scripts.reports.results import Results


def seed(number, commit, date, **line):
    return {
        "seed": number,
        "device": "a CPU",
        "commit": commit,
        "date": date,
        "rows": [
            {"group": "", "label": row.label, "run": "r", "metrics": None, **line}
            for row in TABLE.rows[:2]
        ],
    }


def test_each_evaluation_is_named_once():
    seeds = [
        seed(0, "aaa1111", "2026-01-02"),
        seed(1, "bbb2222", "2026-01-05"),
        seed(2, "aaa1111", "2026-01-02"),
    ]
    assert provenance(Results(TABLE, seeds), "mini")[:2] == [
        "scale: mini; seeds: [0, 1, 2]; ± is the sample standard deviation over seeds",
        "commit: aaa1111, bbb2222; evaluated on: a CPU; date: 2026-01-02, 2026-01-05",
    ]


def test_a_seed_of_an_earlier_version_says_that_nothing_was_recorded():
    old = seed(0, "", "")
    del old["commit"], old["date"]
    assert "commit: not recorded; evaluated on: a CPU; date: not recorded" in provenance(
        Results(TABLE, [old]), "mini"
    )


def test_the_commit_of_a_report_is_that_of_the_trainings_where_it_is_known():
    new = seed(0, "eee", "d", metrics={"AP": 1.0}, training_commit="ttt+changes")
    [_, line, *_] = provenance(Results(TABLE, [new]), "mini")
    assert line.startswith("commit: ttt+changes (training), eee (evaluation); evaluated on: a CPU")
    older = seed(1, "eee", "d", metrics={"AP": 1.0})
    [_, line, *_] = provenance(Results(TABLE, [new, older]), "mini")
    assert line.startswith("commit: ttt+changes, not recorded (training), eee (evaluation)")


def test_training_times_unfinished_networks_and_reasons():
    trained = seed(
        0,
        "a",
        "d",
        metrics={"AP": 1.0},
        updates=4,
        of_updates=6,
        training={"seconds": 90.0, "device": "cpu"},
    )
    assert "training: r 1.5 min on cpu (stopped at 4 of 6)" in provenance(
        Results(TABLE, [trained]), "mini"
    )
    unfinished = seed(0, "a", "d", metrics={"AP": 1.0}, updates=4, of_updates=6)
    assert "UNFINISHED: r: only 4 of 6 updates" in provenance(Results(TABLE, [unfinished]), "mini")
    absent = seed(0, "a", "d", why="no network")
    assert "not run: sigma_t = 0: no network" in provenance(Results(TABLE, [absent]), "mini")


def test_a_report_page_ends_with_the_rows_of_one_network():
    text = report_page(Results(TABLE, [seed(0, "a", "d")]), "mini", ["## A section"])
    assert "\n\n## A section\n\n* scale: mini" in text
    assert text.endswith(
        "* one network at this scale, measured once (`r`): sigma_t = 0, sigma_t = 0.005\n"
    )
    assert shared_networks([]) == []


def test_a_network_of_before_the_end_of_its_training_is_unfinished():
    """The checkpoint of the end, at update 6, was lost; --unfinished took the one before it."""
    facts = {"step": 6, "seconds": 90.0, "device": "cpu"}
    lost = seed(0, "a", "d", metrics={"AP": 1.0}, updates=4, of_updates=6, training=facts)
    assert unfinished_networks([lost]) == ["UNFINISHED: r: only 4 of 6 updates"]
    whole = seed(0, "a", "d", metrics={"AP": 1.0}, updates=6, of_updates=6, training=facts)
    assert unfinished_networks([whole]) == []
