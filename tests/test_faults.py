"""docs/faults.md and the tests agree: each fault has a row, and each row its tests."""

import ast
import re
from pathlib import Path

import pytest

TESTS = Path(__file__).parent
PAGE = TESTS.parent / "docs" / "faults.md"
NUMBERS = [f"R{number:02}" for number in range(1, 73)]


def rows():
    """number -> (names of tests, status), in the order of the page."""
    table = {}
    for line in PAGE.read_text().splitlines():
        cells = [cell.strip() for cell in line.strip("| ").split(" | ")]
        if re.fullmatch(r"R\d\d", cells[0]):
            assert len(cells) == 5, f"{cells[0]} has {len(cells)} columns"
            assert cells[0] not in table, f"{cells[0]} has two rows"
            table[cells[0]] = re.findall(r"`([\w/]+\.py::\w+)`", cells[3]), cells[4]
    return table


def marks(function):
    """The fault numbers in the decorators of a test."""
    for decorator in function.decorator_list:
        if ast.unparse(decorator).startswith("pytest.mark.fault("):
            yield from map(ast.literal_eval, decorator.args)


def marked():
    """Name of a test -> the numbers that it is marked with."""
    found = {}
    for path in TESTS.rglob("test_*.py"):
        text = path.read_text()
        if "mark.fault(" in text and path != Path(__file__):
            for part in ast.parse(text).body:
                if isinstance(part, ast.FunctionDef) and (numbers := sorted(marks(part))):
                    found[f"{path.relative_to(TESTS).as_posix()}::{part.name}"] = numbers
    return found


def test_every_fault_has_a_row():
    assert list(rows()) == NUMBERS


def test_rows_and_markers_name_each_other():
    named = {}
    for number, (tests, _) in rows().items():
        for test in tests:
            named.setdefault(test, []).append(number)
    assert named == marked()


@pytest.mark.parametrize("number", NUMBERS)
def test_a_status_fits_its_tests(number):
    tests, status = rows()[number]
    kind, _, reason = status.partition(": ")
    assert kind in ("passed", "adapted", "left out")
    assert bool(reason) == (kind != "passed")
    assert bool(tests) == (kind != "left out")


def test_the_page_counts_its_rows():
    kinds = [status.partition(": ")[0] for _, status in rows().values()]
    counts = ", ".join(f"{kinds.count(kind)} {kind}" for kind in ("passed", "adapted", "left out"))
    assert f"\n{counts}.\n" in PAGE.read_text()
