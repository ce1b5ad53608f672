"""What a row's numbers depend on, as a short key: rows with one key can be put side by side."""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import MISSING, Field, fields, is_dataclass
from typing import Any

from experiments.records import Row, Run
from scripts.engine.environment import Environment, scaled_run
from scripts.engine.places import runs_of


def row_recipe(row: Row, paper: str, environment: Environment) -> str:
    """The key of a row: of its network, of the networks that this one needs, and of what happens to
    the candidates.

    A field that has its default does not count, so a new field with the old behavior as its default
    changes no key. Names do not count either.

    Args:
        row: of a table of ``paper``.
        paper: whose runs.py names the runs that others need.
        environment: the scale and the splits.

    Returns:
        12 hexadecimal digits.
    """
    networks = [chosen(run) for run in needed_runs(row.run, paper, environment)]
    after = [chosen(row.postprocess), row.rounds, chosen(row.refine)]
    text = json.dumps([networks, after], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def needed_runs(run: Run, paper: str, environment: Environment) -> Iterator[Run]:
    """A run at its scale, then those that it starts from and has its proposals from."""
    scaled = scaled_run(run, environment)
    yield scaled
    known = runs_of(paper)
    for needed in (scaled.start, scaled.proposals):
        if needed in known:
            yield from needed_runs(known[needed], paper, environment)


def chosen(value: Any) -> Any:
    """The fields of a record that differ from their defaults, as plain values; not its name."""
    if not is_dataclass(value):
        return value
    return {
        field.name: chosen(getattr(value, field.name))
        for field in fields(value)
        if field.name != "name" and differs(field, getattr(value, field.name))
    }


def differs(field: Field[Any], value: Any) -> bool:
    """Whether a field has another value than its default, or has none."""
    if field.default is not MISSING:
        return bool(value != field.default)
    return field.default_factory is MISSING or bool(value != field.default_factory())
