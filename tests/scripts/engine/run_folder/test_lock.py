"""A lock needs a file system that knows locks; without one a training still runs."""

import errno
import json
import os

import pytest

from scripts.engine.run_folder import lock as run_lock
from scripts.engine.run_folder.lock import NAME, held


def test_the_file_names_the_holder_and_goes_with_it(tmp_path):
    with held(tmp_path / "run"):
        holder = json.loads((tmp_path / "run" / NAME).read_text())
        assert holder["pid"] == os.getpid()
        assert set(holder) == {"pid", "host", "time", "command"}
    assert not list((tmp_path / "run").iterdir())


def test_an_error_releases_it_too(tmp_path):
    with pytest.raises(RuntimeError), held(tmp_path):
        raise RuntimeError
    assert not list(tmp_path.iterdir())


def test_a_file_system_without_locks_is_noted(tmp_path, monkeypatch, capsys):
    def refuse(*_):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(run_lock.fcntl, "lockf", refuse)
    with held(tmp_path):
        assert "cannot be locked" in capsys.readouterr().out


def test_a_file_that_its_holder_has_just_removed_is_no_lock(tmp_path, monkeypatch):
    """Between opening and locking it; a new one is made."""
    real, calls = run_lock.lock, []

    def late(file):
        if not calls:
            (tmp_path / NAME).unlink()
        calls.append(file)
        return real(file)

    monkeypatch.setattr(run_lock, "lock", late)
    with held(tmp_path):
        assert (tmp_path / NAME).is_file()
    assert len(calls) == 2
