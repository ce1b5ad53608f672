"""What another version of the code made is known as such."""

from scripts.engine.results_version import CHANGES, RESULTS_VERSION, version_note


def test_a_training_of_the_same_version_needs_no_note():
    assert version_note({"results_version": RESULTS_VERSION}) is None


def test_a_note_names_all_changes_since_the_version_that_began():
    note = version_note({})
    assert note.startswith("note: results version 1 of the code began this training and ")
    assert all(text in note for text in CHANGES.values())
    assert sorted(CHANGES) == list(range(2, RESULTS_VERSION + 1))


def test_a_later_version_is_named_without_its_changes():
    note = version_note({"results_version": RESULTS_VERSION + 1})
    assert f"results version {RESULTS_VERSION + 1}" in note
    assert "does not know" in note
