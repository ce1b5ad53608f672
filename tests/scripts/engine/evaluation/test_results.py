"""What a seed's results say about the code that evaluated it."""

import datetime
import re
import subprocess

from scripts.engine.evaluation import results


def test_commit_and_date_are_those_of_the_evaluation():
    now = results.commit_and_date()
    assert re.fullmatch(r"[0-9a-f]{7,}(\+changes)?|unknown \(not a git checkout\)", now["commit"])
    assert now["date"] == datetime.date.today().isoformat()


def test_changes_of_the_code_are_named(monkeypatch):
    for changed, ending in ((True, "+changes"), (False, "")):
        monkeypatch.setattr(results, "has_changes", lambda changed=changed: changed)
        monkeypatch.setattr(results, "git", lambda *_: "abcdef0")
        assert results.commit_and_date()["commit"] == f"abcdef0{ending}"


def test_outside_a_repository_the_commit_is_unknown(monkeypatch):
    def no_repository(*arguments, **options):
        raise subprocess.CalledProcessError(128, "git")

    monkeypatch.setattr(subprocess, "run", no_repository)
    assert results.commit_and_date()["commit"] == "unknown (not a git checkout)"
