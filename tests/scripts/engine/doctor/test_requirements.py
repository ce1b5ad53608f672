"""The packages that pyproject.toml declares, read without any package."""

import tomllib

import pytest

from scripts.engine.doctor.machine import OLDEST_PYTHON
from scripts.engine.doctor.requirements import (
    PROJECT,
    Requirement,
    declared_requirements,
    numbers,
    parse_requirement,
)


def test_a_line_of_the_dependencies():
    assert parse_requirement("torch>=2.10,!=2.13.0") == Requirement(
        name="torch", oldest="2.10", excluded=("2.13.0",)
    )
    assert parse_requirement("tqdm") == Requirement(name="tqdm")
    assert parse_requirement("pillow >= 10.3").module == "PIL"
    with pytest.raises(ValueError, match="has a clause other than >=, !="):
        parse_requirement("numpy~=1.2")


def test_the_projects_own_lines_can_be_read():
    assert {needed.name for needed in declared_requirements()} >= {
        "torch",
        "safetensors",
        "matplotlib",
    }
    assert all(needed.oldest for needed in declared_requirements())


@pytest.mark.parametrize(
    ("version", "complaint"),
    [
        ("2.10.0+cpu", ""),
        ("2.11.1", ""),
        ("3.0", ""),
        ("2.9.1", "torch 2.9.1 is older than 2.10"),
        ("2.13.0", "torch 2.13.0 is a version that does not work"),
        ("2.13.1", ""),
        ("2.10.0a0+git", ""),
    ],
)
def test_versions_are_compared_by_their_numbers(version, complaint):
    assert parse_requirement("torch>=2.10,!=2.13.0").complaint(version) == complaint


def test_zeros_at_the_end_count_for_nothing():
    assert numbers("2.10.0+cu128") == numbers("2.10") == (2, 10)


def test_the_oldest_python_is_the_same_everywhere():
    """Before 3.11.4 tarfile knows no filters, which keep an archive in its folder."""
    oldest = ".".join(map(str, OLDEST_PYTHON))
    assert tomllib.loads(PROJECT.read_text())["project"]["requires-python"] == f">={oldest}"
    makefile = PROJECT.with_name("Makefile").read_text()
    assert f"sys.version_info < {OLDEST_PYTHON})" in makefile
    assert f"Python {oldest} or newer is needed" in makefile
