"""Publishing adds numbers to the committed ones and never loses or mixes any."""

from scripts.reports.merge import merge_notes, merged


def line(label, value=None, recipe="a", updates=10, of_updates=10):
    row = {"group": "", "label": label, "run": label, "recipe": recipe, "metrics": None}
    if value is None:
        return {**row, "why": "not trained"}
    return {**row, "metrics": {"AP": value}, "updates": updates, "of_updates": of_updates}


def seed(number, *rows, commit="new", date="2026-02-02", **more):
    return {"seed": number, "commit": commit, "date": date, "rows": list(rows), **more}


def numbers(seeds):
    """{(seed, row): AP or None}."""
    return {
        (seed["seed"], row["label"]): row["metrics"] and row["metrics"]["AP"]
        for seed in seeds
        for row in seed["rows"]
    }


def test_rows_and_seeds_that_were_not_run_now_are_kept():
    old = [seed(0, line("A", 1.0), line("B", 2.0), commit="old"), seed(1, line("A", 3.0))]
    new = [seed(0, line("A", 10.0), line("B")), seed(2, line("A", 12.0), line("B"))]
    assert numbers(merged(old, new)) == {
        (0, "A"): 10.0, (0, "B"): 2.0, (1, "A"): 3.0, (1, "B"): None, (2, "A"): 12.0, (2, "B"): None
    }  # fmt: skip


def test_a_kept_row_says_where_it_comes_from():
    old = [seed(0, line("A", 1.0), line("B", 2.0), commit="old", date="2026-01-01")]
    [result] = merged(old, [seed(0, line("A", 10.0), line("B"))])
    assert (result["commit"], result["date"]) == ("new", "2026-02-02")
    assert "commit" not in result["rows"][0]
    assert (result["rows"][1]["commit"], result["rows"][1]["date"]) == ("old", "2026-01-01")
    again = merged([result], [seed(0, line("A", 11.0), line("B"), commit="newest")])
    assert again[0]["rows"][1]["commit"] == "old"


def test_numbers_of_another_or_an_unknown_recipe_are_dropped():
    unknown = line("A", 1.0)
    del unknown["recipe"]
    for other in (line("A", 1.0, recipe="b"), unknown):
        assert numbers(merged([seed(0, other), seed(1, other)], [seed(0, line("A"))])) == {
            (0, "A"): None
        }


def trained(row, **settings):
    return {**row, "training": {"settings": settings}}


def test_numbers_of_a_network_that_was_trained_otherwise_are_dropped():
    """In whatever seed; what is not known of one of the two does not count."""
    before = trained(line("x", 1), batch_size=16, weights_sha256="a")
    for now, kept in (
        ({"batch_size": 16, "weights_sha256": "a"}, True),
        ({"batch_size": 16, "weights_sha256": "b"}, False),
        ({"batch_size": 8, "weights_sha256": "a"}, False),
        ({"batch_size": 16, "weights_sha256": None}, True),
        ({}, True),
    ):
        new = [seed(1, trained(line("x", 2), **now)), seed(2, line("x"))]
        assert ((0, "x") in numbers(merged([seed(0, before)], new))) == kept, now
        notes = merge_notes([seed(0, before)], new)
        assert bool(notes) != kept
    assert (
        "x of seed 0"
        in merge_notes([seed(0, before)], [seed(1, trained(line("x", 2), batch_size=8))])[0]
    )


def on(data, row):
    return {**row, "test_data": {"coco val": data}}


def test_numbers_of_other_test_data_are_dropped_whatever_the_row():
    old = [
        seed(0, on("x", line("A", 1.0)), on("x", line("B", 2.0))),
        seed(1, on("x", line("A", 3.0))),
    ]
    new = [seed(0, on("y", line("A", 10.0)), line("B"))]
    assert numbers(merged(old, new)) == {(0, "A"): 10.0, (0, "B"): None}
    [note] = merge_notes(old, new)
    assert note == (
        "note: 3 committed numbers are replaced or left out, because they were measured on other "
        "test data: A of seed 0, B of seed 0, A of seed 1"
    )


def test_numbers_of_the_same_and_of_unknown_test_data_stay_without_a_note():
    new = [seed(0, on("x", line("A", 10.0)), line("B"))]
    for other in (on("x", line("B", 2.0)), line("B", 2.0)):
        old = [seed(0, on("x", line("A", 1.0)), other)]
        assert numbers(merged(old, new)) == {(0, "A"): 10.0, (0, "B"): 2.0}
        assert merge_notes(old, new) == []


def test_numbers_of_other_settings_that_are_lost_are_named():
    old = [seed(0, line("A", 1.0, recipe="b")), seed(1, line("A", 1.0, recipe="b"))]
    assert merge_notes(old, [seed(0, line("A", 2.0))]) == [
        "note: 1 committed numbers are replaced or left out, because they were measured with other "
        "settings: A of seed 1"
    ]


def test_an_unfinished_network_replaces_no_finished_one():
    finished, half = line("A", 5.0), line("A", 1.0, updates=4)
    assert numbers(merged([seed(0, finished)], [seed(0, half)])) == {(0, "A"): 5.0}
    assert numbers(merged([seed(0, half)], [seed(0, finished)])) == {(0, "A"): 5.0}
    later = line("A", 2.0, updates=7)
    assert numbers(merged([seed(0, half)], [seed(0, later)])) == {(0, "A"): 2.0}


def test_rows_that_the_table_no_longer_has_go():
    old = [seed(0, line("gone", 1.0), line("A", 2.0))]
    assert numbers(merged(old, [seed(0, line("A"))])) == {(0, "A"): 2.0}


def test_what_a_seed_says_beside_its_rows_is_kept_unless_it_is_new():
    old = [seed(0, line("A", 1.0), picture={"better": 4})]
    assert merged(old, [seed(0, line("A", 2.0))])[0]["picture"] == {"better": 4}
    assert merged(old, [seed(0, line("A", 2.0), picture={"better": 1})])[0]["picture"] == {
        "better": 1
    }


def test_without_committed_seeds_the_new_ones_stay():
    new = [seed(1, line("A", 2.0)), seed(0, line("A", 1.0))]
    assert merged([], new) == [new[1], new[0]]
