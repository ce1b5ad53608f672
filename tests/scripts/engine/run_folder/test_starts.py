"""env.json says on what a training ran, and no secrets."""

import json

import torch

from scripts.engine.run_folder import starts as run_starts
from scripts.engine.run_folder.starts import note_start, training_commit


def test_starts_are_kept_and_a_damaged_file_is_begun_anew(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("SOME_TOKEN", "secret-of-this-test")
    path = tmp_path / "env.json"
    for step in (0, 10):
        note_start(path, torch.device("cpu"), step)
    assert [start["step"] for start in json.loads(path.read_text())] == [0, 10]
    assert "secret-of-this-test" not in path.read_text()
    path.write_text("[{")
    note_start(path, torch.device("cpu"), 20)
    assert [start["step"] for start in json.loads(path.read_text())] == [20]
    assert f"warning: {path} is damaged" in capsys.readouterr().out


def test_outside_of_git_there_is_no_commit(monkeypatch):
    monkeypatch.setattr(run_starts, "git", lambda *_: "")
    start = run_starts.this_start(torch.device("cpu"), 0)
    assert start["commit"] is start["dirty"] is start["gpu"] is None


def test_a_start_knows_whether_the_code_was_changed(monkeypatch):
    monkeypatch.setattr(run_starts, "git", lambda *_: "abcdef0")
    for changed in (True, False):
        monkeypatch.setattr(run_starts, "has_changes", lambda changed=changed: changed)
        assert run_starts.this_start(torch.device("cpu"), 0)["dirty"] is changed


def test_the_commit_of_a_training_is_that_of_its_last_start(tmp_path):
    path = tmp_path / "env.json"
    assert training_commit(path) is None
    for starts, commit in (
        (
            [{"commit": "0" * 40, "dirty": False}, {"commit": "abcdef0123", "dirty": False}],
            "abcdef0",
        ),
        ([{"commit": "abcdef0123", "dirty": True}], "abcdef0+changes"),
        ([{"commit": None, "dirty": None}], "unknown (not a git checkout)"),
        ([{"time": "before commits were noted"}], None),
    ):
        path.write_text(json.dumps(starts))
        assert training_commit(path) == commit
