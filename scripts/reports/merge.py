"""Publishing adds to what is committed: a row that was not run now keeps its committed numbers.

So the seeds and rows of a table may come from several machines and days. Numbers of another recipe
or of other test data are never kept beside new ones.
"""

from collections.abc import Sequence
from typing import Any

from scripts.reports.same_evaluation import (
    differing_settings,
    measured_lines,
    measured_on,
    on_other_data,
    row_name,
)

Seed = dict[str, Any]
Line = dict[str, Any]
WHERE = ("commit", "device", "date")  # of an evaluation
LISTED = 4  # rows in a sentence


def merged(committed: Sequence[Seed], new: Sequence[Seed]) -> list[Seed]:
    """The seeds of both, in order; where both have a row, the new numbers count.

    Committed numbers are kept if nothing better is there, their recipe is that of the new table's
    row, in whatever seed, and their test data are not known to be others. An unfinished
    network never replaces a finished one.

    Args:
        committed: the seeds in a table's results folder.
        new: the seeds that were evaluated now.
    """
    rows = new_rows(new)
    seeds = {seed["seed"]: seed for seed in new}
    data = measured_on(new)
    for old in committed:
        kept = {
            row_name(line): with_place(line, old)
            for line in old["rows"]
            if line["metrics"]
            and same_recipe(line, rows.get(row_name(line), {}))
            and not on_other_data(line, data)
        }
        number = old["seed"]
        if number in seeds:
            seeds[number] = {**old, **seeds[number], "rows": better(seeds[number]["rows"], kept)}
        elif kept:
            lines = [kept.get(key, without_numbers(line)) for key, line in rows.items()]
            seeds[number] = {**old, "rows": lines}
    return [seeds[number] for number in sorted(seeds)]


def new_rows(new: Sequence[Seed]) -> dict[tuple[str, str], Line]:
    """Each row of a table, from a seed in which it has numbers if there is one."""
    lines = [line for seed in new for line in seed["rows"]]
    known = [line for line in lines if line["metrics"]]
    return {row_name(line): line for line in [*lines, *known]}


def merge_notes(committed: Sequence[Seed], new: Sequence[Seed]) -> list[str]:
    """A sentence for each reason why committed numbers do not stay beside new ones.

    Numbers of other test data are counted where new ones replace them as well.

    Args:
        committed, new: as in ``merged``.
    """
    rows = new_rows(new)
    anew = {(seed["seed"], row_name(line)) for seed in new for line in measured_lines(seed)}
    data = measured_on(new)
    lost: dict[str, list[str]] = {}
    for old in committed:
        for line in measured_lines(old):
            reason = None
            if on_other_data(line, data):
                reason = "they were measured on other test data"
            elif row_name(line) in rows and (old["seed"], row_name(line)) not in anew:
                same = same_recipe(line, rows[row_name(line)])
                reason = None if same else "they were measured with other settings"
            if reason is not None:
                lost.setdefault(reason, []).append(f"{line['label']} of seed {old['seed']}")
    return [
        f"note: {len(names)} committed numbers are replaced or left out, because {reason}: "
        f"{', '.join(names[:LISTED])}{', ...' if len(names) > LISTED else ''}"
        for reason, names in lost.items()
    ]


def with_place(line: Line, seed: Seed) -> Line:
    """A row that says where and when it was evaluated, which its seed said until now."""
    return {**{name: seed[name] for name in WHERE if name in seed}, **line}


def same_recipe(committed: Line, new: Line) -> bool:
    """Whether two rows were made in the same way; not if their recipe is not known."""
    if "recipe" not in committed or committed["recipe"] != new.get("recipe"):
        return False
    return not differing_settings(committed, new)


def better(new: Sequence[Line], kept: dict[tuple[str, str], Line]) -> list[Line]:
    """The new rows, and committed ones where these have numbers and the new ones do not, or are of
    a finished network and the new ones are not."""
    lines = []
    for line in new:
        old = kept.get(row_name(line))
        worse = not line["metrics"] or (not is_finished(line) and old and is_finished(old))
        lines.append(old if old and worse else line)
    return lines


def is_finished(line: Line) -> bool:
    """Whether the network of a row was trained to its end."""
    return line.get("updates") == line.get("of_updates")


def without_numbers(line: Line) -> Line:
    """The same row of a seed with which it was not run."""
    names: Sequence[str] = ("group", "label", "run", "recipe")
    kept = {name: line[name] for name in names if name in line}
    return {**kept, "metrics": None, "why": "not run with this seed"}
