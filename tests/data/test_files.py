"""A file is written completely or not at all, and what killed processes leave is removed."""

import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from data.files import ABANDONED_AFTER_S, atomic_file, remove_leftovers

ROOT = Path(__file__).parents[2]


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


def dead_pid():
    process = subprocess.Popen(["true"])
    process.wait()
    return process.pid


@pytest.mark.fault("R67")
def test_what_a_killed_process_left_goes_and_what_is_in_use_stays(tmp_path):
    host, dead = socket.gethostname(), dead_pid()
    left = [f".a.pt.{dead}@{host}.tmp", f".a.pt.{dead}.tmp", f".folder-1.{dead}@{host}.tmp"]
    used = [f".b.pt.{os.getpid()}@{host}.tmp", f".b.pt.{os.getppid()}.tmp", ".notes.tmp", "x.1.tmp"]
    for name in (*left[:2], *used):
        (tmp_path / name).write_text("half")
    (tmp_path / left[2]).mkdir()
    (tmp_path / left[2] / "member").write_text("half")
    removed = remove_leftovers(tmp_path)
    assert sorted(path.name for path in removed) == sorted(left)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(used)
    assert remove_leftovers(tmp_path / "none") == []


def test_another_machine_has_a_day(tmp_path):
    young, old = (tmp_path / f".{name}.pt.1@elsewhere.org.tmp" for name in ("young", "old"))
    for path in (young, old):
        path.write_text("half")
    os.utime(old, (time.time() - 2 * ABANDONED_AFTER_S,) * 2)
    assert remove_leftovers(tmp_path) == [old]


def test_writing_a_file_again_removes_its_own_leftovers_only(tmp_path):
    dead = dead_pid()
    (tmp_path / f".[x].{dead}.tmp").write_text("half")
    (tmp_path / f".y.{dead}.tmp").write_text("half")
    write(tmp_path / "[x]", b"new")
    assert sorted(path.name for path in tmp_path.iterdir()) == [f".y.{dead}.tmp", "[x]"]


@pytest.mark.fault("R01")
def test_a_process_that_is_killed_while_it_writes(tmp_path):
    """The old content stays, and the next process removes the half of the new one."""
    write(tmp_path / "x", b"old")
    program = (
        "import os, sys; from pathlib import Path; from data.files import atomic_file\n"
        "with atomic_file(Path(sys.argv[1])) as file:\n"
        "    file.write(b'new'); file.flush(); os.kill(os.getpid(), 9)"
    )
    subprocess.run([sys.executable, "-c", program, str(tmp_path / "x")], cwd=ROOT)
    assert (tmp_path / "x").read_bytes() == b"old"
    assert len(list(tmp_path.iterdir())) == 2
    assert len(remove_leftovers(tmp_path)) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["x"]
