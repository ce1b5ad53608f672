"""docs/comparison.md and the tree agree, and the claims of that page that no other test shows."""

import ast
import gc
import re
from pathlib import Path

import pytest

from data.coco import CocoDataset
from tests.data.test_coco import annotation, write
from tests.test_house import FILES, name_of

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "comparison.md").read_text()
LACKING = (17, 18, 20, 22, 32, 39, 40, 41, 52, 60, 65)


def rows_of(page):
    """[(number, status, last column)], in the order of the page."""
    lines = (re.split(r" \| ", line.strip("| ")) for line in page.splitlines())
    return [
        (int(cells[0]), cells[2], cells[3])
        for cells in lines
        if len(cells) == 4 and cells[0].isdigit()
    ]


ROWS = rows_of(PAGE)


def is_there(named):
    """Whether a command or a file that the page names exists."""
    if named.startswith("make "):
        return re.search(rf"^{named[5:]}:", (ROOT / "Makefile").read_text(), re.MULTILINE)
    if named.startswith("scripts."):
        named = f"{named.replace('.', '/')}.py"
    return (ROOT / named).exists()


def test_the_rows_are_1_to_69():
    assert [number for number, *_ in ROWS] == list(range(1, 70))


@pytest.mark.parametrize(("number", "status", "shown"), ROWS)
def test_a_row_shows_what_it_says(number, status, shown):
    """Files and tests that are named exist; a no names only what is missing before its ";"."""
    if status == "no":
        missing = re.findall(r"`([^`]+)`", shown.partition(";")[0])
        assert not [named for named in missing if is_there(named)], f"row {number} is not a no"
        shown = shown.partition(";")[2]
    tests = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", shown)
    for file, name in tests:
        assert re.search(rf"^def {name}\(", (ROOT / file).read_text(), re.MULTILINE), name
    for file in re.findall(r"`([\w/]+\.\w+)[ `]", shown):
        assert "/" not in file or (ROOT / file).is_file(), file
    assert status in ("yes", "partial", "no")
    assert tests or status != "yes", f"row {number} names no test"


def test_the_page_counts_its_rows():
    statuses = [status for _, status, _ in ROWS]
    counts = ", ".join(f"{statuses.count(status)} {status}" for status in ("yes", "partial", "no"))
    assert f"\n{counts}.\n" in PAGE


def test_what_the_others_lack_is_named_and_here():
    part = PAGE.partition("## What the others lack")[2].partition("\n## ")[0]
    named = [int(number) for number in re.findall(r"^\* \*\*Row (\d+)\*\*:", part, re.MULTILINE)]
    assert tuple(named) == LACKING
    assert [status for number, status, _ in ROWS if number in LACKING] == ["yes"] * len(LACKING)


def test_nothing_has_to_be_compiled():
    sources = [file for folder in ("setup.py", "setup.cfg") for file in ROOT.glob(folder)]
    for folder in {file.relative_to(ROOT).parts[0] for file in FILES}:
        for suffix in ("c", "cc", "cpp", "cu", "cuh", "h", "pyx", "so"):
            sources += (ROOT / folder).rglob(f"*.{suffix}")
    assert not sources
    builders = "cpp_extension|load_inline|ctypes|cffi|ext_modules|cython"
    assert not [name_of(file) for file in FILES if re.search(builders, file.read_text())]


@pytest.mark.parametrize("folder", sorted({file.relative_to(ROOT).parts[0] for file in FILES}))
def test_every_function_has_its_types(folder):
    untyped = []
    for file in FILES:
        if name_of(file).startswith(f"{folder}/"):
            for node in ast.walk(ast.parse(file.read_text())):
                if isinstance(node, ast.FunctionDef) and not is_typed(node):
                    untyped.append(f"{name_of(file)}: {node.name}")
    assert not untyped


def is_typed(function):
    """Whether a function says what it takes and what it returns."""
    named = function.args
    taken = [*named.posonlyargs, *named.args, *named.kwonlyargs, named.vararg, named.kwarg]
    typed = all(one is None or one.annotation or one.arg in ("self", "cls") for one in taken)
    return typed and function.returns is not None


def test_an_annotation_is_no_python_object(tmp_path):
    """A data set of 200 annotations has no object more than one of 2: what a worker process
    inherits is not copied because its reference counts change.
    """
    few, many = (
        CocoDataset(
            write(
                tmp_path / str(count), [annotation(1 + i, 7, [1, 1, 5, 5]) for i in range(count)]
            ),
            "train2014",
        )
        for count in (2, 200)
    )
    assert (len(few.target(0).labels), len(many.target(0).labels)) == (2, 200)
    assert objects_of(few) == objects_of(many)


def objects_of(dataset):
    """How many Python objects belong to a data set."""
    known, waiting = {}, [vars(dataset)]
    while waiting:
        one = waiting.pop()
        if id(one) not in known and not isinstance(one, type):
            known[id(one)] = one
            waiting += gc.get_referents(one)
    return len(known)


def test_the_license_is_the_declared_one():
    assert (ROOT / "LICENSE").read_text().split()[:4] == ["Apache", "License", "Version", "2.0,"]
    assert 'license = "Apache-2.0"' in (ROOT / "pyproject.toml").read_text()
