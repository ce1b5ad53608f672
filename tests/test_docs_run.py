"""The commands of README.md and docs/*.md at a tiny size, one after the other, in a copy of the
tree: make test-docs. Later ones use what earlier ones trained.
"""

import shutil

import pytest

from tests.doc_checkout import copy_of_the_tree, run_in
from tests.doc_commands import EXECUTED
from tests.tiny import tiny_dataset


@pytest.fixture(scope="module")
def checkout(tmp_path_factory):
    """A copy of the tree with two folders of labeled photos."""
    folder = copy_of_the_tree(tmp_path_factory.mktemp("fresh") / "checkout")
    rendered = tiny_dataset(folder / "scenes")
    for name in ("photos", "others"):
        shutil.copytree(rendered, folder / name)
    return folder


@pytest.mark.docs
@pytest.mark.parametrize("printed", EXECUTED)
def test_a_command_ends_well(printed, checkout):
    done = run_in(checkout, EXECUTED[printed])
    assert done.returncode == 0, f"{EXECUTED[printed]}: {done.stdout[-2000:]}{done.stderr[-2000:]}"
    assert "Traceback" not in done.stderr
