"""Whether the code that runs is that of a commit."""

import shutil
import subprocess

import pytest

from scripts.engine import git as module
from scripts.engine.git import git, has_changes

pytestmark = pytest.mark.skipif(shutil.which("git") is None, reason="needs git")
CODE = (
    "scripts/engine/git.py",
    "experiments/kl_rpn/runs.py",
    "experiments/kl_rpn/figure3/rows.py",
    "experiments/kl_rpn/figure3/train.sh",
    "Makefile",
)
TEXT = "docs/claims.md"
RESULT = "experiments/kl_rpn/figure3/results/lite.json"


@pytest.fixture
def repository(tmp_path, monkeypatch):
    for name in (*CODE, TEXT, RESULT, "README.md"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("as committed\n")
    author = ("-c", "user.name=a", "-c", "user.email=a@b")
    for words in (("init", "-q"), ("add", "."), (*author, "commit", "-q", "-m", "first")):
        subprocess.run(["git", *words], cwd=tmp_path, check=True)
    monkeypatch.setattr(module, "__file__", str(tmp_path / CODE[0]))
    return tmp_path


def test_published_results_and_text_do_not_change_the_code(repository):
    """An evaluation that publishes several reports writes between them."""
    assert not has_changes()
    for name in (RESULT, TEXT, "README.md"):
        (repository / name).write_text("changed\n")
        assert not has_changes(), name


def test_a_file_that_was_never_committed_counts_for_nothing(repository):
    """Runs and data sets of the user lie in the repository."""
    for name in ("scripts/engine/own.py", "experiments/kl_rpn/figure3/results/new.json"):
        (repository / name).write_text("untracked\n")
        assert not has_changes(), name


@pytest.mark.parametrize("name", CODE)
def test_a_changed_file_of_code_does(repository, name):
    (repository / name).write_text("changed\n")
    assert has_changes()
    (repository / name).unlink()
    assert has_changes()


@pytest.mark.parametrize("name", ["GIT_LITERAL_PATHSPECS", "GIT_NOGLOB_PATHSPECS"])
def test_settings_of_patterns_change_no_answer(repository, monkeypatch, name):
    monkeypatch.setenv(name, "1")
    (repository / RESULT).write_text("changed\n")
    assert not has_changes()
    (repository / CODE[1]).write_text("changed\n")
    assert has_changes()


@pytest.mark.parametrize("name", ["GIT_DIR", "GIT_COMMON_DIR", "GIT_OBJECT_DIRECTORY"])
def test_in_a_hook_of_another_repository_the_code_is_asked_about(
    repository, tmp_path, monkeypatch, name
):
    """git tells a hook its repository in such variables."""
    commit = git("rev-parse", "HEAD")
    monkeypatch.setenv(name, str(tmp_path / "another"))
    assert commit
    assert git("rev-parse", "HEAD") == commit


def test_outside_a_repository_there_is_nothing_to_say(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "__file__", str(tmp_path / "git.py"))
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert git("rev-parse", "HEAD") == ""
    assert not has_changes()
