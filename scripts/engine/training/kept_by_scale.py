"""Checks that a scale leaves what a user wrote into a run of their own.

The runs of a table are meant to become smaller: its comparison stays. A run in no table is
someone's own, and its schedule, name, layout and splits are what they want.
"""

from dataclasses import asdict

from experiments.records import Run
from scripts.engine.places import find_table, runs_of, table_names
from scripts.engine.run_folder.checkpoint import differences, plain

KEPT = ("name", "train.", "data.layout", "data.train", "data.test")  # fields, or groups with a dot


def check_keeps_own_run(name: str, run: Run, scaled: Run, scale: str) -> None:
    """Checks that a scale changes no schedule, name, layout or split of a run in no table.

    Args:
        name: "paper/run".
        run: as it is written in runs.py.
        scaled: what the scale makes of it.
        scale: its name, for the sentence.

    Raises:
        ValueError: if it changes one, naming each.
    """
    changed = overridden(run, scaled)
    if not changed or is_needed_by_a_table(name):
        return
    raise ValueError(
        f"{name} is in no table, so nothing says what it is at the scale {scale}, which would "
        f"replace what it says: {'; '.join(changed)}. Train it as it is written with --scale "
        "paper, or train on photos of your own with `python -m scripts.train own/small --data DIR`."
    )


def overridden(run: Run, scaled: Run) -> list[str]:
    """The schedule, name, layout and splits that differ, as "field: written -> at the scale"."""
    lines = differences(plain(asdict(run)), plain(asdict(scaled)))
    return [line for line in lines if is_kept(line.partition(":")[0])]


def is_kept(field: str) -> bool:
    """Whether a field of a run, "group.name", is one of KEPT."""
    return any(field == kept or (kept[-1] == "." and field.startswith(kept)) for kept in KEPT)


def is_needed_by_a_table(name: str) -> bool:
    """Whether a table of the paper has the run "paper/run", or a run that starts from it."""
    paper, _, run_name = name.partition("/")
    runs = runs_of(paper)
    tables = [table for table in table_names() if table.startswith(f"{paper}/")]
    waiting = [row.run.name for table in tables for row in find_table(table).rows]
    needed: set[str] = set()
    while waiting:
        known = waiting.pop()
        if known in runs and known not in needed:
            needed.add(known)
            waiting += [runs[known].start, runs[known].proposals]
    return run_name in needed
