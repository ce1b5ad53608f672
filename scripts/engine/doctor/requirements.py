"""The packages that the project declares, and whether those that are installed are new enough.

Standard library only: it is read when packages are broken.
"""

import importlib
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

PROJECT = Path(__file__).resolve().parents[3] / "pyproject.toml"
MODULES = {"pillow": "PIL", "pycocotools": "pycocotools.mask"}  # where the names differ
NAME_AND_CLAUSES = r"([A-Za-z0-9._-]*)(.*)"


@dataclass(frozen=True, kw_only=True)
class Requirement:
    """One line of ``dependencies``: a package, its oldest version, versions that do not work."""

    name: str
    oldest: str | None = None
    excluded: tuple[str, ...] = ()

    @property
    def module(self) -> str:
        """What is imported of it."""
        return MODULES.get(self.name, self.name)

    def is_too_old(self, version: str) -> bool:
        """Whether an installed version is older than the oldest that works."""
        return self.oldest is not None and numbers(version) < numbers(self.oldest)

    def complaint(self, version: str) -> str:
        """Why an installed version does not do; "" if it does."""
        if self.is_too_old(version):
            return f"{self.name} {version} is older than {self.oldest}"
        if any(numbers(version) == numbers(other) for other in self.excluded):
            return f"{self.name} {version} is a version that does not work"
        return ""


def declared_requirements(path: Path = PROJECT) -> list[Requirement]:
    """The dependencies in a pyproject.toml, in its order."""
    tomllib: Any = importlib.import_module("tomllib")  # Python 3.11; an older one is reported
    lines = tomllib.loads(path.read_text())["project"]["dependencies"]
    return [parse_requirement(line) for line in lines]


def parse_requirement(line: str) -> Requirement:
    """A line such as "torch>=2.10,!=2.13.0".

    Raises:
        ValueError: if it has a clause that is neither >= nor !=.
    """
    name, clauses = re.fullmatch(NAME_AND_CLAUSES, line).groups()  # type: ignore[union-attr]
    versions: dict[str, list[str]] = {">=": [], "!=": []}
    for clause in filter(None, clauses.replace(" ", "").split(",")):
        sign, version = clause[:2], clause[2:]
        if sign not in versions:
            raise ValueError(
                f"The dependency {line!r} of the project has a clause other than >=, !=."
            )
        versions[sign].append(version)
    oldest = max(versions[">="], key=numbers, default=None)
    return Requirement(name=name, oldest=oldest, excluded=tuple(versions["!="]))


def numbers(version: str) -> tuple[int, ...]:
    """The numbers of a version without zeros at its end: "2.10.0+cpu" becomes (2, 10)."""
    release = re.match(r"\d+(\.\d+)*", version)
    parts = [int(part) for part in release[0].split(".")] if release else []
    while parts and parts[-1] == 0:
        parts.pop()
    return tuple(parts)
