"""Whether numbers were measured on the same test data and in the same way, so that they may stand
side by side.

A row says so with "test_data", {name of a test set: hash}, "recipe"
(scripts/engine/evaluation/recipe_key.py) and the "settings" of its training
(scripts/engine/training/saving.py), which a command line may change. A row of an earlier version
lacks them; it counts as unknown and is accepted.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

Seed = dict[str, Any]
Line = dict[str, Any]


def check_same_evaluation(seeds: Sequence[Seed], where: str) -> None:
    """Checks that all numbers of the seeds of a table may stand in one report.

    Args:
        seeds: of one table at one scale.
        where: they are, for the sentence.

    Raises:
        ValueError: rows were measured on other data, or one row with other settings in another
            seed; names both seeds.
    """
    check_same_data(seeds, where)
    first: dict[tuple[str, str], tuple[str, Seed]] = {}
    for seed, line in numbered(seeds):
        if "recipe" not in line:
            continue
        recipe, other = first.setdefault(row_name(line), (line["recipe"], seed))
        if recipe != line["recipe"]:
            raise ValueError(mixed(where, other, seed, f"with other settings: {line['label']}"))
    check_same_trainings(seeds, where)


def check_same_trainings(seeds: Sequence[Seed], where: str) -> None:
    """Checks that the networks of a row were trained alike; the arguments are those above.

    Raises:
        ValueError: they were not; names the settings that differ.
    """
    first: dict[tuple[str, str], tuple[Line, Seed]] = {}
    for seed, line in numbered(seeds):
        if not settings(line):
            continue
        known, other = first.setdefault(row_name(line), (line, seed))
        differing = differing_settings(known, line)
        if differing:
            raise ValueError(
                f"{where}: {line['label']} was trained with another {' and '.join(differing)} in "
                f"seed {seed['seed']} than in seed {other['seed']}; train all seeds alike, or in "
                "an --out folder for each."
            )


def settings(line: Line) -> Mapping[str, Any]:
    """{name: value} of what the command line may change of a training; nothing if not known."""
    return (line.get("training") or {}).get("settings") or {}


def differing_settings(line: Line, other: Line) -> list[str]:
    """The names of the settings that are known of both trainings, and differ."""
    one, two = settings(line), settings(other)
    return [
        name
        for name, value in one.items()
        if None not in (value, two.get(name)) and value != two[name]
    ]


def check_same_data(seeds: Sequence[Seed], where: str) -> None:
    """Checks that all numbers were measured on the same test data; the arguments are those above.

    Raises:
        ValueError: they were not.
    """
    first: dict[str, tuple[str, Seed]] = {}
    for seed, line in numbered(seeds):
        for name, now in test_data(line).items():
            digest, other = first.setdefault(name, (now, seed))
            if digest != now:
                raise ValueError(mixed(where, other, seed, f"on other test data: {name}"))


def mixed(where: str, first: Seed, second: Seed, how: str) -> str:
    """The sentence about two seeds that do not belong together."""
    one, other = (
        f"seed {seed['seed']} of {seed.get('scale', 'a scale')}" for seed in (first, second)
    )
    return (
        f"{where}: {other} was measured {how}, and {one} before it; evaluate all seeds again, or "
        "delete the files that are out of date."
    )


def numbered(seeds: Sequence[Seed]) -> Iterator[tuple[Seed, Line]]:
    """Each row that has numbers, with its seed."""
    for seed in seeds:
        for line in measured_lines(seed):
            yield seed, line


def measured_lines(seed: Seed) -> list[Line]:
    """The rows of a seed that have numbers."""
    return [line for line in seed.get("rows", ()) if line.get("metrics")]


def row_name(line: Line) -> tuple[str, str]:
    """Group and label of a row."""
    return line.get("group", ""), line["label"]


def test_data(line: Line) -> Mapping[str, str]:
    """{name of a test set: hash} of a row; nothing where that is not known."""
    return line.get("test_data") or {}


test_data.__test__ = False  # type: ignore[attr-defined]  # the name is no test for pytest


def measured_on(seeds: Sequence[Seed]) -> dict[str, str]:
    """{name of a test set: hash} of all rows with numbers."""
    return {name: digest for _, line in numbered(seeds) for name, digest in test_data(line).items()}


def on_other_data(line: Line, known: Mapping[str, str]) -> bool:
    """Whether a row was measured on a test set that has another hash in ``known``."""
    return any(known.get(name, digest) != digest for name, digest in test_data(line).items())
