"""The commands of README.md and docs/*.md at a tiny size, one after the other, in a copy of the
tree: make test-docs. Later ones use what earlier ones trained.
"""

import re
import shutil
import sys
from functools import cache

import pytest

from data.mini.ambiguous import write_dataset
from tests.doc_checkout import copy_of_the_tree, run_in
from tests.doc_commands import DEMO, EXECUTED, OWN
from tests.tiny import tiny_dataset


@pytest.fixture(scope="module")
def checkout(tmp_path_factory):
    """A copy of the tree with folders of labeled photos, of which no command trains on "unseen"."""
    folder = copy_of_the_tree(tmp_path_factory.mktemp("fresh") / "checkout")
    rendered = tiny_dataset(folder / "scenes")
    for name in ("photos", "others"):
        shutil.copytree(rendered, folder / name)
    write_dataset(folder / "unseen", seed=9, train=40, val=40)
    return folder


@cache
def run_once(folder, command):
    """What a command printed and how it ended; pages print some in several ways."""
    return run_in(folder, command)


@pytest.mark.docs
@pytest.mark.parametrize("printed", EXECUTED)
def test_a_command_ends_well(printed, checkout):
    done = run_once(checkout, EXECUTED[printed])
    assert done.returncode == 0, f"{EXECUTED[printed]}: {done.stdout[-2000:]}{done.stderr[-2000:]}"
    assert "Traceback" not in done.stderr


@pytest.mark.docs
@pytest.mark.parametrize(("page", "folder"), [("README", ""), ("own_data", ""), ("scoring", DEMO)])
def test_python_of_a_page_runs(page, folder, checkout):
    """After the commands, whose network and scores it reads. docs/sigma.md has a test of its own
    (tests/test_docs_code.py).
    """
    path = checkout / ("README.md" if page == "README" else f"docs/{page}.md")
    (code,) = re.findall(r"^```python\n(.*?)^```", path.read_text(), re.MULTILINE | re.DOTALL)
    code = code.replace("DIR_OF_THIS_CHECKOUT", str(checkout))
    code = code.replace("runs/own/small/NAME/seed0", OWN).replace('path="', 'score=0, path="')
    (checkout / folder / "block.py").write_text(code)
    shutil.copy(next((checkout / "photos" / "val").iterdir()), checkout / "photo.jpg")
    done = run_in(checkout, f"cd ./{folder} && {sys.executable} block.py")
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
