"""docs/extending.md: its changes, made in a copy of the tree, train and print its table."""

import re
import subprocess
import sys

import pytest

from tests.doc_checkout import copy_of_the_tree, run_in
from tests.doc_commands import EXTENDED, ROOT

PAGE = (ROOT / "docs" / "extending.md").read_text()
EDIT = re.compile(r"^<!-- (.+?) -->\n```\w*\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def edited(place, code, folder):
    """Makes one change of the page in the tree below ``folder``; returns the file."""
    if place.startswith("new file: "):
        path = folder / place.removeprefix("new file: ")
        path.parent.mkdir(exist_ok=True)
        assert not path.exists(), place
        path.write_text(code)
        path.chmod(0o755 if path.suffix == ".sh" else 0o644)
    elif place.startswith("at the end of "):
        path = folder / place.removeprefix("at the end of ")
        path.write_text(path.read_text() + code)
    else:
        name, after = re.fullmatch(r"in (\S+), after: (.*)", place).groups()
        path = folder / name
        assert path.read_text().count(f"{after}\n") == 1, place
        path.write_text(path.read_text().replace(f"{after}\n", f"{after}\n{code}"))
    return path


def test_every_block_of_the_page_says_where_it_belongs():
    assert len(EDIT.findall(PAGE)) == len(re.findall(r"^```\w*$", PAGE, re.MULTILINE)) / 2 == 11


@pytest.mark.docs
def test_the_three_examples_train_and_print_their_table(tmp_path):
    folder = copy_of_the_tree(tmp_path / "checkout")
    files = [edited(place, code, folder) for place, code in EDIT.findall(PAGE)]
    python = sorted({str(path) for path in files if path.suffix == ".py"})
    for command in (["check"], ["format", "--check"]):
        ruff = [sys.executable, "-m", "ruff", *command, *python]
        done = subprocess.run(ruff, cwd=folder, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
    for command in EXTENDED:
        done = run_in(folder, command)
        assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    report = (folder / "runs/mini/kl_loss/losses/report/mini.md").read_text()
    for row in ("KL Loss + var voting", "Laplace + var voting", "plain backbone"):
        assert row in report
    assert "not run" not in report
