"""A file of labels that would fill the memory is refused by its size, before it is read."""

import os

import pytest

from data.coco_annotations import read_coco
from data.errors import DataError
from data.formats.coco_results import read_results
from data.label_bytes import LARGEST_DATA_SET, LARGEST_TEXT, OVERRIDE, label_bytes
from data.text_files import read_lines
from data.voc_xml import read_xml


def sparse(path, size):
    """A file of so many bytes that takes no room on the disk."""
    path.touch()
    os.truncate(path, size)
    return path


@pytest.mark.fault("R48")
@pytest.mark.parametrize(
    ("name", "read", "most"),
    [
        ("a.json", read_coco, LARGEST_DATA_SET),
        ("a.json", lambda file: read_results(file, [1], [1]), LARGEST_DATA_SET),
        ("a.xml", read_xml, LARGEST_TEXT),
        ("a.txt", read_lines, LARGEST_TEXT),
    ],
)
def test_every_reader_names_the_file_the_limit_and_the_way_round(tmp_path, name, read, most):
    file = sparse(tmp_path / name, most + 1)
    sentence = rf"a\..*: .*more than {most:,}; if .* set {OVERRIDE}={most // 10**6 + 1} in"
    with pytest.raises(DataError, match=sentence):
        read(file)


def test_the_limit_itself_and_what_the_environment_allows_are_read(tmp_path, monkeypatch):
    file = sparse(tmp_path / "a", 1_500_000)
    assert len(label_bytes(file, 1_500_000)) == 1_500_000
    monkeypatch.setenv(OVERRIDE, "2")
    assert len(label_bytes(file, 10)) == 1_500_000
    monkeypatch.setenv(OVERRIDE, "1")
    with pytest.raises(ValueError, match="1,500,000 bytes, more than 1,000,000"):
        label_bytes(file, 2_000_000)


@pytest.mark.parametrize("value", ["0", "-1", "1.5", "x", "9" * 5000])
def test_an_override_that_is_no_number_is_refused(tmp_path, monkeypatch, value):
    monkeypatch.setenv(OVERRIDE, value)
    with pytest.raises(ValueError, match="is no whole number of MB above 0") as error:
        label_bytes(sparse(tmp_path / "a", 1), 10)
    assert len(str(error.value)) < 100
