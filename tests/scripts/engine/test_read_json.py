"""A small file of ours that is empty, cut or of the wrong kind is named, with what to do."""

import pytest

from scripts.engine.files import read_json
from scripts.engine.training.validation import metric_lines


@pytest.mark.parametrize(
    ("content", "why"),
    [
        ("", "cannot be read: it is empty"),
        ('{"rows": [1', r"cannot be read: it is no JSON file \(.*line 1"),
        ("[" * 100_000, "cannot be read: it is no JSON file"),
        ("[]", "holds something else than it should"),
        ("3", "holds something else than it should"),
        ('{"row": 1}', "lacks rows"),
    ],
)
def test_the_file_and_the_remedy_are_in_the_sentence(tmp_path, content, why):
    path = tmp_path / "x.json"
    path.write_text(content)
    with pytest.raises(ValueError, match=rf"^The file {path} {why}.*; delete it\.$"):
        read_json(path, "delete it", keys=("rows",))


def test_what_is_not_there_or_no_text_is_named_too(tmp_path):
    with pytest.raises(ValueError, match=r"x\.json cannot be read: No such file"):
        read_json(tmp_path / "x.json", "delete it")
    (tmp_path / "x.json").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ValueError, match=r"x\.json cannot be read: it is no JSON file"):
        read_json(tmp_path / "x.json", "delete it")


def test_what_is_whole_comes_back(tmp_path):
    path = tmp_path / "x.json"
    path.write_text('[{"a": 1}]')
    assert read_json(path, "delete it", kind=list, keys=("a",)) == [{"a": 1}]
    with pytest.raises(ValueError, match="lacks b"):
        read_json(path, "delete it", kind=list, keys=("b",))
    with pytest.raises(ValueError, match="something else"):
        read_json(path, "delete it", keys=("a",))


@pytest.mark.parametrize("content", ['{"updates": 3, "AP": 1.0}\n{"upd', "3\n", '{"AP": 1.0}\n'])
def test_damaged_validations_are_named(tmp_path, content):
    path = tmp_path / "metrics.jsonl"
    path.write_text(content)
    with pytest.raises(ValueError, match=r"metrics\.jsonl is damaged .*; put a whole copy"):
        metric_lines(path, 10)
