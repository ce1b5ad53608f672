"""A file is written completely or not at all."""

from pathlib import Path

import pytest

from data.files import atomic_file


def write(path, content):
    with atomic_file(path) as file:
        file.write(content)


def test_the_content_arrives_in_a_folder_that_is_made(tmp_path):
    write(tmp_path / "a" / "b" / "x.bin", b"\x00new")
    assert (tmp_path / "a" / "b" / "x.bin").read_bytes() == b"\x00new"
    assert [path.name for path in (tmp_path / "a" / "b").iterdir()] == ["x.bin"]


def test_a_reader_sees_the_old_content_until_the_end(tmp_path):
    path = tmp_path / "x"
    write(path, b"old")
    with atomic_file(path) as file:
        file.write(b"new")
        file.flush()
        assert path.read_bytes() == b"old"
        assert Path(file.name).read_bytes() == b"new"
    assert path.read_bytes() == b"new"


def test_a_failed_write_leaves_the_old_content_and_nothing_else(tmp_path):
    path = tmp_path / "x"
    write(path, b"old")
    with pytest.raises(TypeError, match="a bytes-like object is required"):
        write(path, "no bytes")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]
